-- The foreign keys that rows of some tables must satisfy, in pieces that statements are made of: the rows are `c`, what
-- they refer to is `p`.
with own (root, relation) as (
    select t.oid, p.relation from unnest($1::oid[]) t (oid),
    lateral (select t.oid union select relid::oid from pg_catalog.pg_partition_tree(t.oid)) p (relation)
)
select own.root::int8 as root,
       r.conrelid = own.root as whole,
       r.conname::text as name,
       n.nspname::text as schema,
       c.relname::text as table,
       r.conrelid::regclass::text as rows,
       r.confrelid::regclass::text as parents,
       r.confrelid not in (select relation from own) as leads_outside,
       string_agg(format('p.%I', there.attname), ', ') as referenced,
       string_agg(format('c.%I', here.attname), ', ') as referring,
       string_agg(format('p.%I operator(%I.%s) c.%I', there.attname, o.oprnamespace::regnamespace, o.oprname, here.attname),
                  ' and ') as same,
       case r.confmatchtype
           when 'f' then format('not (%s)', string_agg(format('c.%I is null', here.attname), ' and '))
           else string_agg(format('c.%I is not null', here.attname), ' and ') end as filled
from pg_catalog.pg_constraint r
join own on own.relation = r.conrelid
join pg_catalog.pg_class c on c.oid = r.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(r.conkey, r.confkey, r.conpfeqop) k (here, there, op)
join pg_catalog.pg_attribute here on here.attrelid = r.conrelid and here.attnum = k.here
join pg_catalog.pg_attribute there on there.attrelid = r.confrelid and there.attnum = k.there
join pg_catalog.pg_operator o on o.oid = k.op
where r.contype = 'f' and r.conparentid = 0 and to_jsonb(r) ->> 'conperiod' is distinct from 'true' and to_jsonb(r) ->> 'conenforced' is distinct from 'false'
group by own.root, r.oid, r.conrelid, r.conname, r.confrelid, r.confmatchtype, n.nspname, c.relname
order by r.oid
