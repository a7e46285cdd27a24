-- The tables of these schemas and names, with what indexes on them answer that is not leakproof.
with asked as (
    select distinct a.schema, a.name
    from rows from (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) a (schema, name)
),
relation as (
    select c.oid, n.nspname, c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname) as sql,
           coalesce(pg_catalog.pg_partition_root(c.oid)::oid, c.oid) as root
    from asked
    join pg_catalog.pg_namespace n on n.nspname = asked.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = asked.name
    where c.relkind in ('r', 'p', 'm', 'f')
),
-- A column of an index, and the operators that the index, or its order, answers for it: those of a pattern as well.
guarded as (
    select i.indrelid, x.relname as index, a.attname as column, pg_catalog.array_agg(distinct o.oprname::text) as operators
    from pg_catalog.pg_index i
    join pg_catalog.pg_class x on x.oid = i.indexrelid
    cross join lateral pg_catalog.generate_series(0, i.indnkeyatts - 1) k (n)
    join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n] and a.attnum > 0
    join pg_catalog.pg_opclass c on c.oid = i.indclass[k.n]
    join pg_catalog.pg_am m on m.oid = c.opcmethod
    join pg_catalog.pg_operator o on exists (
             select from pg_catalog.pg_amop p
             where p.amopopr = o.oid and p.amopfamily = c.opcfamily and p.amoppurpose = 's')
         or (m.amname = 'btree' and o.oprleft = 'pg_catalog.text'::pg_catalog.regtype
             and o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace
             and c.opcintype in ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype)
             and o.oprname in ('~~', '~~*', '~', '~*', '^@'))
    join pg_catalog.pg_proc f on f.oid = o.oprcode and not f.proleakproof
    where i.indrelid in (select oid from relation) and i.indisvalid
    group by i.indrelid, x.relname, a.attname
)
select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
    'sql', r.sql, 'schema', r.nspname, 'name', r.relname,
    'root', (select pg_catalog.format('%I.%I', n.nspname, c.relname)
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = r.root),
    'tenant', exists (select from pg_catalog.pg_attribute a
                      where a.attrelid = r.oid and a.attname = 'client_id' and not a.attisdropped),
    'by_client', exists (select from pg_catalog.pg_partitioned_table p
                         join pg_catalog.pg_attribute a on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
                         where p.partrelid = r.root and a.attname = 'client_id'),
    'indexed', exists (select from pg_catalog.pg_index i
                       join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
                       where i.indrelid = r.oid and i.indisvalid and a.attname = 'client_id'),
    'guarded', coalesce((select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                    'index', g.index, 'column', g.column, 'operators', g.operators))
                         from guarded g where g.indrelid = r.oid), '[]'))), '[]')
from relation r
