-- The host's functions, as far as they could reach past row-level security. $1 is the app role.
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
reached as (select distinct oid from way)
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
    'sql', p.oid::pg_catalog.regprocedure::text,
    'owner', pg_catalog.pg_get_userbyid(p.proowner),
    'owner_superuser', o.rolsuper,
    'owner_bypasses', o.rolsuper or o.rolbypassrls,
    'procedure', p.prokind = 'p',
    'definer', p.prosecdef, 'volatility', p.provolatile, 'parallel', p.proparallel, 'leakproof', p.proleakproof,
    'language', l.lanname, 'trusted', l.lanpltrusted or l.lanname = 'sql',
    'pinned', exists (select from pg_catalog.unnest(p.proconfig) s where s ~ '^search_path='),
    'sql_body', p.prosqlbody is not null,
    'temp_last', exists (select from pg_catalog.unnest(p.proconfig) s
                         where s ~ '^search_path=' and s ~ 'pg_temp"?\s*$'),
    'settings', array(select pg_catalog.split_part(s, '=', 1) from pg_catalog.unnest(p.proconfig) s order by 1),
    'row_security_off', exists (select from pg_catalog.unnest(p.proconfig) s where s = 'row_security=off'),
    'callable', exists (select from pg_catalog.aclexplode(coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))) a
                        where a.grantee = 0 or a.grantee in (select oid from reached)),
    'trigger', p.prorettype in ('pg_catalog.trigger'::pg_catalog.regtype, 'pg_catalog.event_trigger'::pg_catalog.regtype),
    'reads_scope', body.text ~* '(current_client|current_setting)\s*\(',
    'source', pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(body.text, 'UTF8')), 'hex')
) order by p.oid::pg_catalog.regprocedure::text), '[]')
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
join pg_catalog.pg_roles o on o.oid = p.proowner
cross join lateral (select coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) as text) body
where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass and d.objid = p.oid and d.deptype = 'e')
