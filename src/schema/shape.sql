-- One hash over what the host's migrations made. Own indexes of clients come and go, and so do triggers of relocations.
with host_schema as (
    select n.oid, n.nspname from pg_namespace n
    where n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
),
relation as (
    select c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions,
           format('%I.%I', n.nspname, c.relname) as name
    from pg_class c join host_schema n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
line(line) as (
    select concat_ws(' ', 'relation', name, relkind, relrowsecurity, relforcerowsecurity, reloptions) from relation
    union all
    select concat_ws(' ', 'column', r.name, quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), a.attnotnull,
                     a.attidentity, a.attgenerated, pg_get_expr(d.adbin, d.adrelid))
    from relation r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where r.relkind in ('r', 'p', 'f')
    union all
    select concat_ws(' ', 'view', r.name, pg_get_viewdef(r.oid)) from relation r where r.relkind in ('v', 'm')
    union all
    select concat_ws(' ', 'constraint', r.name, quote_ident(c.conname), pg_get_constraintdef(c.oid))
    from relation r join pg_constraint c on c.conrelid = r.oid
    -- Named apart from columns since PostgreSQL 18.
    where c.contype <> 'n'
    union all
    select concat_ws(' ', 'index', pg_get_indexdef(i.indexrelid), i.indisvalid)
    from relation r join pg_index i on i.indrelid = r.oid
    join pg_class x on x.oid = i.indexrelid join pg_am am on am.oid = x.relam
    where not (am.amname = 'hnsw' and i.indpred is not null)
    union all
    select concat_ws(' ', 'policy', r.name, quote_ident(p.polname), p.polpermissive, p.polcmd,
                     pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from relation r join pg_policy p on p.polrelid = r.oid
    union all
    select concat_ws(' ', 'trigger', r.name, t.tgenabled, pg_get_triggerdef(t.oid))
    from relation r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
    join pg_proc f on f.oid = t.tgfoid
    where f.pronamespace in (select oid from host_schema)
    union all
    select concat_ws(' ', 'function', pg_get_functiondef(f.oid))
    from pg_proc f join host_schema n on n.oid = f.pronamespace
    where f.prokind in ('f', 'p', 'w')
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = f.oid and d.deptype = 'e')
)
select encode(sha256(convert_to(coalesce(string_agg(line, E'\n' order by line collate "C"), ''), 'UTF8')), 'hex')
from line
