-- The twin of that of a pool: the client on its way from or to this database, and who moves it.

create table tenantry.relocations (
    client_id   uuid        primary key,
    relocation  uuid        not null,
    attempt     integer     not null check (attempt > 0),
    -- Set in the transaction that makes this database refuse the client: the epoch that it goes on under elsewhere.
    left_for    bigint,
    -- What makes again what was set aside while rows were loaded, in this order.
    set_aside   text[]      not null default '{}',
    -- What has the host's triggers fire again that were silenced while rows arrive.
    silenced    text[]      not null default '{}',
    -- What gives back the rights that were taken from whoever had them.
    rights      text[]      not null default '{}',
    changed_at  timestamptz not null default now()
);

-- Tables whose rows have arrived.
create table tenantry.arrivals (
    client_id  uuid not null,
    table_name text not null,
    primary key (client_id, table_name)
);

-- Rows that go all at once are in no log. Whoever relocates a client empties a database of its own.
create function tenantry.refuse_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if starts_with(current_setting('application_name'), 'tenantry relocate ') then
        return null;
    end if;
    raise exception 'table %.% is not truncated while a client is relocated', tg_table_schema, tg_table_name
        using errcode = 'TN003';
end
$$;

revoke all on table tenantry.relocations, tenantry.arrivals from public;
revoke all on function tenantry.refuse_truncate() from public;

-- Whether the client is served elsewhere by now: a role that is denied everything may ask why.
create function tenantry.has_left() returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select exists (select from tenantry.relocations where left_for is not null or rights <> '{}')
$$;
