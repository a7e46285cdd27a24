-- What a host's migration calls, one line a table.

create function tenantry.app_role() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role name := (select app_role from tenantry.installation);
begin
    if v_role is null then
        raise exception 'the kernel does not know its app role: call tenantry.configure first'
            using errcode = 'TN006';
    end if;
    return v_role;
end
$$;

-- Names the app role and gives it what it needs of the kernel and nothing more.
create function tenantry.configure(p_app_role name) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_app_role = current_user then
        raise exception 'the app role must not be the owner of the kernel (%)', p_app_role using errcode = 'TN006';
    end if;
    update tenantry.installation set app_role = p_app_role;
    execute format('revoke temporary on database %I from public, %I', current_database(), p_app_role);
    execute format('grant connect on database %I to %I', current_database(), p_app_role);
    execute format('revoke create on schema public from public, %I', p_app_role);
    execute format('grant usage on schema tenantry to %I', p_app_role);
    execute format(
        'grant execute on function tenantry.hello(), tenantry.enter(text), tenantry.leave(text),
             tenantry.current_client(), tenantry.kernel(), tenantry.approximate(regclass, name, text, real),
             tenantry.take_step(text) to %I',
        p_app_role);
end
$$;

-- Raises unless every key, unique index and foreign key of the table leads with its client.
create function tenantry.check_keys(p_table regclass, p_client_id smallint) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_name text;
begin
    select c.relname into v_name
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indrelid = p_table and (i.indisunique or i.indisexclusion)
      and not (i.indkey[0] = p_client_id or (i.indisexclusion and p_client_id = any (i.indkey::smallint[])))
    limit 1;
    if found then
        raise exception 'table %: the key or unique index % does not lead with client_id', p_table, v_name
            using errcode = 'TN006',
                  hint = 'a key shared by all clients tells one of them what the others have';
    end if;

    select f.conname into v_name
    from pg_constraint f
    left join pg_attribute far
           on far.attrelid = f.confrelid and far.attnum = f.confkey[1] and far.attname = 'client_id'
    where f.conrelid = p_table and f.contype = 'f'
      and f.confrelid not in (select relation from tenantry.shared_tables)
      and (f.conkey[1] <> p_client_id or far.attnum is null)
    limit 1;
    if found then
        raise exception 'table %: the foreign key % does not lead with client_id on both sides', p_table, v_name
            using errcode = 'TN006',
                  hint = 'foreign keys are checked past row-level security: (client_id, other_id) references other (client_id, id)';
    end if;

    select f.conname into v_name
    from pg_constraint f
    where f.conrelid = p_table and f.contype = 'f' and p_client_id = any (f.conkey)
      and (f.confupdtype in ('n', 'd')
           or (f.confdeltype in ('n', 'd')
               and (f.confdelsetcols is null or p_client_id = any (f.confdelsetcols))))
    limit 1;
    if found then
        raise exception 'table %: the foreign key % would take client_id away', p_table, v_name
            using errcode = 'TN006', hint = 'name the columns: on delete set null (other_id)';
    end if;
end
$$;

-- Makes a table tenant-scoped. Safe to call again, and called again after a key or partition was added.
create function tenantry.protect(p_table regclass) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_app       name := tenantry.app_role();
    v_class     pg_class;
    v_column    pg_attribute;
    v_relation  regclass;
begin
    select * into v_class from pg_class where oid = p_table;
    if v_class.relkind not in ('r', 'p') or v_class.relpersistence = 't' or v_class.relispartition then
        raise exception '% is not a table of its own (a partition is protected through its parent)', p_table
            using errcode = 'TN006';
    end if;
    select * into v_column from pg_attribute
    where attrelid = p_table and attname = 'client_id' and not attisdropped;
    if not found or v_column.atttypid <> 'uuid'::regtype or not v_column.attnotnull then
        raise exception 'table %: a tenant table has a column client_id uuid not null', p_table
            using errcode = 'TN006', hint = 'a table that all clients read is declared by tenantry.share';
    end if;
    if exists (select from tenantry.shared_tables where relation = p_table) then
        raise exception 'table % is declared as shared', p_table using errcode = 'TN006';
    end if;
    perform tenantry.check_keys(p_table, v_column.attnum);

    execute format('alter table %s alter column client_id set default tenantry.current_client()', p_table);
    execute format('drop policy if exists tenantry_scope on %s', p_table);
    execute format('drop policy if exists tenantry_open on %s', p_table);
    -- RESTRICTIVE, so that a permissive policy added later can widen nothing.
    execute format(
        'create policy tenantry_scope on %s as restrictive
            using (client_id = (select tenantry.current_client()))
            with check (client_id = (select tenantry.current_client()))', p_table);
    execute format('create policy tenantry_open on %s using (true) with check (true)', p_table);
    execute format('alter table %s enable row level security, force row level security', p_table);
    execute format('revoke all on %s from public, %I', p_table, v_app);
    execute format('grant select, insert, update, delete on %s to %I', p_table, v_app);

    -- A partition named directly is held by its own policies, not by its parent's: it gets none, which
    -- refuses everything, and no grant.
    for v_relation in
        with recursive below (relation) as (
            select inhrelid from pg_inherits where inhparent = p_table
            union all
            select i.inhrelid from pg_inherits i join below on below.relation = i.inhparent
        )
        select relation::regclass from below
    loop
        -- It has the keys of its parent and may have more of its own.
        perform tenantry.check_keys(v_relation, a.attnum) from pg_attribute a
        where a.attrelid = v_relation and a.attname = 'client_id';
        execute format('alter table %s enable row level security, force row level security', v_relation);
        execute format('revoke all on %s from public, %I', v_relation, v_app);
    end loop;

    for v_relation in
        select d.objid::regclass from pg_depend d join pg_class s on s.oid = d.objid and s.relkind = 'S'
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = p_table and d.deptype = 'a'
    loop
        execute format('revoke all on sequence %s from public, %I', v_relation, v_app);
        execute format('grant usage on sequence %s to %I', v_relation, v_app);
    end loop;
end
$$;

-- Declares a table that all clients read and none writes.
create function tenantry.share(p_table regclass) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_app name := tenantry.app_role();
begin
    if exists (select from pg_attribute where attrelid = p_table and attname = 'client_id' and not attisdropped) then
        raise exception 'table % has a client_id: it is protected, not shared', p_table using errcode = 'TN006';
    end if;
    insert into tenantry.shared_tables values (p_table) on conflict do nothing;
    execute format('revoke all on %s from public, %I', p_table, v_app);
    execute format('grant select on %s to %I', p_table, v_app);
end
$$;

revoke all on all functions in schema tenantry from public;
revoke all on all tables in schema tenantry from public;
