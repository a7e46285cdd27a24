-- Caches hear of a change when, and only when, it commits: {"client": id}, {"pool": id} or, where every
-- client of a tier may have changed, {"tier": name}.

-- Arguments: the key of the payload and the column with its value.
create function platform.notify() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_derived constant text[] := array['updated_at', 'client_count'];
begin
    if tg_op = 'UPDATE' and to_jsonb(old) - v_derived = to_jsonb(new) - v_derived then
        return null;
    end if;
    if tg_op <> 'INSERT' then
        perform pg_notify('tenantry_clients', jsonb_build_object(tg_argv[0], to_jsonb(old) -> tg_argv[1])::text);
    end if;
    if tg_op <> 'DELETE' then
        -- The server drops the second of two equal payloads.
        perform pg_notify('tenantry_clients', jsonb_build_object(tg_argv[0], to_jsonb(new) -> tg_argv[1])::text);
    end if;
    return null;
end
$$;

create trigger notify after insert or update or delete on platform.clients
    for each row execute function platform.notify('client', 'id');
create trigger notify after insert or update or delete on platform.client_credentials
    for each row execute function platform.notify('client', 'client_id');
create trigger notify after insert or update or delete on platform.pools
    for each row execute function platform.notify('pool', 'id');
create trigger notify after update or delete on platform.tiers
    for each row execute function platform.notify('tier', 'name');
