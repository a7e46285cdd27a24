-- What makes a pool database unsafe for the role that asks, one text a row.
with recursive
me as (select oid, rolname from pg_roles where rolname = current_user),
-- Inherited or reachable by SET ROLE: both are ways in.
reachable as (
    select r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication
    from pg_roles r, me
    where r.oid = me.oid or pg_has_role(me.oid, r.oid, 'MEMBER')
),
way as (
    select r.*, case when r.oid = me.oid then 'the app role ' || quote_ident(me.rolname)
                     else 'the app role ' || quote_ident(me.rolname) || ', through ' || quote_ident(r.rolname) || ',' end as who
    from reachable r, me
),
host_relation as (
    select c.oid, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
           format('%I.%I', n.nspname, c.relname) as name,
           c.oid = any (select unnest(k.shared_tables) from tenantry.kernel() k) as shared
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry')
      and n.nspname !~ '^pg_(toast|temp)'
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
-- What a role that it can take may do, it may do.
reached as (
    select h.*, rights.writes, rights.oversteps
    from host_relation h
    cross join lateral (
        select bool_or(has_any_column_privilege(r.oid, h.oid, 'select, insert, update')
                       or has_table_privilege(r.oid, h.oid, 'delete, truncate, references, trigger')) as any_right,
               bool_or(has_any_column_privilege(r.oid, h.oid, 'insert, update')
                       or has_table_privilege(r.oid, h.oid, 'delete, truncate')) as writes,
               bool_or(has_any_column_privilege(r.oid, h.oid, 'references')
                       or has_table_privilege(r.oid, h.oid, 'truncate, references, trigger')) as oversteps
        from reachable r
    ) rights
    where rights.any_right
)
select who || ' is a superuser' from way where rolsuper
union all
select who || ' has BYPASSRLS' from way where rolbypassrls
union all
select who || ' has CREATEROLE, and can grant itself others' from way where rolcreaterole
union all
select who || ' has REPLICATION, and can stream every row' from way where rolreplication
union all
select who || ' reads or writes past the grants' from way
where rolname in ('pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',
                  'pg_execute_server_program')
union all
select who || ' owns the database' from way
where oid = (select datdba from pg_database where datname = current_database())
union all
select who || ' owns the schema ' || quote_ident(n.nspname) from way join pg_namespace n on n.nspowner = way.oid
union all
select who || ' owns the table ' || h.name from way join host_relation h on h.relowner = way.oid
union all
select who || ' owns a table of the kernel' from way
where exists (select from pg_class c where c.relowner = way.oid and c.relnamespace = 'tenantry'::regnamespace)
union all
select 'the app role may read the kernel table ' || c.relname
from pg_class c
where c.relnamespace = 'tenantry'::regnamespace and c.relkind in ('r', 'p')
  and exists (
      select from reachable r
      where has_any_column_privilege(r.oid, c.oid, 'select, insert, update, references')
         or has_table_privilege(r.oid, c.oid, 'delete, truncate, trigger'))
union all
select 'the app role may create temporary tables'
where exists (select from reachable r where has_database_privilege(r.oid, current_database(), 'temporary'))
union all
select 'the app role may create schemas and extensions'
where exists (select from reachable r where has_database_privilege(r.oid, current_database(), 'create'))
union all
select 'the app role may create objects in the schema ' || quote_ident(n.nspname)
from pg_namespace n
where n.nspname !~ '^pg_(toast|temp)'
  and exists (select from reachable r where has_schema_privilege(r.oid, n.oid, 'create'))
union all
select 'table ' || name || ' has no row-level security' from reached
where relkind in ('r', 'p') and not shared and not relrowsecurity
union all
select 'table ' || name || ' does not force row-level security' from reached
where relkind in ('r', 'p') and not shared and relrowsecurity and not relforcerowsecurity
union all
select 'table ' || name || ' has no tenant policy as tenantry.protect makes it' from reached h
where relkind in ('r', 'p') and not shared and relrowsecurity and relforcerowsecurity
  and not exists (
      select from pg_policy p
      where p.polrelid = h.oid and not p.polpermissive and p.polcmd = '*' and p.polroles = array[0::oid]
        and pg_get_expr(p.polqual, p.polrelid) = '(client_id = ( SELECT tenantry.current_client() AS current_client))'
        and pg_get_expr(p.polwithcheck, p.polrelid) = '(client_id = ( SELECT tenantry.current_client() AS current_client))')
union all
select 'the shared table ' || name || ' can be written by the app role' from reached
where shared and writes
union all
select 'the app role has TRUNCATE, REFERENCES or TRIGGER on ' || name from reached where oversteps
union all
select 'view ' || name || ' is not security_invoker' from reached
where relkind = 'v' and not coalesce(
    (select lower(o.option_value) in ('true', 'on', '1', 'yes')
     from pg_options_to_table(reloptions) o where o.option_name = 'security_invoker'), false)
union all
select 'materialized view ' || name || ' is past row-level security' from reached where relkind = 'm'
union all
select 'foreign table ' || name || ' is past row-level security' from reached where relkind = 'f'
