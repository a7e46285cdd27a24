-- The foreign keys between some tables that can be taken off and put back as they were: they are valid, their triggers
-- are as they were made, and all that they are of belongs to the role.
with own (root, relation) as (
    select t.oid, p.relation from unnest($1::oid[]) t (oid),
    lateral (select t.oid union select relid::oid from pg_catalog.pg_partition_tree(t.oid)) p (relation)
), changeable (root) as (
    select o.root from own o
    join pg_catalog.pg_class c on c.oid = o.relation
    group by o.root
    having bool_and(pg_catalog.pg_has_role(c.relowner, 'usage'))
       and not exists (select from own p join pg_catalog.pg_trigger t on t.tgrelid = p.relation
                       where p.root = o.root and t.tgisinternal and t.tgenabled <> 'O')
)
select format('%I.%I', n.nspname, c.relname) as table,
       r.conname::text as name,
       format('alter table %I.%I drop constraint %I', n.nspname, c.relname, r.conname) as lift,
       format('alter table %I.%I add constraint %I %s', n.nspname, c.relname, r.conname,
              pg_catalog.pg_get_constraintdef(r.oid))
           || coalesce(format('; comment on constraint %I on %I.%I is ', r.conname, n.nspname, c.relname)
                       || quote_literal(pg_catalog.obj_description(r.oid, 'pg_constraint')), '') as put_back
from pg_catalog.pg_constraint r
join pg_catalog.pg_class c on c.oid = r.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where r.contype = 'f' and r.conparentid = 0 and r.convalidated
  and r.conrelid in (select o.relation from own o join changeable h on h.root = o.root)
  and r.confrelid in (select o.relation from own o join changeable h on h.root = o.root)
order by r.oid
