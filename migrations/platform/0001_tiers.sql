-- What a client may have. Tiers are rows, so that another set of tiers needs no other schema.

create schema if not exists platform;

-- Every limit is a whole number, or null for unlimited, and has a name.
create function platform.are_limits(p_limits jsonb) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(p_limits) = 'object'
        then not exists (
            select from jsonb_each(p_limits) l
            where l.value::text !~ '^(null|[0-9]{1,18})$' or l.key !~ '^[a-z][a-z0-9_]{0,62}$')
        else false
    end
$$;

create function platform.are_features(p_features jsonb) returns boolean
language sql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(p_features) = 'object'
        then not exists (
            select from jsonb_each(p_features) f
            where jsonb_typeof(f.value) <> 'boolean' or f.key !~ '^[a-z][a-z0-9_]{0,62}$')
        else false
    end
$$;

create table platform.tiers (
    name           text    primary key,
    hosting        text    not null,
    max_sidekicks  integer,
    limits         jsonb   not null default '{}',
    features       jsonb   not null default '{}',
    position       integer not null default 0,
    retention_days integer,
    grace_days     integer not null default 0,
    offered        boolean not null default true,
    constraint tiers_name_format check (name ~ '^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$'),
    constraint tiers_hosting_known check (hosting in ('shared', 'dedicated')),
    constraint tiers_max_sidekicks_not_negative check (max_sidekicks >= 0),
    constraint tiers_limits_valid check (platform.are_limits(limits)),
    constraint tiers_features_valid check (platform.are_features(features)),
    constraint tiers_retention_days_not_negative check (retention_days >= 0),
    constraint tiers_grace_days_valid check (grace_days between 0 and 3650)
);

comment on column platform.tiers.max_sidekicks is 'null: unlimited';
comment on column platform.tiers.retention_days is 'null: for ever';
comment on column platform.tiers.grace_days is 'so long stays allowed what a limit allowed before it fell';
comment on column platform.tiers.offered is 'false: keeps the clients it has, and is named to nobody';

insert into platform.tiers (name, hosting, max_sidekicks, position) values
    ('adventurer', 'shared',    1,    1),
    ('champion',   'dedicated', null, 2),
    ('paragon',    'dedicated', null, 3);
