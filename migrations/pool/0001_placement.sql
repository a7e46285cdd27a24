-- Which clients are served here, under which epoch, and the key that seals their scope.
-- Nothing in this schema is granted to the app role but a few functions.

create table tenantry.installation (
    only_row       boolean     primary key default true check (only_row),
    kind           text        not null check (kind in ('pool', 'dedicated')),
    kernel_version integer     not null,
    app_role       name,
    host_version   bigint,
    host_checksum  bytea,
    installed_at   timestamptz not null default now()
);

insert into tenantry.installation (kind, kernel_version) values ('pool', 1);

-- What a session is bound to is the last value it took of some sequences. Nobody without rights on them can
-- change that, in whatever SQL: unlike a setting, it cannot be forged.
--   turn:   a number that no other binding ever had; a ticket is good for the turn it was made for, once.
--   scope:  the handle of the client that is bound, or 0.
--   moment: when the transaction began that last bound or unbound it, in microseconds since 1970.
-- The last two are unlogged: a crash ends all sessions.
create sequence tenantry.turn;
create unlogged sequence tenantry.scope minvalue 0 start 0;
create unlogged sequence tenantry.moment minvalue 0 start 0;

-- A handle is a client under one epoch. It is new after every change that sessions bound before must not miss.
create sequence tenantry.handles;

-- The tombstone of a client that moved away stays, so that a stale route is refused for ever.
create table tenantry.placement (
    client_id   uuid        primary key,
    handle      bigint      not null unique default nextval('tenantry.handles'),
    state       text        not null
                check (state in ('incoming', 'active', 'capturing', 'fenced', 'standby', 'moved')),
    epoch       bigint      not null check (epoch > 0),
    suspended   boolean     not null default false,
    fence_until timestamptz,
    changed_at  timestamptz not null default now()
);

-- The two padded halves of an HMAC-SHA256 key, so that verifying a ticket is two hashes.
create table tenantry.scope_keys (
    key_id     integer     primary key check (key_id > 0),
    inner_pad  bytea       not null check (octet_length(inner_pad) = 64),
    outer_pad  bytea       not null check (octet_length(outer_pad) = 64),
    created_at timestamptz not null default now()
);

create table tenantry.shared_tables (
    relation oid primary key
);

-- RFC 2104, section 2. The key itself is never stored.
create function tenantry.pad_key(p_key bytea, out inner_pad bytea, out outer_pad bytea)
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
    block bytea := case when octet_length(p_key) > 64 then sha256(p_key) else p_key end;
begin
    block := block || decode(repeat('00', 64 - octet_length(block)), 'hex');
    inner_pad := block;
    outer_pad := block;
    for i in 0..63 loop
        inner_pad := set_byte(inner_pad, i, get_byte(block, i) # 54);
        outer_pad := set_byte(outer_pad, i, get_byte(block, i) # 92);
    end loop;
end
$$;

create function tenantry.mac(p_inner_pad bytea, p_outer_pad bytea, p_message bytea) returns bytea
language sql immutable strict parallel safe
return pg_catalog.sha256(p_outer_pad || pg_catalog.sha256(p_inner_pad || p_message));

create function tenantry.install_key(p_key_id integer, p_key bytea) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    if octet_length(p_key) < 32 then
        raise exception 'a scope key has at least 32 bytes' using errcode = 'TN006';
    end if;
    insert into tenantry.scope_keys (key_id, inner_pad, outer_pad)
    select p_key_id, pads.inner_pad, pads.outer_pad from tenantry.pad_key(p_key) pads;
end
$$;

-- Deletes the keys before that one. Whoever still makes tickets with them is refused and reads its key again.
create function tenantry.retire_keys(p_before integer) returns void
language sql strict
set search_path = pg_catalog, pg_temp
begin atomic
    delete from tenantry.scope_keys where key_id < p_before;
end;

-- The advisory lock of a handle: shared by the transactions of its client, exclusive for who moves it.
create function tenantry.lock_key(p_handle bigint) returns bigint
language sql immutable strict parallel safe
return pg_catalog.hashint8extended(p_handle, 8386654066998440569);

-- The one way to change a placement. It waits for the client's transactions in flight, and gives the
-- client a new handle: whoever is bound to the old one is refused from then on.
create function tenantry.place(p_client uuid, p_state text, p_epoch bigint, p_suspended boolean default false)
returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_here tenantry.placement;
begin
    insert into tenantry.placement (client_id, state, epoch, suspended)
    values (p_client, p_state, p_epoch, p_suspended)
    on conflict (client_id) do nothing;
    if found then
        return;
    end if;
    -- The row first: it orders those who change it, and nobody else locks it but snapshots of long standing.
    select * into v_here from tenantry.placement where client_id = p_client for update;
    perform pg_advisory_xact_lock(tenantry.lock_key(v_here.handle));
    if v_here.epoch > p_epoch then
        raise exception 'client % is placed here under a later epoch than %', p_client, p_epoch
            using errcode = 'TN001';
    end if;
    update tenantry.placement
    set state = p_state, epoch = p_epoch, suspended = p_suspended,
        handle = nextval('tenantry.handles'), changed_at = now()
    where client_id = p_client;
end
$$;

-- Changes what sessions are bound with, in place: whoever is bound is bound again, under the new epoch.
create function tenantry.renew(p_client uuid, p_epoch bigint, p_suspended boolean) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text;
begin
    select state into v_state from tenantry.placement where client_id = p_client for update;
    if v_state is null then
        raise exception 'client % is not placed here: activate it', p_client using errcode = 'TN006';
    elsif v_state <> 'active' then
        raise exception 'client % is % here, and not to be changed', p_client, v_state using errcode = 'TN003';
    end if;
    perform tenantry.place(p_client, v_state, p_epoch, p_suspended);
end
$$;
