-- The clients, and what their tiers demand of them.

create function platform.are_settings(p_settings jsonb) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_typeof(p_settings) = 'object'
        and jsonb_typeof(coalesce(p_settings -> 'branding', '{}')) = 'object'
        and not exists (
            select from (values (p_settings -> 'providers'), (p_settings -> 'tools')) lists(list)
            where jsonb_typeof(list) <> 'array' or jsonb_path_exists(list, 'strict $[*] ? (@.type() != "string")'))
$$;

create table platform.clients (
    id                uuid        primary key default gen_random_uuid(),
    name              text        not null,
    slug              text        not null,
    external_ref      text,
    domain            text,
    status            text        not null default 'provisioning',
    status_since      timestamptz not null default now(),
    tier              text        not null,
    hosting           text        not null,
    max_sidekicks     integer,
    limit_overrides   jsonb       not null default '{}',
    feature_overrides jsonb       not null default '{}',
    settings          jsonb       not null default '{}',
    retention_days    integer,
    grace_days        integer,
    grace             jsonb       not null default '[]',
    pool_id           uuid,
    app_connection    platform.sealed,
    admin_connection  platform.sealed,
    epoch             bigint      not null default 1,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now(),
    deleted_at        timestamptz,
    constraint clients_tier_fkey foreign key (tier) references platform.tiers (name),
    constraint clients_pool_id_fkey foreign key (pool_id) references platform.pools (id),
    constraint clients_name_not_blank check (btrim(name) <> '' and char_length(name) <= 200),
    constraint clients_slug_format check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    constraint clients_external_ref_format check (
        char_length(external_ref) between 1 and 255 and external_ref !~ '[[:cntrl:]]'),
    constraint clients_domain_format check (
        char_length(domain) <= 253
        and domain ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    constraint clients_status_known check (status in ('provisioning', 'active', 'suspended', 'archived')),
    constraint clients_hosting_known check (hosting in ('shared', 'dedicated')),
    constraint clients_max_sidekicks_not_negative check (max_sidekicks >= 0),
    constraint clients_limit_overrides_valid check (platform.are_limits(limit_overrides)),
    constraint clients_feature_overrides_valid check (platform.are_features(feature_overrides)),
    constraint clients_settings_valid check (platform.are_settings(settings)),
    constraint clients_retention_days_not_negative check (retention_days >= 0),
    constraint clients_grace_days_valid check (grace_days between 0 and 3650),
    constraint clients_grace_array check (jsonb_typeof(grace) = 'array'),
    constraint clients_epoch_positive check (epoch > 0),
    constraint clients_shared_has_pool check (
        hosting <> 'shared' or pool_id is not null or deleted_at is not null),
    constraint clients_shared_has_no_connection check (
        hosting <> 'shared' or (app_connection is null and admin_connection is null)),
    constraint clients_dedicated_has_no_pool check (hosting <> 'dedicated' or pool_id is null),
    constraint clients_dedicated_has_connection check (
        hosting <> 'dedicated' or app_connection is not null
        or status in ('provisioning', 'archived') or deleted_at is not null)
);

comment on column platform.clients.max_sidekicks is 'null: unlimited';
comment on column platform.clients.limit_overrides is
    'limits of this client in place of its tier''s; {"hosting": null} frees it from the hosting of its tier';
comment on column platform.clients.retention_days is 'null: as its tier has it';
comment on column platform.clients.grace_days is 'null: as its tier has it';
comment on column platform.clients.grace is
    'what limits allowed before they fell, each until a second since 1970; the database keeps it';
comment on column platform.clients.pool_id is
    'kept when the client is deleted, for as long as the pool still has its rows';
comment on column platform.clients.epoch is 'the generation of its placement; it never falls';

-- Among the living alone: a deleted client gives its names back, and is restored only while they are free.
create unique index clients_slug_key on platform.clients (slug) where deleted_at is null;
create unique index clients_external_ref_key on platform.clients (external_ref) where deleted_at is null;
create unique index clients_domain_key on platform.clients (domain) where deleted_at is null;
create index clients_created_at_id_idx on platform.clients (created_at, id);
create index clients_pool_id_idx on platform.clients (pool_id, deleted_at);
create index clients_tier_idx on platform.clients (tier);

-- One lock orders everything that decides who may be placed where: there is no order of row locks to
-- get wrong. Take it before locking rows of clients, pools or tiers by hand in a longer transaction.
create function platform.lock_placement() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select pg_advisory_xact_lock(1413828180, 1)
$$;

create function platform.lock_placement_first() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform platform.lock_placement();
    return null;
end
$$;

create trigger lock_placement before insert or delete on platform.clients
    for each statement execute function platform.lock_placement_first();
create trigger lock_placement_for_update
    before update of id, tier, hosting, max_sidekicks, limit_overrides, pool_id, deleted_at on platform.clients
    for each statement execute function platform.lock_placement_first();
create trigger lock_placement before insert or update or delete on platform.pools
    for each statement execute function platform.lock_placement_first();
create trigger lock_placement before insert or update or delete on platform.tiers
    for each statement execute function platform.lock_placement_first();

-- Hosting and limits are the tier's unless the overrides name them. A null takes what the tier demands;
-- a limit that the statement leaves as it was follows the tier, the hosting never does: that is a move.
create function platform.apply_tier() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_tier platform.tiers;
    v_max  integer;
begin
    if tg_op = 'UPDATE' then
        if (new.tier, new.hosting, new.max_sidekicks, new.limit_overrides, new.deleted_at is null)
            is not distinct from
           (old.tier, old.hosting, old.max_sidekicks, old.limit_overrides, old.deleted_at is null) then
            return new;
        end if;
    end if;

    -- The row lock raises 40001 where the snapshot is older than a change of the tier.
    select * into v_tier from platform.tiers t where t.name = new.tier for share;
    if not found then
        raise exception 'there is no tier %', new.tier
            using errcode = 'foreign_key_violation', constraint = 'clients_tier_fkey',
                  schema = 'platform', table = 'clients', column = 'tier';
    end if;

    v_max := case
        when new.limit_overrides ? 'max_sidekicks' then (new.limit_overrides ->> 'max_sidekicks')::integer
        else v_tier.max_sidekicks
    end;
    if new.max_sidekicks is null
        or (tg_op = 'UPDATE' and new.max_sidekicks is not distinct from old.max_sidekicks) then
        new.max_sidekicks := v_max;
    end if;
    new.hosting := coalesce(new.hosting, v_tier.hosting);

    if new.deleted_at is not null then
        return new;
    end if;
    if new.hosting <> v_tier.hosting and not new.limit_overrides ? 'hosting' then
        raise exception 'tier % demands % hosting, client % has %', new.tier, v_tier.hosting, new.slug, new.hosting
            using errcode = 'check_violation', constraint = 'clients_hosting_of_tier',
                  schema = 'platform', table = 'clients', column = 'hosting',
                  hint = 'relocate the client, or name "hosting" in its limit_overrides';
    end if;
    if new.max_sidekicks is distinct from v_max then
        raise exception 'tier % and the overrides of client % allow % sidekicks, not %',
                new.tier, new.slug, coalesce(v_max::text, 'unlimited'), coalesce(new.max_sidekicks::text, 'unlimited')
            using errcode = 'check_violation', constraint = 'clients_max_sidekicks_of_tier',
                  schema = 'platform', table = 'clients', column = 'max_sidekicks',
                  hint = 'name "max_sidekicks" in its limit_overrides';
    end if;
    return new;
end
$$;

-- The limits of a client: its tier's unless its overrides name them. max_sidekicks has a column of its own.
create function platform.limits_of(p_tier jsonb, p_overrides jsonb, p_max_sidekicks integer) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select ((p_tier || p_overrides) - 'hosting') || jsonb_build_object('max_sidekicks', p_max_sidekicks)
$$;

-- What still is allowed beside the limits: what was graced before, runs, and is more than they allow; and what they
-- allowed before a fall, for so many days from now. A limit that nobody declared limits nothing.
create function platform.graced(p_grace jsonb, p_before jsonb, p_after jsonb, p_days integer) returns jsonb
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(g.graced order by g.graced), '[]')
    from (
        select e.graced
        from jsonb_array_elements(p_grace) e(graced)
        cross join lateral (select p_after -> (e.graced ->> 'limit'), e.graced -> 'allowed') a(now, before)
        where (e.graced ->> 'until')::numeric > extract(epoch from now())
          and jsonb_typeof(a.now) = 'number'
          and (a.before = 'null' or a.before > a.now)
        union
        select jsonb_build_object(
            'limit', l.key,
            'allowed', p_before -> l.key,
            'until', ceil(extract(epoch from now() + make_interval(days => p_days))))
        from jsonb_each(p_after) l
        where p_days > 0
          and jsonb_typeof(l.value) = 'number'
          and (coalesce(p_before -> l.key, 'null') = 'null' or p_before -> l.key > l.value)
    ) g
