-- Placing shared clients: the first active pool with room, by position. Exact under concurrency,
-- because every statement that changes who is where takes lock_placement first.

create function platform.pool_with_room() returns uuid
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pool uuid;
begin
    perform platform.lock_placement();
    -- client_count lacks the rows that the statement in progress has placed, so they are counted again.
    -- The row lock raises 40001 where the snapshot is older than the last placement.
    select p.id into v_pool
    from platform.pools p
    where p.active
      and p.client_count < p.capacity
      and p.capacity > (select count(*) from platform.clients c where c.pool_id = p.id and c.deleted_at is null)
    order by p.position
    limit 1
    for no key update of p;
    if v_pool is null then
        raise exception 'no active pool has room'
            using errcode = 'TN101', hint = 'add a pool, raise the capacity of one, or activate one';
    end if;
    return v_pool;
end
$$;

create function platform.place() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_active boolean;
begin
    -- Only a client that has no rows anywhere yet is placed for the caller: to send another one to a
    -- pool that it did not name would hide its rows.
    if new.pool_id is null and new.hosting = 'shared' and new.deleted_at is null
        and (tg_op = 'INSERT' or (old.pool_id is null and old.app_connection is null)) then
        new.pool_id := platform.pool_with_room();
    elsif new.pool_id is not null and (tg_op = 'INSERT' or new.pool_id is distinct from old.pool_id) then
        select p.active into v_active from platform.pools p where p.id = new.pool_id for no key update;
        if not v_active then
            raise exception 'pool % takes no new clients', new.pool_id
                using errcode = 'check_violation', constraint = 'clients_pool_active',
                      schema = 'platform', table = 'clients', column = 'pool_id';
        end if;
    end if;
    return new;
end
$$;

create trigger place before insert or update on platform.clients
    for each row execute function platform.place();

-- The count is read from the clients whenever a pool is written, whatever the statement says it is.
create function platform.count_clients() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    select count(*) into new.client_count
    from platform.clients c where c.pool_id = new.id and c.deleted_at is null;
    return new;
end
$$;

create trigger count_clients before insert or update on platform.pools
    for each row execute function platform.count_clients();

-- Writes the pools that a statement has filled or emptied, which counts them and checks their capacity.
create function platform.recount_pools() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_pools uuid[];
begin
    if tg_op = 'INSERT' then
        v_pools := array(select n.pool_id from new_clients n where n.deleted_at is null);
    elsif tg_op = 'DELETE' then
        v_pools := array(select o.pool_id from old_clients o where o.deleted_at is null);
    else
        v_pools := array(
            select unnest(array[o.pool_id, n.pool_id])
            from old_clients o join new_clients n on n.id = o.id
            where (o.pool_id, o.deleted_at is null) is distinct from (n.pool_id, n.deleted_at is null));
    end if;
    -- A statement that moves nobody holds no placement lock, and must not take it this late.
    if v_pools <> '{}' then
        update platform.pools p set client_count = p.client_count where p.id = any (v_pools);
    end if;
    return null;
end
$$;

create trigger recount_after_insert after insert on platform.clients
    referencing new table as new_clients
    for each statement execute function platform.recount_pools();
create trigger recount_after_update after update on platform.clients
    referencing old table as old_clients new table as new_clients
    for each statement execute function platform.recount_pools();
create trigger recount_after_delete after delete on platform.clients
    referencing old table as old_clients
    for each statement execute function platform.recount_pools();
