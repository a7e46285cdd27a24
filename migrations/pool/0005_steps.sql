-- What was done once for a client and is not to be done again, remembered in the transaction that did it.

create table tenantry.steps (
    client_id uuid        not null,
    step      text        not null check (char_length(step) between 1 and 200),
    taken_at  timestamptz not null default now(),
    primary key (client_id, step)
);

-- Whether the client that is bound has the step yet to take: true once, for whose transaction commits. Another
-- that asks meanwhile waits for it.
create function tenantry.take_step(p_step text) returns boolean
language plpgsql strict volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into tenantry.steps (client_id, step) values (tenantry.current_client(), p_step)
    on conflict do nothing;
    return found;
end
$$;

revoke all on function tenantry.take_step(text) from public;
