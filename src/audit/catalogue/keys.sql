-- Indexes and foreign keys of the host's tables.
with relation as (
    select c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as sql, n.nspname
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
      and c.relkind in ('r', 'p', 'm', 'f')
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
),
column_of as (
    select i.indexrelid, k.n, a.attname::text as name, i.indclass[k.n - 1] as class
    from pg_catalog.pg_index i
    join relation r on r.oid = i.indrelid
    cross join lateral pg_catalog.generate_series(1, i.indnkeyatts::int4) k (n)
    left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n - 1] and a.attnum > 0
),
-- Whether the operators that ask for a value by an index are leakproof: equality of a B-tree or a hash, any of another.
class_of as (
    select o.oid, coalesce(bool_and(p.proleakproof) filter (
               where case m.amname when 'btree' then a.amopstrategy = 3 when 'hash' then a.amopstrategy = 1 else true end), true) as leakproof
    from pg_catalog.pg_opclass o
    join pg_catalog.pg_am m on m.oid = o.opcmethod
    join pg_catalog.pg_amop a on a.amopfamily = o.opcfamily and a.amopmethod = o.opcmethod and a.amoppurpose = 's'
     and (m.amname not in ('btree', 'hash') or (a.amoplefttype = o.opcintype and a.amoprighttype = o.opcintype))
    join pg_catalog.pg_operator q on q.oid = a.amopopr
    join pg_catalog.pg_proc p on p.oid = q.oprcode
    where o.oid in (select class from column_of)
    group by o.oid
)
select pg_catalog.jsonb_build_object(
    'indexes', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', r.oid::int8, 'sql', pg_catalog.format('%I.%I', r.nspname, c.relname), 'name', pg_catalog.quote_ident(c.relname),
            'plain_name', c.relname,
            'method', m.amname, 'primary', i.indisprimary, 'unique', i.indisunique, 'exclusion', i.indisexclusion,
            'valid', i.indisvalid,
            'constraint', (select pg_catalog.quote_ident(f.conname) from pg_catalog.pg_constraint f
                           where f.conindid = i.indexrelid and f.conrelid = i.indrelid and f.contype in ('p', 'u', 'x') limit 1),
            'of_partition', exists (select from pg_catalog.pg_inherits h where h.inhrelid = i.indexrelid),
            'columns', (select pg_catalog.jsonb_agg(k.name order by k.n) from column_of k where k.indexrelid = i.indexrelid),
            'not_leakproof', (select coalesce(pg_catalog.jsonb_agg(coalesce(k.name, '(an expression)') order by k.n), '[]')
                              from column_of k join class_of on class_of.oid = k.class
                              where k.indexrelid = i.indexrelid and not class_of.leakproof),
            'predicate', pg_catalog.pg_get_expr(i.indpred, i.indrelid),
            'definition', pg_catalog.pg_get_indexdef(i.indexrelid)) order by r.sql, c.relname)
        from pg_catalog.pg_index i
        join relation r on r.oid = i.indrelid
        join pg_catalog.pg_class c on c.oid = i.indexrelid
        join pg_catalog.pg_am m on m.oid = c.relam
    ), '[]'),
    'foreign_keys', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'relation', f.conrelid::int8, 'name', pg_catalog.quote_ident(f.conname), 'to', f.confrelid::int8,
            'columns', (select pg_catalog.jsonb_agg(a.attname order by k.n)
                        from pg_catalog.unnest(f.conkey) with ordinality k (c, n)
                        join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.c),
            'to_columns', (select pg_catalog.jsonb_agg(a.attname order by k.n)
                           from pg_catalog.unnest(f.confkey) with ordinality k (c, n)
                           join pg_catalog.pg_attribute a on a.attrelid = f.confrelid and a.attnum = k.c),
            'on_delete', f.confdeltype, 'on_update', f.confupdtype,
            'sets', (select pg_catalog.jsonb_agg(a.attname order by k.n)
                     from pg_catalog.unnest(f.confdelsetcols) with ordinality k (c, n)
                     join pg_catalog.pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.c),
            'validated', f.convalidated,
            'enforced', coalesce((pg_catalog.to_jsonb(f) ->> 'conenforced')::boolean, true),
            'definition', pg_catalog.pg_get_constraintdef(f.oid)) order by r.sql, f.conname)
        from pg_catalog.pg_constraint f
        join relation r on r.oid = f.conrelid
        where f.contype = 'f' and f.conparentid = 0
    ), '[]')
)
