-- Every table of the host that has rows, a partition each for itself, with what the server knows of it without reading it.
--
-- $1: the column that says when a row last changed, or null.
-- The statistics of a table under row-level security are hidden from a role that it holds back.
with recursive tree (root, relation, by_client) as (
    select c.oid, c.oid, true
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'f') and not c.relispartition and c.relpersistence <> 't'
      and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
      and not exists (select from pg_catalog.pg_depend d
                      where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid
                        and d.deptype = 'e')
    union all
    -- Whose rows a partition has follows from its bounds where all above it are divided by the client alone.
    select t.root, i.inhrelid,
           t.by_client and exists (select from pg_catalog.pg_partitioned_table p
                                   join pg_catalog.pg_attribute a
                                     on a.attrelid = p.partrelid and a.attnum = p.partattrs[0]
                                   where p.partrelid = t.relation and p.partnatts = 1 and a.attname = 'client_id')
    from tree t
    join pg_catalog.pg_class p on p.oid = t.relation and p.relkind = 'p'
    join pg_catalog.pg_inherits i on i.inhparent = t.relation
), host (relation, name, sql, own, latest, latest_indexed, widths) as (
    select r.oid, format('%s.%s', n.nspname, r.relname),
           case when r.relkind = 'p' then '' else 'only ' end || format('%I.%I', n.nspname, r.relname),
           c.attnum is not null, quote_ident(l.attname),
           l.attnum is not null and exists (
               select from pg_catalog.pg_index i
               where i.indrelid = r.oid and i.indisvalid and i.indpred is null
                 and case when c.attnum is null then i.indkey[0] = l.attnum
                          else i.indkey[0] = c.attnum and i.indkey[1] = l.attnum end),
           array(select quote_ident(a.attname) from pg_catalog.pg_attribute a
                 where a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated <> 'v'
                 order by a.attnum)
    from pg_catalog.pg_class r
    join pg_catalog.pg_namespace n on n.oid = r.relnamespace
    left join pg_catalog.pg_attribute c
      on c.attrelid = r.oid and c.attname = 'client_id' and c.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype
     and not c.attisdropped
    left join pg_catalog.pg_attribute l
      on l.attrelid = r.oid and l.attname = $1 and l.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype
     and not l.attisdropped
    where r.oid in (select root from tree)
)
select h.relation::pg_catalog.int8 as root,
       h.name, h.sql, h.own, h.latest, h.latest_indexed, h.widths,
       c.relkind = 'f' as elsewhere,
       pg_catalog.row_security_active(c.oid) as hidden,
       coalesce(pg_catalog.pg_relation_size(c.oid), 0)
           / pg_catalog.current_setting('block_size')::pg_catalog.int8 as pages,
       coalesce(pg_catalog.pg_total_relation_size(c.oid), 0) as bytes,
       c.reltuples::pg_catalog.float8 as tuples,
       c.relpages::pg_catalog.int8 as tuples_pages,
       s.attname is not null as sampled,
       coalesce(s.n_distinct, 0)::pg_catalog.float8 as distinct_clients,
       coalesce(s.most_common_vals::pg_catalog.text::pg_catalog.uuid[], '{}') as clients,
       coalesce(s.most_common_freqs, '{}')::pg_catalog.float8[] as frequencies,
       (extract(epoch from greatest(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
                                    pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)))
           * 1000000)::pg_catalog.int8 as analysed,
       coalesce(pg_catalog.pg_stat_get_mod_since_analyze(c.oid), 0) as changed_since,
       case when t.by_client and c.relispartition
            then pg_catalog.pg_get_partition_constraintdef(c.oid) end as bound
from tree t
join pg_catalog.pg_class c on c.oid = t.relation and c.relkind in ('r', 'f')
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join host h on h.relation = t.root
left join pg_catalog.pg_stats s
  on h.own and s.schemaname = n.nspname and s.tablename = c.relname and s.attname = 'client_id' and not s.inherited
order by h.name, h.relation, c.oid
