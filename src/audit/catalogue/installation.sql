-- The server, the database, the app role and what it can become, and all that is about neither tables nor functions.
-- $1 is the app role.
with recursive way (oid, name, path) as (
    select r.oid, r.rolname, array[r.rolname::text] from pg_catalog.pg_roles r where r.rolname = $1::name
    union all
    -- By inheriting from it, by taking it, or by granting it to itself.
    select r.oid, r.rolname, way.path || r.rolname::text
    from way
    join pg_catalog.pg_auth_members m on m.member = way.oid
    join pg_catalog.pg_roles r on r.oid = m.roleid
    where r.rolname::text <> all (way.path)
      and (m.admin_option or coalesce((pg_catalog.to_jsonb(m) ->> 'inherit_option')::boolean, true)
           or coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean, true))
),
reached as (select distinct on (oid) oid, name, path from way order by oid, cardinality(path)),
-- Whom a grant reaches that the app role is or can become; 0 is PUBLIC.
grantee (oid, name) as (select oid, name::text from reached union all select 0, 'public'),
this as (select d.* from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()),
schema as (
    select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
    where n.nspname !~ '^pg_(toast|temp)' and n.nspname <> 'information_schema'
)
select pg_catalog.jsonb_build_object(
    'database', (select datname from this),
    'owner', (select pg_catalog.pg_get_userbyid(datdba) from this),
    'version', pg_catalog.current_setting('server_version_num')::int4,
    'has_kernel', pg_catalog.to_regclass('tenantry.installation') is not null,
    'roles', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', r.rolname, 'path', reached.path, 'superuser', r.rolsuper, 'bypassrls', r.rolbypassrls,
            'createrole', r.rolcreaterole, 'createdb', r.rolcreatedb, 'replication', r.rolreplication,
            'owns', array(
                select 'database ' || pg_catalog.quote_ident(this.datname) from this where this.datdba = r.oid
                union all
                select 'schema ' || pg_catalog.quote_ident(s.nspname) from schema s where s.nspowner = r.oid
                union all
                select 'relation ' || pg_catalog.format('%I.%I', s.nspname, c.relname)
                from pg_catalog.pg_class c join schema s on s.oid = c.relnamespace
                where s.nspname <> 'pg_catalog' and c.relowner = r.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
                union all
                select 'function ' || p.oid::pg_catalog.regprocedure::text
                from pg_catalog.pg_proc p join schema s on s.oid = p.pronamespace
                where s.nspname <> 'pg_catalog' and p.proowner = r.oid
                order by 1)
        ) order by cardinality(reached.path), r.rolname)
        from reached join pg_catalog.pg_roles r on r.oid = reached.oid
    ), '[]'),
    'database_grants', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('to', g.name, 'right', a.privilege_type)
                                    order by g.name, a.privilege_type)
        from this, pg_catalog.aclexplode(coalesce(this.datacl, pg_catalog.acldefault('d', this.datdba))) a
        join grantee g on g.oid = a.grantee
        where a.privilege_type in ('CREATE', 'TEMPORARY') and a.grantee <> this.datdba
    ), '[]'),
    'schema_grants', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'to', g.name, 'right', a.privilege_type, 'schema', pg_catalog.quote_ident(s.nspname))
                   order by s.nspname, g.name)
        from schema s, pg_catalog.aclexplode(coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner))) a
        join grantee g on g.oid = a.grantee
        where a.privilege_type = 'CREATE' and a.grantee <> s.nspowner
    ), '[]'),
    'parameter_grants', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'to', g.name, 'right', a.privilege_type, 'parameter', p.parname) order by p.parname, g.name, a.privilege_type)
        from pg_catalog.pg_parameter_acl p, pg_catalog.aclexplode(p.paracl) a
        join grantee g on g.oid = a.grantee
    ), '[]'),
    -- Functions of the server that a fresh one gives to nobody, and tables of its catalogue that it shows to nobody.
    'server_functions', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'to', g.name, 'function', p.oid::pg_catalog.regprocedure::text) order by p.oid::pg_catalog.regprocedure::text, g.name)
        from pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a
        join grantee g on g.oid = a.grantee
        where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
          and p.proname ~ '^(pg_read_|pg_ls_|pg_stat_file|lo_import|lo_export|pg_logical_slot|pg_create_logical|pg_replication_origin|pg_copy_.*slot|pg_promote|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_get_wal|pg_current_logfile|pg_hba_file|pg_ident_file|pg_show_all_file|pg_file_|pg_logdir|pg_log_backend|pg_config|pg_stat_get_backend_memory|binary_upgrade)'
          -- What a fresh server gives to everybody is not among them.
          and not exists (select from pg_catalog.pg_init_privs i, pg_catalog.aclexplode(i.initprivs) b
                          where i.classoid = 'pg_catalog.pg_proc'::pg_catalog.regclass and i.objoid = p.oid and b.grantee = a.grantee)
    ), '[]'),
    'catalogue_grants', coalesce((
        select pg_catalog.jsonb_agg(distinct pg_catalog.jsonb_build_object('to', g.name, 'table', c.relname))
        from pg_catalog.pg_class c,
             lateral (select * from pg_catalog.aclexplode(c.relacl)
                      union all
                      select e.* from pg_catalog.pg_attribute t, pg_catalog.aclexplode(t.attacl) e
                      where t.attrelid = c.oid and c.relname <> 'pg_subscription') a
        join grantee g on g.oid = a.grantee
        where c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
          and c.relname in ('pg_statistic', 'pg_statistic_ext_data', 'pg_authid', 'pg_largeobject', 'pg_user_mapping',
                            'pg_shadow', 'pg_hba_file_rules', 'pg_ident_file_mappings', 'pg_file_settings', 'pg_subscription',
                            'pg_backend_memory_contexts', 'pg_shmem_allocations')
          and a.grantee <> c.relowner
          and not exists (select from pg_catalog.pg_init_privs i, pg_catalog.aclexplode(i.initprivs) b
                          where i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass and i.objoid = c.oid
                            and b.grantee = a.grantee and b.privilege_type = a.privilege_type)
    ), '[]'),
    'settings', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'role', r.name, 'database', d.datname, 'name', s.name,
                   -- Any other could be a secret.
                   'value', case when s.name in ('row_security', 'search_path', 'session_replication_role', 'role', 'session_authorization')
                                 then s.value end)
                   order by s.name, r.name, d.datname)
        from pg_catalog.pg_db_role_setting o
        left join reached r on r.oid = o.setrole
        left join pg_catalog.pg_database d on d.oid = o.setdatabase
        cross join lateral (select pg_catalog.split_part(c, '=', 1) as name, pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) as value
                            from pg_catalog.unnest(o.setconfig) c) s
        where (o.setrole = 0 or r.oid is not null)
          and (o.setdatabase = 0 or o.setdatabase = (select this.oid from this))
    ), '[]'),
    'extensions', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('name', e.extname, 'version', e.extversion) order by e.extname)
        from pg_catalog.pg_extension e
    ), '[]'),
    'event_triggers', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'name', pg_catalog.quote_ident(e.evtname), 'event', e.evtevent,
                   'function', e.evtfoid::pg_catalog.regprocedure::text) order by e.evtname)
        from pg_catalog.pg_event_trigger e
        where e.evtenabled <> 'D'
          and not exists (select from pg_catalog.pg_depend d where d.classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass
                            and d.objid = e.oid and d.deptype = 'e')
    ), '[]'),
    'publications', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'name', pg_catalog.quote_ident(p.pubname), 'all_tables', p.puballtables,
                   'schemas', array(select pg_catalog.quote_ident(n.nspname) from pg_catalog.pg_publication_namespace s
                                    join pg_catalog.pg_namespace n on n.oid = s.pnnspid where s.pnpubid = p.oid order by 1),
                   'tables', coalesce((
                       select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                                  'relation', r.prrelid::int8, 'filter', pg_catalog.pg_get_expr(r.prqual, r.prrelid))
                                  order by r.prrelid)
                       from pg_catalog.pg_publication_rel r where r.prpubid = p.oid), '[]'))
                   order by p.pubname)
        from pg_catalog.pg_publication p
    ), '[]'),
    'subscriptions', array(
        select pg_catalog.quote_ident(s.subname) from pg_catalog.pg_subscription s
        where s.subdbid = (select this.oid from this) order by 1),
    'default_grants', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'of', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)),
                   'schema', pg_catalog.quote_ident(n.nspname), 'kind', d.defaclobjtype,
                   'to', case a.grantee when 0 then 'public' else pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) end,
                   'right', a.privilege_type) order by d.oid, a.grantee, a.privilege_type)
        from pg_catalog.pg_default_acl d
        left join pg_catalog.pg_namespace n on n.oid = d.defaclnamespace
        cross join lateral pg_catalog.aclexplode(d.defaclacl) a
        where d.defaclobjtype in ('r', 'S', 'n') and a.grantee <> d.defaclrole
    ), '[]'),
    'large_objects', (
        select pg_catalog.jsonb_build_object(
            'of_app', pg_catalog.count(*) filter (where m.lomowner in (select oid from reached)),
            'granted', pg_catalog.count(*) filter (
                where m.lomowner not in (select oid from reached)
                  and exists (select from pg_catalog.aclexplode(m.lomacl) a join grantee g on g.oid = a.grantee)),
            'compatible', pg_catalog.current_setting('lo_compat_privileges')::boolean)
        from pg_catalog.pg_largeobject_metadata m
    ),
    'servers', coalesce((
        select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
                   'name', pg_catalog.quote_ident(s.srvname), 'wrapper', w.fdwname, 'to', g.name) order by s.srvname, g.name)
        from pg_catalog.pg_foreign_server s
        join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
        cross join lateral pg_catalog.aclexplode(s.srvacl) a
        join grantee g on g.oid = a.grantee
        where a.grantee <> s.srvowner
    ), '[]')
)
