-- What the schema of each pool and dedicated database was when it was last looked at, and what was done to it, when and
-- by whom. The databases themselves are right where this differs: it is written after them.

create table platform.known_schemas (
    id              uuid        primary key,
    kind            text        not null,
    client_id       uuid        generated always as (case kind when 'dedicated' then id end) stored,
    host_version    bigint,
    host_checksum   text,
    kernel_version  bigint,
    kernel_checksum text,
    shape           text,
    failure         text,
    updated_at      timestamptz not null default now(),
    constraint known_schemas_kind_known check (kind in ('pool', 'dedicated')),
    constraint known_schemas_checksums_hex check (
        host_checksum ~ '^[0-9a-f]{64}$' and kernel_checksum ~ '^[0-9a-f]{64}$')
);

comment on column platform.known_schemas.id is
    'of the pool, or of the client whose database it is; no foreign key: databases that wait for a client have theirs';
comment on column platform.known_schemas.host_checksum is
    'of all migrations of the host that are applied; null where something was begun and is not known to have ended';
comment on column platform.known_schemas.shape is 'a hash of the tables as they were left';
comment on column platform.known_schemas.failure is 'why the last attempt to migrate it failed';

-- One row a call that found something to do.
create table platform.fleet_runs (
    id         uuid        primary key default gen_random_uuid(),
    actor      text        not null default coalesce(nullif(current_setting('platform.actor', true), ''), session_user),
    direction  text        not null,
    target     bigint,
    databases  integer     not null,
    started_at timestamptz not null default now(),
    ended_at   timestamptz,
    outcome    text,
    migrated   integer     not null default 0,
    failed     integer     not null default 0,
    constraint fleet_runs_direction_known check (direction in ('up', 'down')),
    constraint fleet_runs_outcome_known check (outcome in ('completed', 'stopped', 'paused', 'interrupted')),
    constraint fleet_runs_ended check ((ended_at is null) = (outcome is null))
);

create index fleet_runs_started_at_idx on platform.fleet_runs (started_at);

-- One row a migration that was applied, rolled back or failed, of one database.
create table platform.fleet_log (
    id            bigint      primary key generated always as identity,
    at            timestamptz not null default clock_timestamp(),
    actor         text,
    run_id        uuid,
    database_id   uuid        not null,
    database_name text        not null,
    migrations    text        not null,
    version       bigint      not null,
    direction     text        not null,
    checksum      text,
    elapsed_ms    bigint,
    failure       text,
    constraint fleet_log_migrations_known check (migrations in ('kernel', 'host')),
    constraint fleet_log_direction_known check (direction in ('up', 'down')),
    constraint fleet_log_checksum_hex check (checksum ~ '^[0-9a-f]+$')
);

comment on column platform.fleet_log.run_id is
    'null: found in the database. It was done by hand, by the set-up of a client, or by a run that did not live to say so';
comment on column platform.fleet_log.database_id is 'no foreign key: the log outlives the database';

create index fleet_log_database_id_idx on platform.fleet_log (database_id, id);
create index fleet_log_run_id_idx on platform.fleet_log (run_id) where run_id is not null;

-- Processes that hold the database to a version look again.
create function platform.notify_schema() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform pg_notify(
        'tenantry_clients',
        jsonb_build_object(case new.kind when 'pool' then 'pool' else 'client' end, new.id)::text);
    return null;
end
$$;

create trigger notify after insert on platform.known_schemas
    for each row execute function platform.notify_schema();
create trigger notify_changes after update on platform.known_schemas
    for each row when (old.host_version is distinct from new.host_version)
    execute function platform.notify_schema();

-- Another connection may lead to another database: nothing is known of that one.
create function platform.forget_schema() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from platform.known_schemas where id = old.id;
    return null;
end
$$;

create trigger forget_schema after update on platform.clients
    for each row
    when ((old.hosting, old.app_connection, old.admin_connection)
          is distinct from (new.hosting, new.app_connection, new.admin_connection))
    execute function platform.forget_schema();
create trigger forget_schema_of_deleted after delete on platform.clients
    for each row execute function platform.forget_schema();
create trigger forget_schema after delete on platform.pools
    for each row execute function platform.forget_schema();

create trigger audit after insert or update or delete on platform.known_schemas
    for each row execute function platform.audit('id', 'kind');
create trigger append_only before update or delete or truncate on platform.fleet_log
    for each statement execute function platform.refuse('the log is append-only');
create trigger no_truncate before truncate on platform.known_schemas
    for each statement execute function platform.refuse('delete its rows');
create trigger no_truncate before truncate on platform.fleet_runs
    for each statement execute function platform.refuse('delete its rows');

revoke all on platform.known_schemas, platform.fleet_runs, platform.fleet_log from public;
