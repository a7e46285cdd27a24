-- The foreign keys of tables, and those to them.
select r.oid::int8 as oid, r.conrelid::int8 as relation, r.confrelid::int8 as referenced, r.conname::text as name,
       format('%I.%I', n.nspname, c.relname) as table_sql, format('%s.%s', n.nspname, c.relname) as table_name,
       format('%I.%I', fn.nspname, f.relname) as far_sql, format('%s.%s', fn.nspname, f.relname) as far_name,
       r.convalidated as valid,
       replace(pg_get_constraintdef(r.oid), ' NOT VALID', '') as definition,
       array(select quote_ident(a.attname) from unnest(r.conkey) with ordinality k (attnum, n)
             join pg_attribute a on a.attrelid = r.conrelid and a.attnum = k.attnum order by k.n) as columns,
       array(select quote_ident(a.attname) from unnest(r.confkey) with ordinality k (attnum, n)
             join pg_attribute a on a.attrelid = r.confrelid and a.attnum = k.attnum order by k.n) as far_columns,
       array(select quote_ident(a.attname) from unnest(coalesce(r.confdelsetcols, r.conkey)) with ordinality k (attnum, n)
             join pg_attribute a on a.attrelid = r.conrelid and a.attnum = k.attnum order by k.n) as set_columns,
       r.confupdtype::text as on_update, r.confdeltype::text as on_delete, r.condeferrable as deferrable, r.condeferred as deferred,
       exists (select from tenantry.shared_tables s where s.relation = r.confrelid) as to_shared,
       case
           when r.confupdtype in ('n', 'd') then 'on update set null or default'
           when r.confmatchtype = 'f' and cardinality(r.conkey) > 1 then 'match full'
           when to_jsonb(r) ->> 'conperiod' = 'true' then 'periods'
           when to_jsonb(r) ->> 'conenforced' = 'false' then 'not being enforced'
           when exists (select from pg_trigger t where t.tgconstraint = r.oid and t.tgenabled <> 'O') then 'disabled triggers'
       end as unsupported,
       quote_literal(obj_description(r.oid, 'pg_constraint')) as comment
from pg_constraint r
join pg_class c on c.oid = r.conrelid
join pg_namespace n on n.oid = c.relnamespace
join pg_class f on f.oid = r.confrelid
join pg_namespace fn on fn.oid = f.relnamespace
where r.contype = 'f' and (r.conrelid = any ($1::oid[]) or r.confrelid = any ($1::oid[]))
order by r.oid
