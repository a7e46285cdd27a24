-- How far clients that are being set up have come, dedicated databases that wait for a client, and what is told
-- of clients to whoever wants to know.

create table platform.provisions (
    client_id  uuid        primary key,
    step       text        not null default 'created',
    attempts   integer     not null default 0,
    failure    text,
    started_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint provisions_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade
);

comment on table platform.provisions is 'one row a client that is being set up';
comment on column platform.provisions.step is 'the last one that was done';

-- The id is that of the client it is made for: whoever takes it becomes that client, and what is sealed for it
-- opens.
create table platform.stock (
    client_id        uuid            primary key,
    app_connection   platform.sealed,
    admin_connection platform.sealed,
    ready            boolean         not null default false,
    created_at       timestamptz     not null default now(),
    constraint stock_ready_has_connections check (
        not ready or (app_connection is not null and admin_connection is not null))
);

comment on column platform.stock.ready is 'false: being made, or left half made';

create table platform.events (
    id           bigint      primary key generated always as identity,
    client_id    uuid        not null,
    kind         text        not null,
    detail       jsonb       not null default '{}',
    at           timestamptz not null default clock_timestamp(),
    delivered_at timestamptz
);

comment on column platform.events.client_id is 'no foreign key: what is told of a client outlives it';

create index events_undelivered_idx on platform.events (id) where delivered_at is null;
create index events_client_id_idx on platform.events (client_id, id);

-- In the transaction of the change, so that what is told happened, and what happened is told.
create function platform.tell() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kinds text[] := '{}';
begin
    if tg_op = 'INSERT' then
        v_kinds := '{created}';
    else
        if new.status <> old.status then
            v_kinds := v_kinds || case
                when new.status = 'active' and old.status = 'provisioning' then 'activated'
                when new.status = 'active' then 'resumed'
                else new.status
            end;
        end if;
        if (old.deleted_at is null) <> (new.deleted_at is null) then
            v_kinds := v_kinds || case when new.deleted_at is null then 'restored' else 'deleted' end;
        end if;
        if new.tier <> old.tier then
            v_kinds := v_kinds || 'tier_changed'::text;
        end if;
        if (new.hosting, new.pool_id) is distinct from (old.hosting, old.pool_id) then
            v_kinds := v_kinds || 'relocated'::text;
        end if;
    end if;
    insert into platform.events (client_id, kind, detail)
    select new.id, kind, jsonb_build_object('slug', new.slug, 'tier', new.tier, 'status', new.status)
    from unnest(v_kinds) kind;
    return null;
end
$$;

create trigger tell after insert or update of status, deleted_at, tier, hosting, pool_id on platform.clients
    for each row execute function platform.tell();

create trigger audit after insert or update or delete on platform.stock
    for each row execute function platform.audit('client_id');
create trigger no_truncate before truncate on platform.stock
    for each statement execute function platform.refuse('delete its rows');

revoke all on platform.provisions, platform.stock, platform.events from public;

-- When processes last looked a client up. Neither logged nor told: it changes with every client in use.
create table platform.activity (
    client_id uuid        primary key,
    seen_at   timestamptz not null default now(),
    constraint activity_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade
);

revoke all on platform.activity from public;
