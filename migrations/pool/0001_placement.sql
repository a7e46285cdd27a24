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

-- The tombstone of a client that moved away stays, so that a stale route is refused for ever.
create table tenantry.placement (
    client_id   uuid        primary key,
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

-- The advisory lock that serves the client: shared by its transactions, exclusive for who moves it.
create function tenantry.lock_key(p_client uuid) returns bigint
language sql immutable strict parallel safe
return pg_catalog.uuid_hash_extended(p_client, 8386654066998440569);

-- The one way to change a placement: it waits for the client's transactions in flight.
create function tenantry.place(p_client uuid, p_state text, p_epoch bigint) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(tenantry.lock_key(p_client));
    insert into tenantry.placement as here (client_id, state, epoch)
    values (p_client, p_state, p_epoch)
    on conflict (client_id) do update
        set state = excluded.state, epoch = excluded.epoch, changed_at = now()
        where here.epoch <= excluded.epoch;
    if not found then
        raise exception 'client % is placed here under a later epoch than %', p_client, p_epoch
            using errcode = 'TN001';
    end if;
end
$$;
