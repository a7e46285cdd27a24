-- Every table that the role may name, with its columns and keys.
--
-- Partitions are left out: they are named through their parents. Code of the host's runs in a statement on a table by its
-- views, policies, triggers, defaults, checks and indexes, and by the triggers of whatever a write cascades into: those
-- count for every table.
with host_functions as (
    select p.oid from pg_proc p
    where p.oid >= 16384 and p.pronamespace is distinct from to_regnamespace('tenantry')
      and not exists (select from pg_depend d
                      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
), in_expressions as (
    select d.classid, d.objid from pg_depend d join host_functions f on f.oid = d.refobjid
    where d.refclassid = 'pg_proc'::regclass
), in_policies as (
    select p.polrelid as relation from in_expressions e join pg_policy p on p.oid = e.objid
    where e.classid = 'pg_policy'::regclass
), in_rows as (
    select a.adrelid as relation from in_expressions e join pg_attrdef a on a.oid = e.objid
    where e.classid = 'pg_attrdef'::regclass
    union all
    select k.conrelid from in_expressions e join pg_constraint k on k.oid = e.objid
    where e.classid = 'pg_constraint'::regclass
    union all
    select i.indrelid from in_expressions e join pg_index i on i.indexrelid = e.objid
    where e.classid = 'pg_class'::regclass
)
select c.relkind in ('v', 'm', 'f') or c.oid in (select relation from in_policies) as read_runs_code,
       exists (select from pg_trigger t join pg_class k on k.oid = t.tgrelid
               where not t.tgisinternal and k.relnamespace is distinct from to_regnamespace('tenantry'))
           or c.oid in (select relation from in_rows) as write_runs_code,
       n.nspname || '.' || c.relname as qualified,
       c.relname::text as name,
       format('%I.%I', n.nspname, c.relname) as sql,
       pg_table_is_visible(c.oid) as visible,
       c.oid::int8 = any ($1) as shared,
       array_agg(a.attname::text order by a.attnum) as columns,
       array_agg(quote_ident(a.attname) order by a.attnum) as quoted,
       array_agg(format_type(a.atttypid, a.atttypmod) order by a.attnum) as types,
       array_agg(a.atttypid::int8 order by a.attnum) as type_oids,
       array_agg(a.attnotnull order by a.attnum) as not_null,
       c.relkind in ('r', 'p') as takes_copies,
       coalesce((select jsonb_agg(jsonb_build_object('columns', k.columns)
                                  order by i.indisprimary desc, i.indexrelid)
                 from pg_index i,
                      lateral (select jsonb_agg(ka.attname order by ki.at) as columns
                               from unnest(i.indkey[0:i.indnkeyatts - 1]) with ordinality ki(attnum, at)
                               join pg_attribute ka on ka.attrelid = c.oid and ka.attnum = ki.attnum) k
                 where i.indrelid = c.oid and i.indisunique and i.indisvalid
                   and i.indpred is null and i.indexprs is null), '[]') as keys,
       coalesce((select jsonb_agg(jsonb_build_object('columns', f.columns, 'to', fn.nspname || '.' || fc.relname,
                                                     'to_columns', f.to_columns) order by r.conname)
                 from pg_constraint r
                 join pg_class fc on fc.oid = r.confrelid
                 join pg_namespace fn on fn.oid = fc.relnamespace,
                      lateral (select jsonb_agg(na.attname order by p.at) as columns,
                                      jsonb_agg(fa.attname order by p.at) as to_columns
                               from unnest(r.conkey, r.confkey) with ordinality p(near, far, at)
                               join pg_attribute na on na.attrelid = r.conrelid and na.attnum = p.near
                               join pg_attribute fa on fa.attrelid = r.confrelid and fa.attnum = p.far) f
                 where r.conrelid = c.oid and r.contype = 'f' and r.conparentid = 0), '[]') as foreign_keys
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and has_schema_privilege(n.oid, 'usage')
  and has_any_column_privilege(c.oid, 'select, insert, update')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
group by n.nspname, c.oid, c.relname
