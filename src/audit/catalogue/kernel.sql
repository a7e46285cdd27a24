-- The kernel as it is: a line of text for each thing that the crate installs, who owns it, and who was given what of it.
-- $1 is the app role.
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
grantee (oid, name) as (
    select distinct oid, pg_catalog.pg_get_userbyid(oid)::text from way
    union all
    select 0, 'public'
),
function as (
    select p.*, p.oid::pg_catalog.regprocedure::text as sql
    from pg_catalog.pg_proc p where p.pronamespace = pg_catalog.to_regnamespace('tenantry')
      -- Those of relocations that are under way.
      and p.proname !~ '^change_[0-9a-f]{12}_'
),
relation as (
    select c.*, pg_catalog.format('tenantry.%I', c.relname) as sql
    from pg_catalog.pg_class c where c.relnamespace = pg_catalog.to_regnamespace('tenantry') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
),
known as (
    select r.* from relation r
    where r.relname in ('installation', 'turn', 'scope', 'moment', 'handles', 'placement', 'scope_keys', 'shared_tables', 'steps',
                        'relocations', 'arrivals', 'retrofits', 'retrofit_steps', 'retrofit_values', 'bridges')
),
line (thing, line) as (
    select 'function ' || f.sql,
           pg_catalog.concat_ws(' ', pg_catalog.pg_get_function_arguments(f.oid), '->', pg_catalog.pg_get_function_result(f.oid),
               l.lanname, f.provolatile, f.proparallel, f.prosecdef, f.proisstrict, f.proleakproof, f.proconfig::text,
               pg_catalog.regexp_replace(coalesce(pg_catalog.pg_get_function_sqlbody(f.oid), f.prosrc), '\s+', ' ', 'g'))
    from function f join pg_catalog.pg_language l on l.oid = f.prolang
    union all
    select 'relation ' || k.sql,
           pg_catalog.concat_ws(' ', k.relkind, k.relpersistence, k.relrowsecurity, (
               select pg_catalog.string_agg(pg_catalog.concat_ws(' ', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                                                a.attnotnull, pg_catalog.pg_get_expr(d.adbin, d.adrelid)), ', ' order by a.attnum)
               from pg_catalog.pg_attribute a
               left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
               where a.attrelid = k.oid and a.attnum > 0 and not a.attisdropped and k.relkind <> 'S'))
    from known k
    union all
    select 'constraint ' || pg_catalog.quote_ident(f.conname) || ' of ' || k.sql, pg_catalog.pg_get_constraintdef(f.oid)
    from pg_catalog.pg_constraint f join known k on k.oid = f.conrelid
    where f.contype in ('p', 'u', 'c', 'f')
    union all
    select 'trigger ' || pg_catalog.quote_ident(t.tgname) || ' of ' || k.sql,
           pg_catalog.concat_ws(' ', t.tgenabled, pg_catalog.pg_get_triggerdef(t.oid))
    from pg_catalog.pg_trigger t join known k on k.oid = t.tgrelid
    where not t.tgisinternal
)
select pg_catalog.jsonb_build_object(
    'lines', (select coalesce(pg_catalog.jsonb_object_agg(
                  line.thing, pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(line.line, ''), 'UTF8')), 'hex'), 32)), '{}')
              from line),
    'owners', (select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                          'thing', o.thing, 'owner', pg_catalog.quote_ident(r.rolname), 'superuser', r.rolsuper, 'definer', o.definer,
                          'of_database', r.oid = (select d.datdba from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
                          order by o.thing), '[]')
               from (select 'function ' || sql, proowner, prosecdef from function
                     union all
                     select 'relation ' || sql, relowner, false from relation
                     union all
                     select 'schema tenantry', n.nspowner, false from pg_catalog.pg_namespace n where n.nspname = 'tenantry') o (thing, owner, definer)
               join pg_catalog.pg_roles r on r.oid = o.owner),
    'function_grants', (select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                   'function', f.sql, 'to', g.name, 'app', g.name = $1::text) order by f.sql, g.name), '[]')
                        from pg_catalog.pg_proc p
                        cross join lateral (select p.oid::pg_catalog.regprocedure::text as sql) f
                        cross join lateral pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
                        join grantee g on g.oid = a.grantee
                        where p.pronamespace = pg_catalog.to_regnamespace('tenantry') and a.grantee <> p.proowner),
    'relation_grants', (select coalesce(pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_object(
                                   'relation', r.sql, 'kind', r.relkind, 'to', g.name, 'right', a.privilege_type)), '[]')
                        from relation r
                        cross join lateral (
                            select * from pg_catalog.aclexplode(coalesce(r.relacl, pg_catalog.acldefault(
                                case r.relkind when 'S' then 's'::"char" else 'r' end, r.relowner)))
                            union all
                            select e.* from pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) e where t.attrelid = r.oid) a
                        join grantee g on g.oid = a.grantee
                        where a.grantee <> r.relowner)
)
