-- How far the host's migrations are, as in a pool database: the app role may read no ledger of migrations.

create function tenantry.host_version() returns bigint
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select i.host_version from tenantry.installation i
$$;

comment on column tenantry.installation.host_version is
    'the newest of the host''s migrations; lowered before the first is rolled back, raised after the last is applied';
