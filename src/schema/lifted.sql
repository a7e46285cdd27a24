-- What can be taken off some tables and be put back as it was: their indexes that no constraint needs, and the foreign
-- keys between them, in the order to put them back. All that they are of belongs to the role, and the triggers of keys
-- are as they were made.
with own (root, relation) as (
    select t.oid, p.relation from unnest($1::oid[]) t (oid),
    lateral (select t.oid union select relid::oid from pg_catalog.pg_partition_tree(t.oid)) p (relation)
), changeable (relation) as (
    select p.relation from own p
    where p.root in (
        select o.root from own o
        join pg_catalog.pg_class c on c.oid = o.relation
        group by o.root
        having bool_and(pg_catalog.pg_has_role(c.relowner, 'usage'))
           and not exists (select from own p join pg_catalog.pg_trigger t on t.tgrelid = p.relation
                           where p.root = o.root and t.tgisinternal and t.tgenabled <> 'O'))
), trees (root, index, level) as (
    select i.indexrelid, coalesce(t.relid::oid, i.indexrelid), coalesce(t.level, 0)
    from pg_catalog.pg_index i
    join changeable c on c.relation = i.indrelid
    left join lateral pg_catalog.pg_partition_tree(i.indexrelid) t on true
    where not exists (select from pg_catalog.pg_inherits h where h.inhrelid = i.indexrelid)
), indexes as (
    select t.index, t.level, n.nspname, x.relname, h.inhparent,
           bool_and(i.indisvalid and not i.indisunique and not i.indisclustered and x.reltablespace = 0
               and not exists (select from pg_catalog.pg_constraint r where r.conindid = x.oid and r.contype <> 'f')
               and not exists (select from pg_catalog.pg_attribute a
                               where a.attrelid = x.oid and coalesce(a.attstattarget, -1) <> -1)
               and not exists (select from pg_catalog.pg_depend d
                               where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = x.oid
                                 and d.deptype in ('e', 'x'))) over (partition by t.root) as plain
    from trees t
    join pg_catalog.pg_class x on x.oid = t.index
    join pg_catalog.pg_namespace n on n.oid = x.relnamespace
    join pg_catalog.pg_index i on i.indexrelid = t.index
    left join pg_catalog.pg_inherits h on h.inhrelid = t.index
)
select step, lift, put_back from (
    select 1 as turn, level, index as oid,
           format('building the index %I.%I', nspname, relname) as step,
           case when inhparent is null then format('drop index %I.%I', nspname, relname) end as lift,
           concat_ws('; ',
               pg_catalog.pg_get_indexdef(index),
               case when inhparent is not null
                   then format('alter index %s attach partition %I.%I', inhparent::regclass, nspname, relname) end,
               format('comment on index %I.%I is ', nspname, relname)
                   || quote_literal(pg_catalog.obj_description(index, 'pg_class'))) as put_back
    from indexes
    where plain
    union all
    select 2, 0, r.oid,
           format('checking the foreign key %I of %I.%I', r.conname, n.nspname, c.relname),
           format('alter table %I.%I drop constraint %I', n.nspname, c.relname, r.conname),
           concat_ws('; ',
               format('alter table %I.%I add constraint %I ', n.nspname, c.relname, r.conname)
                   || pg_catalog.pg_get_constraintdef(r.oid),
               format('comment on constraint %I on %I.%I is ', r.conname, n.nspname, c.relname)
                   || quote_literal(pg_catalog.obj_description(r.oid, 'pg_constraint')))
    from pg_catalog.pg_constraint r
    join pg_catalog.pg_class c on c.oid = r.conrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where r.contype = 'f' and r.conparentid = 0 and r.convalidated
      and r.conrelid in (select relation from changeable) and r.confrelid in (select relation from changeable)
) parts
order by turn, level, oid
