-- Every function and procedure that the role may call. Those of extensions are left out, and those with an unnamed
-- parameter: arguments go by name.
select p.proname::text as name,
       format('%I.%I', n.nspname, p.proname) as sql,
       coalesce(array(select a.name from unnest(p.proargnames) with ordinality a(name, at)
                      where coalesce(p.proargmodes[a.at], 'i') in ('i', 'b', 'v') order by a.at), '{}') as parameters,
       coalesce(array(select quote_ident(a.name) from unnest(p.proargnames) with ordinality a(name, at)
                      where coalesce(p.proargmodes[a.at], 'i') in ('i', 'b', 'v') order by a.at), '{}') as quoted_parameters,
       p.pronargdefaults as defaults,
       p.prosecdef as security_definer,
       p.prokind = 'p' as is_procedure,
       p.provolatile = 'v' as writes,
       case when t.typtype = 'c'
            then array(select quote_ident(a.attname) from pg_attribute a
                       where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum)
            else array(select quote_ident(a.name) from unnest(p.proargnames) with ordinality a(name, at)
                       where p.proargmodes[a.at] in ('o', 'b', 't') order by a.at)
       end as results
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_type t on t.oid = p.prorettype
where p.prokind in ('f', 'p') and pg_function_is_visible(p.oid)
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry')
  and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
  and t.typname not in ('trigger', 'event_trigger')
  and (p.pronargs = 0 or not '' = any (p.proargnames))
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
order by p.oid