$$;

-- The grace of a fall is that of the tier that the client has after it.
create function platform.grace() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (new.tier, new.max_sidekicks, new.limit_overrides)
        is distinct from (old.tier, old.max_sidekicks, old.limit_overrides) then
        select platform.graced(
            new.grace,
            platform.limits_of(b.limits, old.limit_overrides, old.max_sidekicks),
            platform.limits_of(a.limits, new.limit_overrides, new.max_sidekicks),
            coalesce(new.grace_days, a.grace_days))
        into new.grace
        from platform.tiers b, platform.tiers a
        where b.name = old.tier and a.name = new.tier;
    end if;
    return new;
end
$$;

create function platform.keep_identity() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if new.id <> old.id then
        raise exception 'client % cannot take another id', old.id
            using errcode = 'check_violation', constraint = 'clients_id_fixed',
                  schema = 'platform', table = 'clients', column = 'id';
    end if;
    -- Whoever counts from the day that it was archived must not begin anew with every other change.
    new.status_since := case when new.status = old.status then old.status_since else now() end;
    if new.epoch < old.epoch then
        raise exception 'the epoch of client % cannot fall from % to %', old.id, old.epoch, new.epoch
            using errcode = 'check_violation', constraint = 'clients_epoch_never_falls',
                  schema = 'platform', table = 'clients', column = 'epoch';
    end if;
    return new;
