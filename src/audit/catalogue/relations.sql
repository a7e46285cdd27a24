-- The host's tables, partitions, views and foreign tables, with what guards them and who may do what. $1 is the app role.
with recursive way (oid, path) as (
    select r.oid, array[r.oid] from pg_catalog.pg_roles r where r.rolname = $1::name
    union all
    select m.roleid, way.path || m.roleid
    from way
    join pg_catalog.pg_auth_members m on m.member = way.oid
    where m.roleid <> all (way.path)
      and (m.admin_option or coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean, true)
           or coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean, true))
),
reached as (select distinct oid from way),
-- Roles that see what they see by intention: the database's owner and superusers.
trusted as (
    select r.oid from pg_catalog.pg_roles r
    where r.rolsuper or r.oid = (select d.datdba from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
),
relation as (
    select c.*, n.nspname, pg_catalog.format('%I.%I', n.nspname, c.relname) as sql
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
      and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
),
granted as (
    select r.oid, a.grantee, a.privilege_type, a.is_grantable, null::text as column_name
    from relation r,
         pg_catalog.aclexplode(coalesce(r.relacl, pg_catalog.acldefault(case r.relkind when 'S' then 's'::"char" else 'r' end, r.relowner))) a
    where a.grantee <> r.relowner
    union all
    select r.oid, a.grantee, a.privilege_type, a.is_grantable, t.attname::text
    from relation r join pg_catalog.pg_attribute t on t.attrelid = r.oid and t.attacl is not null and not t.attisdropped,
         pg_catalog.aclexplode(t.attacl) a
    where a.grantee <> r.relowner
),
grants as (
    select g.oid, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'to', case g.grantee when 0 then 'public' else pg_catalog.pg_get_userbyid(g.grantee) end,
               'who', case when g.grantee = 0 then 'public' when g.grantee in (select oid from reached) then 'app' else 'other' end,
               'right', g.privilege_type, 'grantable', g.is_grantable, 'column', g.column_name)
           order by g.grantee, g.privilege_type, g.column_name) as grants
    from granted g
    where g.grantee = 0 or g.grantee in (select oid from reached) or g.grantee not in (select oid from trusted)
    group by g.oid
),
functions as (
    select d.objid as policy, pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_object(
               'sql', p.oid::pg_catalog.regprocedure::text, 'kernel', n.nspname = 'tenantry', 'volatility', p.provolatile,
               'parallel', p.proparallel, 'definer', p.prosecdef,
               'pinned', p.prosqlbody is not null or exists (select from pg_catalog.unnest(p.proconfig) s where s ~ '^search_path='),
               'extension', exists (select from pg_catalog.pg_depend e where e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                                      and e.objid = p.oid and e.deptype = 'e'))) as functions
    from pg_catalog.pg_depend d
    join pg_catalog.pg_proc p on p.oid = d.refobjid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
    group by d.objid
),
policies as (
    select p.polrelid, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'name', pg_catalog.quote_ident(p.polname), 'permissive', p.polpermissive, 'command', p.polcmd,
               'roles', (select pg_catalog.jsonb_agg(case when r = 0 then 'public' else pg_catalog.pg_get_userbyid(r) end order by r)
                         from pg_catalog.unnest(p.polroles) r),
               'reaches_app', 0 = any (p.polroles) or exists (select from reached where reached.oid = any (p.polroles)),
               'using', pg_catalog.pg_get_expr(p.polqual, p.polrelid),
               'check', pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid),
               'functions', coalesce(f.functions, '[]'),
               'reads', array(select distinct d.refobjid::pg_catalog.regclass::text from pg_catalog.pg_depend d
                              where d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = p.oid
                                and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> p.polrelid))
           order by p.polname) as policies
    from pg_catalog.pg_policy p left join functions f on f.policy = p.oid
    group by p.polrelid
),
triggers as (
    select t.tgrelid, pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
               'name', pg_catalog.quote_ident(t.tgname), 'internal', t.tgisinternal, 'enabled', t.tgenabled,
               'function', p.oid::pg_catalog.regprocedure::text, 'of_kernel', n.nspname = 'tenantry', 'definer', p.prosecdef,
               'pinned', p.prosqlbody is not null or exists (select from pg_catalog.unnest(p.proconfig) s where s ~ '^search_path='),
               'sets_client', not t.tgisinternal and p.prosrc ~* 'new\.("?)client_id\1\s*:?=')
           order by t.tgname) as triggers
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where not t.tgisinternal or t.tgenabled <> 'O'
    group by t.tgrelid
),
rules as (
    select r.ev_class, array_agg(pg_catalog.quote_ident(r.rulename) order by r.rulename) as rules
    from pg_catalog.pg_rewrite r where r.rulename <> '_RETURN' group by r.ev_class
),
-- What a view reads.
sources as (
    select w.ev_class, array_agg(distinct d.refobjid::int8) as reads
    from pg_catalog.pg_rewrite w
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = w.oid
    where w.rulename = '_RETURN' and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> w.ev_class
    group by w.ev_class
)
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
    'oid', r.oid::int8, 'sql', r.sql, 'kind', r.relkind,
    'owner', pg_catalog.pg_get_userbyid(r.relowner),
    'owner_superuser', o.rolsuper,
    'owner_trusted', r.relowner in (select oid from trusted),
    'rls', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'partition', r.relispartition,
    'parents', array(select i.inhparent::int8 from pg_catalog.pg_inherits i where i.inhrelid = r.oid order by 1),
    'invoker', exists (select from pg_catalog.pg_options_to_table(r.reloptions) p
                       where p.option_name = 'security_invoker' and pg_catalog.lower(p.option_value) in ('true', 'on', '1', 'yes')),
    'client', (select pg_catalog.jsonb_build_object(
                   'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
                   'generated', a.attgenerated <> '', 'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid))
               from pg_catalog.pg_attribute a
               left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
               where a.attrelid = r.oid and a.attname = 'client_id' and not a.attisdropped),
    'sequence_of', (select d.refobjid::int8 from pg_catalog.pg_depend d
                    where r.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = r.oid
                      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.deptype in ('a', 'i') limit 1),
    'used_by', array(select distinct d.adrelid::int8 from pg_catalog.pg_depend e
                     join pg_catalog.pg_attrdef d on d.oid = e.objid
                     where r.relkind = 'S' and e.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
                       and e.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and e.refobjid = r.oid),
    'grants', coalesce(g.grants, '[]'), 'policies', coalesce(p.policies, '[]'), 'triggers', coalesce(t.triggers, '[]'),
    'rules', coalesce(u.rules, '{}'), 'reads', coalesce(s.reads, '{}')
) order by r.sql), '[]')
from relation r
join pg_catalog.pg_roles o on o.oid = r.relowner
left join grants g on g.oid = r.oid
left join policies p on p.polrelid = r.oid
left join triggers t on t.tgrelid = r.oid
left join rules u on u.ev_class = r.oid
left join sources s on s.ev_class = r.oid
