-- What else the app role ($1) could go by: partitions and tables that inherit, views, materialized views, foreign
-- tables, sequences and functions of the host.
with recursive host as (
    select n.oid, n.nspname from pg_catalog.pg_namespace n
    where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
), of_extensions as (
    select d.classid, d.objid from pg_catalog.pg_depend d where d.deptype = 'e'
), roots (relation, root) as (
    select i.inhrelid, i.inhparent from pg_catalog.pg_inherits i
    where not exists (select from pg_catalog.pg_inherits u where u.inhrelid = i.inhparent)
    union all
    select i.inhrelid, r.root from pg_catalog.pg_inherits i join roots r on r.relation = i.inhparent
), reads (view, relation) as (
    select distinct w.ev_class, d.refobjid
    from pg_catalog.pg_rewrite w
    join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::regclass and d.objid = w.oid
                               and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid <> w.ev_class
), deep (view, relation) as (
    select r.view, r.relation from reads r
    union
    select d.view, r.relation from deep d join reads r on r.view = d.relation
)
select c.relkind::text as kind,
       c.oid::int8 as oid,
       format('%I.%I', h.nspname, c.relname) as sql,
       case when c.relkind = 'S' then has_sequence_privilege($1, c.oid, 'select, update')
            else has_any_column_privilege($1, c.oid, 'select, insert, update')
                 or has_table_privilege($1, c.oid, 'delete, truncate') end
           and has_schema_privilege($1, h.oid, 'usage') as open,
       case c.relkind
           when 'v' then array(select distinct coalesce(r.root, d.relation)::int8 from deep d
                               left join roots r on r.relation = d.relation where d.view = c.oid)
           when 'm' then array(select distinct coalesce(r.root, d.relation)::int8 from deep d
                               left join roots r on r.relation = d.relation where d.view = c.oid)
           when 'S' then array(select d.refobjid::int8 from pg_catalog.pg_depend d
                               where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                                 and d.deptype in ('a', 'i'))
           else array(select r.root::int8 from roots r where r.relation = c.oid) end as tables,
       '' as definition,
       '[]'::jsonb as arguments,
       false as definer
from pg_catalog.pg_class c
join host h on h.oid = c.relnamespace
where (c.relkind in ('v', 'm', 'f', 'S') or (c.relkind in ('r', 'p') and exists (
          select from pg_catalog.pg_inherits i where i.inhrelid = c.oid)))
  and c.relpersistence <> 't'
  and not exists (select from of_extensions d where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid)
union all
select case p.prokind when 'p' then 'procedure' else 'function' end,
       p.oid::int8,
       format('%I.%I', h.nspname, p.proname),
       has_function_privilege($1, p.oid, 'execute') and has_schema_privilege($1, h.oid, 'usage'),
       '{}',
       p.proname || ' ' || coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc, ''),
       coalesce((select jsonb_agg(jsonb_build_object(
                    'name', coalesce((p.proargnames)[a.at], ''),
                    'type_sql', format_type(a.type, null), 'base', bt.typname, 'category', bt.typcategory,
                    'element', et.typname,
                    'labels', coalesce((select jsonb_agg(e.enumlabel order by e.enumsortorder)
                                        from pg_catalog.pg_enum e where e.enumtypid = coalesce(et.oid, bt.oid)), '[]'),
                    'parts', coalesce((
                        select jsonb_agg(jsonb_build_object(
                            'name', q.attname, 'domain', qt.typtype = 'd', 'base', qt.typname, 'category', qt.typcategory, 'element', eq.typname,
                            'labels', coalesce((select jsonb_agg(e.enumlabel order by e.enumsortorder)
                                                from pg_catalog.pg_enum e where e.enumtypid = coalesce(eq.oid, qt.oid)), '[]'),
                            'typmod', q.atttypmod) order by q.attnum)
                        from pg_catalog.pg_attribute q
                        join pg_catalog.pg_type qt on qt.oid = q.atttypid
                        left join pg_catalog.pg_type eq on eq.oid = qt.typelem and qt.typcategory = 'A'
                        where q.attrelid = coalesce(et.typrelid, bt.typrelid) and q.attnum > 0 and not q.attisdropped), '[]'))
                    order by a.at)
                 from unnest(p.proargtypes::oid[]) with ordinality a (type, at)
                 join pg_catalog.pg_type t on t.oid = a.type
                 join pg_catalog.pg_type bt on bt.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end
                 left join pg_catalog.pg_type et on et.oid = bt.typelem and bt.typcategory = 'A'), '[]'),
       p.prosecdef
from pg_catalog.pg_proc p
join host h on h.oid = p.pronamespace
where p.prokind in ('f', 'p')
  and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  -- What makes a range comes with its type.
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid and d.deptype = 'i')
  and (p.prosecdef or not exists (
       select from of_extensions d where d.classid = 'pg_catalog.pg_proc'::regclass and d.objid = p.oid))
order by 1, 3
