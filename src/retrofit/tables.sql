-- The host's tables, and what they had before anything is done to them.
select c.oid::int8 as oid, n.nspname::text as schema, c.relname::text as name,
       format('%I.%I', n.nspname, c.relname) as sql,
       c.relkind = 'r' and c.relpersistence <> 't' and not c.relispartition
           and not exists (select from pg_inherits h where c.oid in (h.inhrelid, h.inhparent)) as plain,
       pg_has_role(c.relowner, 'usage') as owned,
       -- A partition is what the table is that it is of: nobody but its owner has rights on it.
       exists (select from pg_policy p
               where p.polname = 'tenantry_scope'
                 and (p.polrelid = c.oid or p.polrelid in (select relid from pg_partition_ancestors(c.oid)))) as protected,
       c.relrowsecurity or c.relforcerowsecurity or exists (select from pg_policy p where p.polrelid = c.oid) as secured,
       exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'client_id' and not a.attisdropped) as has_client,
       exists (select from tenantry.shared_tables s
               where s.relation = c.oid or s.relation in (select relid from pg_partition_ancestors(c.oid))) as shared,
       (select array_agg(quote_ident(a.attname) order by k.n)
        from pg_index i
        cross join lateral unnest(i.indkey::int2[]) with ordinality k (attnum, n)
        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
        where i.indrelid = c.oid and i.indisprimary and k.n <= i.indnkeyatts) as primary_key,
       -- Its own sequences, quoted.
       coalesce((select array_agg(d.objid::regclass::text order by d.objid)
        from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = c.oid and d.deptype in ('a', 'i')), '{}') as sequences,
       -- What gives everybody but its owner the rights back that they have.
       coalesce((
           select array_agg(distinct format('grant %s on %s to %s%s', g.privilege, g.object,
                                            case g.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
                                            case when g.is_grantable then ' with grant option' else '' end))
           from (
               select x.privilege_type as privilege, format('table %I.%I', n.nspname, c.relname) as object, x.grantee, x.is_grantable
               from aclexplode(c.relacl) x
               union all
               select format('%s (%I)', x.privilege_type, a.attname), format('table %I.%I', n.nspname, c.relname), x.grantee, x.is_grantable
               from pg_attribute a, aclexplode(a.attacl) x where a.attrelid = c.oid and not a.attisdropped
               union all
               select x.privilege_type, format('sequence %s', s.oid::regclass), x.grantee, x.is_grantable
               from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S', aclexplode(s.relacl) x
               where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
                 and d.refobjid = c.oid and d.deptype in ('a', 'i')
           ) g
           where g.grantee <> c.relowner), '{}') as grants,
       -- Who may do what row-level security does not hold.
       coalesce((select array_agg(distinct case x.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(x.grantee)) end)
        from aclexplode(c.relacl) x
        where x.grantee <> c.relowner and x.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER')), '{}') as oversteppers,
       coalesce((select array_agg(distinct pg_get_userbyid(x.grantee)::text)
        from aclexplode(c.relacl) x where x.grantee not in (0, c.relowner)), '{}') as grantees
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f')
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname
