-- Tables of an application that had one client, on their way to be those of many; and the roles of that application,
-- which know of no client and are bound to one.

-- A retrofit, and the steps of its plan. There is one at a time that is not ended.
create table tenantry.retrofits (
    retrofit   uuid        primary key,
    state      text        not null
               check (state in ('preparing', 'prepared', 'protecting', 'protected', 'finished', 'rolling back', 'rolled back')),
    tables     oid[]       not null,
    begun_at   timestamptz not null default now(),
    changed_at timestamptz not null default now()
);

create unique index one_retrofit_at_a_time on tenantry.retrofits ((true))
where state not in ('finished', 'rolled back');

create table tenantry.retrofit_steps (
    retrofit uuid    not null references tenantry.retrofits on delete cascade,
    step     integer not null,
    -- What is done and how it is undone.
    told     jsonb   not null,
    state    text    not null default 'planned' check (state in ('planned', 'begun', 'done', 'undone')),
    -- Where an assignment of rows goes on.
    block    bigint  not null default 0,
    primary key (retrofit, step)
);

-- Which client a value stands for.
create table tenantry.retrofit_values (
    retrofit  uuid not null references tenantry.retrofits on delete cascade,
    relation  oid  not null,
    value     text not null,
    client_id uuid not null,
    primary key (retrofit, relation, value)
);

-- Gives a row that is written meanwhile its client, by the query that the trigger was made with. A row that the query
-- knows no client for gets none.
create function tenantry.assign_client() returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    execute tg_argv[0] into new.client_id using new;
    return new;
end
$$;

-- Roles of an application that names no client. What such a role may see is decided by who logged in, which no
-- statement can change.
create table tenantry.bridges (
    role_id   oid         primary key,
    client_id uuid        not null,
    opened_at timestamptz not null default now()
);

create function tenantry.bridged_handle() returns bigint
language sql volatile parallel restricted
set search_path = pg_catalog, pg_temp
begin atomic
    select p.handle from tenantry.bridges b join tenantry.placement p on p.client_id = b.client_id
    where pg_catalog.pg_get_userbyid(b.role_id) = session_user;
end;

-- Has a role see one client without being told which, where row-level security holds it.
create function tenantry.open_bridge(p_role name, p_client uuid) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
declare
    v_role  pg_roles;
    v_state text;
begin
    select * into v_role from pg_roles where rolname = p_role;
    if not found then
        raise exception 'there is no role %', p_role using errcode = 'TN006';
    end if;
    if v_role.rolsuper or v_role.rolbypassrls or v_role.rolcreaterole
        or pg_has_role(p_role, current_user, 'member')
        or has_function_privilege(p_role, 'tenantry.hello()', 'execute') then
        raise exception 'role % is not held by row-level security, or is the app role', p_role using errcode = 'TN006';
    end if;
    -- Until the end of the transaction nobody moves the client.
    select state into v_state from tenantry.placement where client_id = p_client for share;
    if v_state is distinct from 'active' then
        raise exception 'client % is not served here', p_client using errcode = 'TN001';
    end if;
    insert into tenantry.bridges (role_id, client_id) values (v_role.oid, p_client)
    on conflict (role_id) do update set client_id = excluded.client_id;
    execute format('grant usage on schema tenantry to %I', p_role);
    execute format('grant execute on function tenantry.current_client() to %I', p_role);
end
$$;

create function tenantry.close_bridge(p_role name) returns void
language plpgsql strict
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from tenantry.bridges b using pg_roles r where r.oid = b.role_id and r.rolname = p_role;
    if found then
        execute format('revoke usage on schema tenantry from %I', p_role);
        execute format('revoke execute on function tenantry.current_client() from %I', p_role);
    end if;
end
$$;

-- The client of such a role stays: a snapshot of its own could be older than the move, and nothing would tell it.
create function tenantry.refuse_move_of_bridged() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from tenantry.bridges where client_id = new.client_id) then
        raise exception 'client % does not move while a role of an old application is bound to it', new.client_id
            using errcode = 'TN006', hint = 'finish the retrofit first';
    end if;
    return new;
end
$$;

create trigger refuse_move_of_bridged before update on tenantry.placement
for each row when (new.state not in ('incoming', 'active'))
execute function tenantry.refuse_move_of_bridged();

-- As before, and for those roles. Whoever may say hello is bound by its session alone.
create or replace function tenantry.current_client() returns uuid
language plpgsql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_handle    bigint;
    v_client    uuid;
    v_state     text;
    v_suspended boolean;
    v_done      text;
begin
    if has_function_privilege(session_user, 'tenantry.hello()'::regprocedure, 'execute') then
        v_handle := currval('tenantry.scope');
    else
        v_handle := coalesce(tenantry.bridged_handle(), 0);
    end if;
    if v_handle = 0 then
        raise exception 'no client is bound to this session' using errcode = 'TN005';
    end if;
    v_done := pg_advisory_xact_lock_shared(tenantry.lock_key(v_handle));
    select client_id, state, suspended into v_client, v_state, v_suspended
    from tenantry.placement where handle = v_handle;
    if not found or v_state in ('incoming', 'standby', 'moved') then
        raise exception 'the client of this session is not here under its epoch' using errcode = 'TN001';
    elsif v_state = 'fenced' then
        raise exception 'client % is being relocated', v_client using errcode = 'TN003';
    elsif v_suspended then
        raise exception 'client % is suspended', v_client using errcode = 'TN002';
    end if;
    return v_client;
end
$$;

revoke all on table tenantry.retrofits, tenantry.retrofit_steps, tenantry.retrofit_values, tenantry.bridges from public;
revoke all on function tenantry.assign_client(), tenantry.bridged_handle(), tenantry.open_bridge(name, uuid),
    tenantry.close_bridge(name), tenantry.refuse_move_of_bridged() from public;
