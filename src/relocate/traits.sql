-- What of the tables of a host a relocation needs to know, beside what a manifest has.
select c.oid::int8 as oid,
       -- The primary key, or a unique key that could be one: by the names of its columns, without the client.
       k.columns as key,
       coalesce(k.has_client, false) as key_has_client,
       pg_catalog.pg_has_role(c.relowner, 'usage') as owned,
       coalesce((select array_agg(t.tgname::text order by t.tgname) from pg_catalog.pg_trigger t
                 where t.tgrelid = c.oid and not t.tgisinternal and t.tgenabled in ('O', 'A')
                   and t.tgname !~ '^tenantry_change_'), '{}') as triggers,
       coalesce((select array_agg(r.definition order by r.definition) from (
                     select case r.contype when 'c' then 'check' when 'f' then 'foreign key' when 'x' then 'exclusion'
                                 else 'unique' end || ' '
                            || case when r.contype in ('p', 'u')
                                 then (select string_agg(a.attname, ', ' order by a.attname)
                                       from pg_catalog.pg_attribute a
                                       where a.attrelid = c.oid and a.attnum = any (r.conkey) and a.attname <> 'client_id')
                                 else regexp_replace(
                                        replace(replace(pg_catalog.pg_get_constraintdef(r.oid), 'client_id, ', ''),
                                                'public.', ''),
                                        'SET NULL \([^)]*\)| NOT VALID', 'SET NULL')
                               end as definition
                     from pg_catalog.pg_constraint r
                     where r.conrelid = c.oid and r.contype in ('c', 'f', 'p', 'u', 'x')) r
                 where r.definition is not null), '{}') as constraints,
       -- Whether deleting a row of it does something to rows that refer to it.
       exists (select from pg_catalog.pg_constraint r
               where r.confrelid = c.oid and r.contype = 'f' and r.confdeltype <> 'a') as acts_on_delete,
       exists (select from pg_catalog.pg_attribute a
               where a.attrelid = c.oid and a.attidentity = 'a' and a.attnum > 0 and not a.attisdropped
                 and a.attname <> all (coalesce(k.columns, '{}'))) as numbers_itself
from pg_catalog.pg_class c
left join lateral (
    select array_agg(a.attname::text order by u.place) filter (where a.attname <> 'client_id') as columns,
           bool_or(a.attname = 'client_id') as has_client
    from (select i.indexrelid, i.indkey, i.indnkeyatts
          from pg_catalog.pg_index i
          where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
            and i.indpred is null and i.indexprs is null
            and not exists (select from pg_catalog.pg_attribute a
                            where a.attrelid = c.oid and a.attnum = any (i.indkey) and not a.attnotnull)
          order by i.indisprimary desc, i.indnkeyatts, i.indexrelid
          limit 1) i
    cross join lateral unnest(i.indkey::int2[]) with ordinality u(attnum, place)
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = u.attnum
    where u.place <= i.indnkeyatts) k on true
where c.oid::int8 = any ($1)
