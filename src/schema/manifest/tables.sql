-- Every table of the host, with what of it a client's rows are made of.
--
-- Partitions are left out, since their rows are their parents'; so are tables of extensions. Materialized views hold
-- nothing of their own. What a type is made of decides how its values travel: the binary form of arrays and composites
-- of the host's types, and of the names of catalogue entries, holds oids, which are those of one database alone.
with recursive base (oid, base) as (
    select t.oid, t.oid from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select t.oid, b.base from pg_catalog.pg_type t join base b on b.oid = t.typbasetype where t.typtype = 'd'
), kinds as (
    select a.oid, b.typsend, b.typsend = 0 or b.typreceive = 0 or names.any as as_text,
           b.typtype = 'c' or (b.typtype in ('r', 'm') and b.oid >= 16384)
               or (b.typcategory = 'A' and (b.typelem >= 16384 or e.typtype = 'c')) as has_oids
    from base a
    join pg_catalog.pg_type b on b.oid = a.base
    left join pg_catalog.pg_type e on e.oid = b.typelem and b.typcategory = 'A',
    lateral (select coalesce(coalesce(e.typname, b.typname) ~ '^reg', false)
                    and coalesce(e.typnamespace, b.typnamespace) = 'pg_catalog'::pg_catalog.regnamespace as any) names
), of_extensions as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), root (relation, root) as (
    select c.oid, coalesce(pg_catalog.pg_partition_root(c.oid), c.oid) from pg_catalog.pg_class c
    where c.relkind in ('r', 'p')
)
select c.oid::int8 as oid,
       n.nspname::text as schema,
       c.relname::text as name,
       format('%I.%I', n.nspname, c.relname) as sql,
       c.relkind = 'p' as partitioned,
       c.relkind = 'f' as elsewhere,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'name', a.attname,
                    'sql', quote_ident(a.attname),
                    -- An extension may be in another schema there.
                    'type_name', case when x.objid is not null
                                 then replace(format_type(a.atttypid, a.atttypmod), quote_ident(tn.nspname) || '.', '')
                                 else format_type(a.atttypid, a.atttypmod) end,
                    'type_sql', format_type(a.atttypid, a.atttypmod),
                    'generated', a.attgenerated <> '',
                    'is_client', a.attname = 'client_id' and a.atttypid = 'uuid'::regtype,
                    'as_text', k.as_text,
                    'hashed', case when k.as_text or k.has_oids
                              then format('pg_catalog.textsend(%I::pg_catalog.text)', a.attname)
                              else format('%I.%I(%I)', sn.nspname, s.proname, a.attname) end,
                    'hashed_as_sent', k.as_text or not coalesce(k.has_oids, false))
                    order by a.attnum)
                 from pg_catalog.pg_attribute a
                 -- None of these may lose a column.
                 left join pg_catalog.pg_type t on t.oid = a.atttypid
                 left join kinds k on k.oid = t.oid
                 left join pg_catalog.pg_proc s on s.oid = k.typsend
                 left join pg_catalog.pg_namespace sn on sn.oid = s.pronamespace
                 left join pg_catalog.pg_type te on te.oid = case when t.typcategory = 'A' and t.typelem <> 0
                                                                  then t.typelem else t.oid end
                 left join pg_catalog.pg_namespace tn on tn.oid = te.typnamespace
                 left join of_extensions x on x.classid = 'pg_catalog.pg_type'::regclass and x.objid = te.oid
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'column', q.attname, 'sql', format('%I.%I', sn.nspname, s.relname), 'increment', i.seqincrement,
                    'last', pg_catalog.pg_sequence_last_value(s.oid)) order by q.attname)
                 from (select a.attname, d.objid as sequence
                       from pg_catalog.pg_depend d
                       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid
                       where d.classid = 'pg_catalog.pg_class'::regclass and d.refclassid = d.classid
                         and d.refobjid = c.oid and d.deptype in ('a', 'i')
                       union
                       select a.attname, d.refobjid
                       from pg_catalog.pg_attrdef f
                       join pg_catalog.pg_attribute a on a.attrelid = f.adrelid and a.attnum = f.adnum
                       join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_attrdef'::regclass and d.objid = f.oid
                                                   and d.refclassid = 'pg_catalog.pg_class'::regclass
                       where f.adrelid = c.oid) q
                 join pg_catalog.pg_class s on s.oid = q.sequence and s.relkind = 'S'
                 join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
                 join pg_catalog.pg_sequence i on i.seqrelid = s.oid), '[]') as sequences,
       coalesce((select jsonb_agg(distinct jsonb_build_object('to', f.root::int8, 'deferrable', r.condeferrable))
                 from pg_catalog.pg_constraint r
                 join root h on h.relation = r.conrelid and h.root = c.oid
                 join root f on f.relation = r.confrelid
                 where r.contype = 'f'), '[]') as references,
       coalesce((select array_agg(format('%I.%I', ln.nspname, lc.relname) order by l.relid)
                 from pg_catalog.pg_partition_tree(c.oid) l
                 join pg_catalog.pg_class lc on lc.oid = l.relid and lc.relkind <> 'p'
                 join pg_catalog.pg_namespace ln on ln.oid = lc.relnamespace
                 where c.relkind = 'p'), '{}') as leaves
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from of_extensions d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid)
order by n.nspname, c.relname
