-- Stores of clients on their way into PostgreSQL: how far each is, which keys are being written or are to be repaired,
-- and which were seen to differ.

create table platform.dual_stores (
    client_id    uuid        not null,
    name         text        not null,
    phase        text        not null default 'setup',
    announced_at timestamptz,
    dual_since   timestamptz,
    verified_at  timestamptz,
    stated       text,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    primary key (client_id, name),
    constraint dual_stores_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade,
    constraint dual_stores_name_not_blank check (btrim(name) <> ''),
    constraint dual_stores_phase_known check (
        phase in ('setup', 'dual_write', 'dual_read', 'cut_over', 'clean_up'))
);

comment on column platform.dual_stores.announced_at is
    'a change of what is the truth is about to be made: nobody remembers the phase meanwhile';
comment on column platform.dual_stores.dual_since is 'since when every write is in both stores, or noted';
comment on column platform.dual_stores.verified_at is 'when both stores were last seen to hold the same, since then';
comment on column platform.dual_stores.stated is 'why the last change was made in spite of what stood against it';

-- A row a write that is under way, or that one of the stores does not have yet.
create table platform.dual_store_notes (
    id        bigint      primary key generated always as identity,
    client_id uuid        not null,
    name      text        not null,
    key       text        not null,
    noted_at  timestamptz not null default clock_timestamp(),
    failure   text,
    attempts  integer     not null default 0,
    retry_at  timestamptz,
    constraint dual_store_notes_store_fkey
        foreign key (client_id, name) references platform.dual_stores (client_id, name) on delete cascade,
    constraint dual_store_notes_retried check ((failure is null) = (retry_at is null))
);

comment on column platform.dual_store_notes.failure is
    'why the second store does not have it, without the words of that store; null while the write is under way, or was when its process died';

create index dual_store_notes_key_idx on platform.dual_store_notes (client_id, name, key);

create table platform.dual_store_divergences (
    client_id uuid        not null,
    name      text        not null,
    key       text        not null,
    kind      text        not null,
    fields    text[]      not null default '{}',
    found_at  timestamptz not null default clock_timestamp(),
    primary key (client_id, name, key),
    constraint dual_store_divergences_store_fkey
        foreign key (client_id, name) references platform.dual_stores (client_id, name) on delete cascade,
    constraint dual_store_divergences_kind_known check (kind in ('missing', 'extra', 'different'))
);

-- How often a record was found to differ, each time that it was; and since when some are not among the divergences,
-- which are bounded.
create table platform.dual_store_findings (
    client_id   uuid        not null,
    name        text        not null,
    found       bigint      not null default 0,
    unlisted_at timestamptz,
    primary key (client_id, name),
    constraint dual_store_findings_store_fkey
        foreign key (client_id, name) references platform.dual_stores (client_id, name) on delete cascade
);

create function platform.note_divergence(
    p_client uuid, p_name text, p_key text, p_kind text, p_fields text[], p_most integer)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Its row is locked from here on: those who find others wait, and count what is there.
    insert into platform.dual_store_findings as f (client_id, name, found) values (p_client, p_name, 1)
    on conflict (client_id, name) do update set found = f.found + 1;
    update platform.dual_store_divergences d
    set kind = p_kind, fields = p_fields, found_at = clock_timestamp()
    where d.client_id = p_client and d.name = p_name and d.key = p_key;
    if found then
        return;
    end if;
    if (select count(*) from platform.dual_store_divergences d
        where d.client_id = p_client and d.name = p_name) < p_most then
        insert into platform.dual_store_divergences (client_id, name, key, kind, fields)
        values (p_client, p_name, p_key, p_kind, p_fields);
    else
        update platform.dual_store_findings f set unlisted_at = clock_timestamp()
        where f.client_id = p_client and f.name = p_name;
    end if;
end
$$;

-- A process may be one phase behind another, and never two: each phase gets along with its neighbours alone.
create function platform.one_phase_at_a_time() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_phases constant text[] := '{setup,dual_write,dual_read,cut_over,clean_up}';
begin
    if tg_op = 'INSERT' then
        if new.phase <> 'setup' then
            raise exception 'a dual store begins with its setup' using errcode = 'check_violation';
        end if;
    elsif old.phase = 'clean_up' or abs(array_position(v_phases, new.phase) - array_position(v_phases, old.phase)) > 1 then
        raise exception 'no dual store goes from % to %', old.phase, new.phase using errcode = 'check_violation';
    end if;
    return new;
end
$$;

create trigger one_phase_at_a_time before insert on platform.dual_stores
    for each row execute function platform.one_phase_at_a_time();
create trigger one_phase_at_a_time_changes before update on platform.dual_stores
    for each row when (old.phase <> new.phase) execute function platform.one_phase_at_a_time();

-- Who writes takes the first shared, for the statement that enters; who changes the phase takes it alone.
create function platform.store_lock(p_client uuid, p_name text) returns bigint
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select hashtextextended(p_client::text || ' ' || p_name, 1413828181) $$;

-- Who is at a key holds this one, for as long as its session lives.
create function platform.store_key_lock(p_client uuid, p_name text, p_key text) returns bigint
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$ select hashtextextended(p_client::text || ' ' || p_name || ' ' || p_key, 1413828182) $$;

