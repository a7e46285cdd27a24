-- Binding a session to a client, and the fence that every statement passes.

create function tenantry.this_moment() returns bigint
language sql stable parallel restricted
return (extract(epoch from pg_catalog.transaction_timestamp()) * 1000000)::bigint;

-- What a connection is told when it is made, or made anew: its backend, its turn and the time. Unbinds.
create function tenantry.hello(out pid integer, out turn bigint, out seconds bigint)
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    pid := pg_backend_pid();
    turn := nextval('tenantry.turn');
    seconds := extract(epoch from clock_timestamp());
    perform setval('tenantry.scope', 0), setval('tenantry.moment', tenantry.this_moment());
end
$$;

-- Binds the session to the client of the ticket and returns entered, moved, relocating, suspended, unknown or
-- forged, and the next turn behind all but forged. Unknown is a session behind a pooler of which it is not
-- known that nobody is bound to it; nobody is from then on, and another transaction may be entered there. It
-- returns rather than raises, because an error inside a batch would leave the connection in an aborted
-- transaction. NULL is an error.
--
-- A ticket is 160 hexadecimal digits: key id (8), client (32), epoch (16), backend pid or 0 (8), turn or 0 (16),
-- the last second since 1970 in which its transaction may begin (16), HMAC-SHA256 of the 96 digits before it
-- (64). The app role's sessions can read each other's statements: a ticket seen there must be of no use. One
-- with pid and turn is good once, on one backend. One without, for transaction poolers, is good for a few
-- seconds in a session that nobody is bound to, and only for the first to bind or unbind it in a transaction:
-- a statement of a client runs in a transaction that was entered before.
--
-- One long function and single columns: each call and each row variable costs as much as a look-up.
create function tenantry.enter(p_ticket text) returns text
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_client    uuid;
    v_inner_pad bytea;
    v_outer_pad bytea;
    v_pid       integer;
    v_turn      bigint;
    v_moment    bigint := tenantry.this_moment();
    v_again     boolean;
    v_known     boolean;
    v_handle    bigint;
    v_here      bigint;
    v_epoch     bigint;
    v_state     text;
    v_suspended boolean;
    v_status    text;
    v_done      text;
begin
    if p_ticket is null then
        raise exception 'a ticket is needed to enter' using errcode = 'TN004';
    end if;
    -- Not {160} in the pattern: each match would build an automaton of as many states, ten times the rest.
    if length(p_ticket) <> 160 or p_ticket !~ '^[0-9a-f]+$' then
        return 'forged';
    end if;
    v_client := substr(p_ticket, 9, 32)::uuid;
    select k.inner_pad, k.outer_pad, p.handle into v_inner_pad, v_outer_pad, v_handle
    from tenantry.scope_keys k left join tenantry.placement p on p.client_id = v_client
    where k.key_id = ('x' || left(p_ticket, 8))::bit(32)::integer;
    -- Hashes are compared, not the codes: the time it takes says nothing about the right code.
    if v_inner_pad is null or sha256(decode(right(p_ticket, 64), 'hex'))
        <> sha256(sha256(v_outer_pad || sha256(v_inner_pad || convert_to(left(p_ticket, 96), 'UTF8')))) then
        return 'forged';
    end if;
    v_pid := ('x' || substr(p_ticket, 57, 8))::bit(32)::integer;
    v_turn := ('x' || substr(p_ticket, 65, 16))::bit(64)::bigint;
    if (v_pid <> 0 and v_pid <> pg_backend_pid()) or (v_pid = 0) <> (v_turn = 0)
        or ('x' || substr(p_ticket, 81, 16))::bit(64)::bigint < (v_moment + 999999) / 1000000 then
        return 'forged';
    end if;
    if v_turn <> 0 then
        v_again := v_turn <> currval('tenantry.turn');
    else
        begin
            v_again := currval('tenantry.moment') = v_moment;
            v_known := currval('tenantry.scope') = 0;
        exception when object_not_in_prerequisite_state then
            -- Statements can discard what their session remembers.
            v_known := false;
        end;
        if not coalesce(v_again, false) and not v_known then
            perform setval('tenantry.scope', 0), setval('tenantry.moment', v_moment);
            return 'unknown 0';
        end if;
    end if;
    if v_again then
        return 'forged';
    end if;
    -- What the client before took of the host's sequences; and of these.
    discard sequences;

    -- An older snapshot than the lock cannot see a flip; the row lock raises 40001 instead.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        select handle into v_handle from tenantry.placement where client_id = v_client for share;
    end if;
    v_done := pg_advisory_xact_lock_shared(tenantry.lock_key(v_handle));
    select handle, epoch, state, suspended into v_here, v_epoch, v_state, v_suspended
    from tenantry.placement where client_id = v_client;
    v_status := case
        when v_here is distinct from v_handle or v_handle is null
            or v_epoch <> ('x' || substr(p_ticket, 41, 16))::bit(64)::bigint
            or v_state in ('incoming', 'standby', 'moved') then 'moved'
        when v_state = 'fenced' then 'relocating'
        when v_suspended then 'suspended'
        else 'entered'
    end;
    v_done := setval('tenantry.scope', case v_status when 'entered' then v_handle else 0 end);
    v_done := setval('tenantry.moment', v_moment);
    return v_status || ' ' || nextval('tenantry.turn');
end
$$;

-- Raises unless the session is bound to the client of the ticket; sent in one message with COMMIT.
create function tenantry.leave(p_ticket text) returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_client uuid;
begin
    select client_id into v_client from tenantry.placement where handle = currval('tenantry.scope');
    if (v_client = substr(p_ticket, 9, 32)::uuid) is not true then
        raise exception 'the scope of this transaction is not the one it was entered with'
            using errcode = 'TN004';
    end if;
end
$$;

-- The client that policies and column defaults use. VOLATILE, because a STABLE function would read the
-- placement with the statement's snapshot, which may be older than a flip: the lock comes first, and the
-- row is read in a statement of its own. The placement of a handle never changes but by losing the handle.
create function tenantry.current_client() returns uuid
language plpgsql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_handle    bigint := currval('tenantry.scope');
    v_client    uuid;
    v_state     text;
    v_suspended boolean;
    v_done      text;
begin
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

-- What the app role may know of the kernel.
create function tenantry.kernel(out kind text, out version integer, out shared_tables oid[])
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
    select i.kind, i.kernel_version,
           array(select s.relation from tenantry.shared_tables s order by 1)
    from tenantry.installation i
$$;
