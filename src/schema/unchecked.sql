-- What checks the foreign keys of some tables for the rows of one client at once, each as a statement that fails as the
-- server does. Rows of tables that others write to stay until the end of the transaction.
with own (root, relation) as (
    select t.oid, p.relation from unnest($1::oid[]) t (oid),
    lateral (select t.oid union select relid::oid from pg_catalog.pg_partition_tree(t.oid)) p (relation)
), keys as (
    select r.oid, r.conname, r.conrelid, r.confrelid, r.confmatchtype,
           string_agg(format('p.%I operator(%I.%s) c.%I', there.attname, n.nspname, o.oprname, here.attname), ' and ') as same,
           string_agg(format('c.%I is not null', here.attname), ' and ') as filled,
           string_agg(format('c.%I is null', here.attname), ' and ') as empty
    from pg_catalog.pg_constraint r
    cross join lateral unnest(r.conkey, r.confkey, r.conpfeqop) k (here, there, op)
    join pg_catalog.pg_attribute here on here.attrelid = r.conrelid and here.attnum = k.here
    join pg_catalog.pg_attribute there on there.attrelid = r.confrelid and there.attnum = k.there
    join pg_catalog.pg_operator o on o.oid = k.op
    join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
    where r.contype = 'f' and r.conparentid = 0 and r.conrelid in (select relation from own)
      and to_jsonb(r) ->> 'conenforced' is distinct from 'false'
    group by r.oid, r.conname, r.conrelid, r.confrelid, r.confmatchtype
)
select format('checking the foreign key %I of %s', k.conname, k.conrelid::regclass) as step,
       null as lift,
       case when k.confrelid not in (select relation from own)
           then format('select count(*) from (select from %s p where exists (
                            select from %s c where c.client_id = %L and %s) for key share of p) kept; ',
                       k.confrelid::regclass, k.conrelid::regclass, $2::uuid, k.same)
           else '' end
       || format('do %L', format(
              'begin
                   if exists (select from %s c where c.client_id = %L and %s
                                and not exists (select from %s p where %s)) then
                       raise exception %L using errcode = %L, constraint = %L, table = %L, schema = %L;
                   end if;
               end',
              k.conrelid::regclass, $2::uuid,
              case k.confmatchtype when 'f' then format('not (%s)', k.empty) else k.filled end,
              k.confrelid::regclass, k.same,
              format('rows of table "%s" violate foreign key constraint "%s"', c.relname, k.conname),
              '23503', k.conname, c.relname, n.nspname)) as put_back
from keys k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by k.oid
