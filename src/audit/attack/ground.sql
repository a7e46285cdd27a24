-- Every table of the host but those ($2) with what its rows are made of, and what the app role ($1) may do with it.
with recursive base (oid, base, typmod) as (
    select t.oid, t.oid, -1 from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select t.oid, b.base, case when b.typmod >= 0 then b.typmod else t.typtypmod end
    from pg_catalog.pg_type t join base b on b.oid = t.typbasetype where t.typtype = 'd'
), domains (oid, above) as (
    select t.oid, t.oid from pg_catalog.pg_type t where t.typtype = 'd'
    union all
    select d.oid, t.typbasetype from domains d join pg_catalog.pg_type t on t.oid = d.above
    join pg_catalog.pg_type b on b.oid = t.typbasetype and b.typtype = 'd'
), of_extensions as (
    select d.objid from pg_catalog.pg_depend d
    where d.deptype = 'e' and d.classid = 'pg_catalog.pg_class'::regclass
)
select c.oid::int8 as oid,
       format('%I.%I', n.nspname, c.relname) as sql,
       c.relname::text as name,
       exists (select from tenantry.shared_tables s where s.relation = c.oid) as shared,
       has_schema_privilege($1, n.oid, 'usage') and has_any_column_privilege($1, c.oid, 'select') as reads,
       has_schema_privilege($1, n.oid, 'usage') and has_any_column_privilege($1, c.oid, 'insert') as inserts,
       has_schema_privilege($1, n.oid, 'usage')
           and (has_any_column_privilege($1, c.oid, 'insert, update')
                or has_table_privilege($1, c.oid, 'delete, truncate')) as writes,
       has_table_privilege($1, c.oid, 'delete') as deletes,
       exists (select from pg_catalog.pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal) as triggered,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'attnum', a.attnum,
                    'name', a.attname,
                    'sql', quote_ident(a.attname),
                    'type_sql', format_type(a.atttypid, a.atttypmod),
                    'base', bt.typname,
                    'typmod', case when a.atttypmod >= 0 then a.atttypmod else b.typmod end,
                    'kind', bt.typtype,
                    'category', bt.typcategory,
                    'element', et.typname,
                    'labels', coalesce((select jsonb_agg(e.enumlabel order by e.enumsortorder)
                                        from pg_catalog.pg_enum e where e.enumtypid = coalesce(et.oid, bt.oid)), '[]'),
                    'parts', coalesce((
                        select jsonb_agg(jsonb_build_object(
                            'name', p.attname, 'domain', q.base <> p.atttypid, 'base', qt.typname, 'category', qt.typcategory, 'element', eq.typname,
                            'labels', coalesce((select jsonb_agg(e.enumlabel order by e.enumsortorder)
                                                from pg_catalog.pg_enum e where e.enumtypid = coalesce(eq.oid, qt.oid)), '[]'),
                            'typmod', case when p.atttypmod >= 0 then p.atttypmod else q.typmod end) order by p.attnum)
                        from pg_catalog.pg_attribute p
                        join base q on q.oid = p.atttypid
                        join pg_catalog.pg_type qt on qt.oid = q.base
                        left join pg_catalog.pg_type eq on eq.oid = qt.typelem and qt.typcategory = 'A'
                        where p.attrelid = coalesce(et.typrelid, bt.typrelid) and p.attnum > 0 and not p.attisdropped), '[]'),
                    'domain_checks', coalesce((
                        select jsonb_agg(pg_catalog.pg_get_expr(k.conbin, 0)) from domains d
                        join pg_catalog.pg_constraint k on k.contypid = d.above and k.contype = 'c'
                        where d.oid = a.atttypid), '[]'),
                    'base_sql', format_type(b.base, case when a.atttypmod >= 0 then a.atttypmod else b.typmod end),
                    'required', a.attnotnull or exists (
                        select from domains d join pg_catalog.pg_type t on t.oid = d.above and t.typnotnull
                        where d.oid = a.atttypid),
                    'default', a.atthasdef or a.attidentity <> '' or t.typdefault is not null,
                    'generated', a.attgenerated <> '',
                    'identity_always', a.attidentity = 'a',
                    'inserts', has_column_privilege($1, c.oid, a.attnum, 'insert'),
                    'updates', has_column_privilege($1, c.oid, a.attnum, 'update'))
                    order by a.attnum)
                 from pg_catalog.pg_attribute a
                 join pg_catalog.pg_type t on t.oid = a.atttypid
                 join base b on b.oid = a.atttypid
                 join pg_catalog.pg_type bt on bt.oid = b.base
                 left join pg_catalog.pg_type et on et.oid = bt.typelem and bt.typcategory = 'A'
                 where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '[]') as columns,
       coalesce((select jsonb_agg(jsonb_build_object('sql', pg_catalog.pg_get_expr(k.conbin, k.conrelid), 'columns', k.conkey))
                 from pg_catalog.pg_constraint k where k.conrelid = c.oid and k.contype = 'c' and k.conkey is not null), '[]') as checks,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'primary', i.indisprimary,
                    'columns', case when i.indexprs is null
                               then (select jsonb_agg(k.k order by k.at) from unnest(i.indkey::int2[]) with ordinality k (k, at)
                                     where k.at <= i.indnkeyatts)
                               else (select jsonb_agg(distinct k.k) from (
                                         select unnest(i.indkey::int2[]) union all
                                         select d.refobjsubid from pg_catalog.pg_depend d
                                         where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid
                                           and d.refobjid = c.oid) k (k) where k.k > 0) end))
                 from pg_catalog.pg_index i join pg_catalog.pg_class ic on ic.oid = i.indexrelid
                 where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)), '[]') as keys,
       -- What rows meet that are in a key for some of them.
       coalesce((select jsonb_agg(jsonb_build_object(
                    'sql', pg_catalog.pg_get_expr(i.indpred, i.indrelid),
                    'columns', (select jsonb_agg(distinct d.refobjsubid) from pg_catalog.pg_depend d
                                where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid
                                  and d.refobjid = c.oid and d.refobjsubid > 0)))
                 from pg_catalog.pg_index i
                 where i.indrelid = c.oid and i.indisunique and i.indpred is not null), '[]') as partial_keys,
       coalesce((select jsonb_agg(jsonb_build_object(
                    'name', k.conname, 'columns', k.conkey, 'to', k.confrelid::int8,
                    'to_columns', (select jsonb_agg(a.attname order by f.at) from unnest(k.confkey) with ordinality f (f, at)
                                   join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = f.f),
                    'cascades', k.confdeltype in ('c', 'n', 'd')) order by k.conname)
                 from pg_catalog.pg_constraint k
                 where k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0), '[]') as references,
       coalesce((select jsonb_agg(pg_catalog.pg_get_expr(pc.relpartbound, pc.oid))
                 from pg_catalog.pg_partition_tree(c.oid) p join pg_catalog.pg_class pc on pc.oid = p.relid
                 where pc.relpartbound is not null and c.relkind = 'p'), '[]') as bounds,
       coalesce((select jsonb_agg(distinct a.attnum)
                 from pg_catalog.pg_partition_tree(c.oid) p
                 join pg_catalog.pg_partitioned_table t on t.partrelid = p.relid,
                 unnest(t.partattrs::int2[]) k (k)
                 join pg_catalog.pg_attribute b on b.attnum = k.k
                 join pg_catalog.pg_attribute a on a.attname = b.attname
                 where c.relkind = 'p' and b.attrelid = t.partrelid and a.attrelid = c.oid), '[]') as partition_columns,
       coalesce((select jsonb_agg(p.policy) from (
                    select coalesce(pg_catalog.pg_get_expr(y.polqual, y.polrelid), '') || ' '
                        || coalesce(pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid), '') as policy
                    from pg_catalog.pg_policy y where y.polrelid = c.oid) p), '[]') as policies
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and not exists (select from pg_catalog.pg_inherits h where h.inhrelid = c.oid)
  and c.oid::int8 <> all ($2)
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from of_extensions d where d.objid = c.oid)
order by n.nspname, c.relname