end
$$;

-- Triggers fire in the order of their names: apply_tier, erased, grace, keep_identity, place, touch.
create trigger apply_tier before insert or update on platform.clients
    for each row execute function platform.apply_tier();
create trigger grace before update on platform.clients
    for each row execute function platform.grace();
create trigger keep_identity before update on platform.clients
    for each row execute function platform.keep_identity();
create trigger touch before update on platform.clients
    for each row when (old.* is distinct from new.*) execute function platform.touch();

-- A tier with clients keeps its hosting, since another one would mean to move them; a new limit reaches
-- every client that does not override it, in the same transaction.
create function platform.apply_tier_to_clients() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- A snapshot older than the lock would miss clients placed since.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'hosting and limits of a tier are changed under read committed only'
            using errcode = 'invalid_transaction_state';
    end if;
    if new.hosting <> old.hosting and exists (
        select from platform.clients c
        where c.tier = new.name and c.deleted_at is null
          and c.hosting <> new.hosting and not c.limit_overrides ? 'hosting') then
        raise exception 'tier % has clients with % hosting', new.name, old.hosting
            using errcode = 'check_violation', constraint = 'tiers_hosting_in_use',
                  schema = 'platform', table = 'tiers', column = 'hosting',
                  hint = 'give them another tier, or name "hosting" in their limit_overrides';
    end if;
    if new.max_sidekicks is distinct from old.max_sidekicks then
        update platform.clients c set max_sidekicks = new.max_sidekicks
        where c.tier = new.name and not c.limit_overrides ? 'max_sidekicks';
    end if;
    if new.limits <> old.limits then
        update platform.clients c set grace = g.grace
        from (
            select id, platform.graced(
                       grace,
                       platform.limits_of(old.limits, limit_overrides, max_sidekicks),
                       platform.limits_of(new.limits, limit_overrides, max_sidekicks),
                       coalesce(grace_days, new.grace_days)) as grace
            from platform.clients
            where tier = new.name and deleted_at is null
        ) g
        where c.id = g.id and c.grace <> g.grace;
    end if;
    return null;
end
$$;

create trigger apply_tier_to_clients after update on platform.tiers
    for each row
    when (old.hosting <> new.hosting or old.max_sidekicks is distinct from new.max_sidekicks
          or old.limits <> new.limits)
    execute function platform.apply_tier_to_clients();
