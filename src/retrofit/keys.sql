-- The unique indexes of tables, with the constraints that they are of.
select i.indexrelid::int8 as oid, i.indrelid::int8 as relation, n.nspname::text as schema, x.relname::text as name,
       r.contype::text as constraint_kind, coalesce(r.condeferrable, false) as deferrable, coalesce(r.condeferred, false) as deferred,
       format('CREATE UNIQUE INDEX %I ON %I.%I USING btree (', x.relname, tn.nspname, c.relname) as head,
       pg_get_indexdef(i.indexrelid) as definition,
       case
           when i.indisexclusion then 'the exclusion constraint'
           when not i.indisvalid then 'the invalid index'
           when i.indisreplident then 'the replica identity'
           when i.indisclustered then 'the clustered index'
           when x.reltablespace <> 0 then 'the index in a tablespace of its own'
           when to_jsonb(r) ->> 'conperiod' = 'true' then 'the key of periods'
           when exists (select from pg_attribute a where a.attrelid = x.oid and coalesce(a.attstattarget, -1) <> -1)
               then 'the index with statistics targets'
       end as unsupported,
       quote_literal(obj_description(r.oid, 'pg_constraint')) as constraint_comment,
       quote_literal(obj_description(x.oid, 'pg_class')) as index_comment
from pg_index i
join pg_class x on x.oid = i.indexrelid
join pg_namespace n on n.oid = x.relnamespace
join pg_class c on c.oid = i.indrelid
join pg_namespace tn on tn.oid = c.relnamespace
left join pg_constraint r on r.conindid = x.oid and r.contype in ('p', 'u', 'x')
where i.indrelid = any ($1::oid[]) and (i.indisunique or i.indisexclusion)
order by i.indrelid, i.indexrelid
