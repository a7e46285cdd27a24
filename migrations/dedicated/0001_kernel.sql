-- The twin of the pool kernel on a database of one client: the same names, so that one set of host
-- migrations serves both. Nothing is scoped here; the database itself is the boundary.

create table tenantry.installation (
    only_row       boolean     primary key default true check (only_row),
    kind           text        not null check (kind in ('pool', 'dedicated')),
    kernel_version integer     not null,
    app_role       name,
    client_id      uuid,
    host_version   bigint,
    host_checksum  bytea,
    installed_at   timestamptz not null default now()
);

insert into tenantry.installation (kind, kernel_version) values ('dedicated', 1);

create table tenantry.shared_tables (
    relation oid primary key
);

create function tenantry.current_client() returns uuid
language plpgsql immutable parallel safe
as $$
begin
    raise exception 'this database does not know its client: call tenantry.configure first' using errcode = 'TN006';
end
$$;

create function tenantry.enter(p_ticket text) returns text
language sql immutable parallel safe
return 'entered';

create function tenantry.leave(p_ticket text) returns void
language sql immutable parallel safe
begin atomic
end;

create function tenantry.kernel(out kind text, out version integer, out shared_tables oid[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select i.kind, i.kernel_version,
           array(select s.relation from tenantry.shared_tables s order by 1)
    from tenantry.installation i
$$;

create function tenantry.app_role() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role name := (select app_role from tenantry.installation);
begin
    if v_role is null then
        raise exception 'the kernel does not know its app role: call tenantry.configure first'
            using errcode = 'TN006';
    end if;
    return v_role;
end
$$;

-- Names the app role and the one client. A database never changes its client.
create function tenantry.configure(p_app_role name, p_client uuid) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from tenantry.installation where client_id <> p_client) then
        raise exception 'this database belongs to another client than %', p_client using errcode = 'TN006';
    end if;
    update tenantry.installation set app_role = p_app_role, client_id = p_client;
    execute format(
        'create or replace function tenantry.current_client() returns uuid language sql immutable parallel safe return %L::uuid',
        p_client);
    execute format('grant connect on database %I to %I', current_database(), p_app_role);
    execute format('grant usage on schema tenantry to %I', p_app_role);
end
$$;

create function tenantry.protect(p_table regclass) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_app      name := tenantry.app_role();
    v_relation regclass;
begin
    if exists (select from pg_attribute where attrelid = p_table and attname = 'client_id' and not attisdropped) then
        execute format('alter table %s alter column client_id set default %L::uuid', p_table, tenantry.current_client());
    end if;
    execute format('grant select, insert, update, delete on %s to %I', p_table, v_app);
    for v_relation in
        select d.objid::regclass from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = p_table and d.deptype = 'a'
    loop
        execute format('grant usage on sequence %s to %I', v_relation, v_app);
    end loop;
end
$$;

create function tenantry.share(p_table regclass) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_app name := tenantry.app_role();
begin
    insert into tenantry.shared_tables values (p_table) on conflict do nothing;
    execute format('revoke all on %s from public, %I', p_table, v_app);
    execute format('grant select on %s to %I', p_table, v_app);
end
$$;

revoke execute on function tenantry.configure(name, uuid), tenantry.protect(regclass), tenantry.share(regclass) from public;
revoke all on all tables in schema tenantry from public;