-- Takes the keys for the session, tells the phase as it is, and notes that they are about to be written.
create function platform.enter_store(
    p_client uuid, p_name text, p_keys text[], p_wait_ms integer,
    out phase text, out notes bigint[], out waiting text[])
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lock bigint;
begin
    perform set_config('lock_timeout', p_wait_ms || 'ms', true);
    -- In one order, for all who take several. Before the lock of the store: who waits for a key keeps nobody from
    -- changing the phase.
    for v_lock in
        select platform.store_key_lock(p_client, p_name, k) from unnest(p_keys) k order by 1
    loop
        perform pg_advisory_lock(v_lock);
    end loop;
    perform pg_advisory_xact_lock_shared(platform.store_lock(p_client, p_name));
    -- A statement of its own: its snapshot is younger than the lock.
    select s.phase into phase from platform.dual_stores s where s.client_id = p_client and s.name = p_name;
    notes := '{}';
    if phase is null or phase = 'clean_up' then
        return;
    end if;
    waiting := array(
        select distinct n.key from platform.dual_store_notes n
        where n.client_id = p_client and n.name = p_name and n.key = any (p_keys));
    with noted as (
        insert into platform.dual_store_notes (client_id, name, key)
        select p_client, p_name, k from unnest(p_keys) k
        returning id)
    select array_agg(id) into notes from noted;
end
$$;

-- Lets go of keys. `done`: both stores have them as they are. `alone`: the truth has, and there was no second store.
-- `unchanged`: nothing was written. `failed`: the second store does not have them.
--
-- What a write that died left behind is settled by `done` only once it is so old that the write is over: it may still
-- have been under way.
create function platform.leave_store(
    p_client uuid, p_name text, p_keys text[], p_notes bigint[], p_how text, p_failure text, p_settled_ms integer,
    out phase text, out kept boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_how text := p_how;
begin
    if p_how = 'alone' then
        -- Whoever begins to write twice must find what was not: the note of it, or the record itself.
        perform set_config('lock_timeout', '30s', true);
        perform pg_advisory_xact_lock_shared(platform.store_lock(p_client, p_name));
    end if;
    select s.phase into phase from platform.dual_stores s where s.client_id = p_client and s.name = p_name;
    kept := (
        select count(*) from platform.dual_store_notes n
        where n.client_id = p_client and n.name = p_name and n.key = any (p_keys) and n.id = any (p_notes)
    ) >= cardinality(p_keys);
    if p_how = 'alone' then
        v_how := case when phase = 'setup' then 'unchanged' else 'failed' end;
    end if;
    if v_how = 'unchanged' then
        delete from platform.dual_store_notes n
        where n.client_id = p_client and n.name = p_name and n.key = any (p_keys) and n.id = any (p_notes);
    elsif v_how = 'done' then
        delete from platform.dual_store_notes n
        where n.client_id = p_client and n.name = p_name and n.key = any (p_keys)
          and (n.id = any (p_notes) or n.failure is not null
               or n.noted_at < clock_timestamp() - p_settled_ms * interval '1 millisecond');
        delete from platform.dual_store_divergences d
        where d.client_id = p_client and d.name = p_name and d.key = any (p_keys);
    else
        update platform.dual_store_notes n
        set failure = coalesce(p_failure, 'written before the second store was'),
            attempts = f.attempts,
            retry_at = clock_timestamp() + least(100 * 2 ^ least(f.attempts, 10), 60000) * interval '1 millisecond'
        from (
            select k.key, 1 + coalesce((
                select max(o.attempts) from platform.dual_store_notes o
                where o.client_id = p_client and o.name = p_name and o.key = k.key), 0) as attempts
            from unnest(p_keys) k (key)) f
        where n.client_id = p_client and n.name = p_name and n.key = f.key and n.id = any (p_notes);
        -- One note that says so is enough.
        delete from platform.dual_store_notes n
        where n.client_id = p_client and n.name = p_name and n.key = any (p_keys)
          and n.failure is not null and n.id <> all (p_notes);
    end if;
    perform pg_advisory_unlock(platform.store_key_lock(p_client, p_name, k)) from unnest(p_keys) k;
end
$$;

create trigger touch before update on platform.dual_stores
    for each row when (old.* is distinct from new.*) execute function platform.touch();
create trigger audit after insert or delete on platform.dual_stores
    for each row execute function platform.audit('client_id', 'name', 'phase');
create trigger audit_changes after update on platform.dual_stores
    for each row
    when (to_jsonb(old) - array['announced_at', 'updated_at'] is distinct from to_jsonb(new) - array['announced_at', 'updated_at'])
    execute function platform.audit('client_id', 'name', 'phase');
create trigger no_truncate before truncate on platform.dual_stores
    for each statement execute function platform.refuse('delete its rows');
create trigger no_truncate before truncate on platform.dual_store_notes
    for each statement execute function platform.refuse('they are repaired');

revoke all on platform.dual_stores, platform.dual_store_notes, platform.dual_store_divergences, platform.dual_store_findings from public;
