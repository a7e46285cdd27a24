-- Entering and leaving the scope of a client, and the fence that every statement passes.

-- A ticket is 144 hexadecimal digits: key id (8), client (32), epoch (16), backend pid or 0 (8), the last
-- second since 1970 in which its transaction may begin or 0 (16), HMAC-SHA256 of the 80 digits before
-- it (64). It is bound to a backend, or to a time, or to both: the app role's sessions can read each other's
-- statements, so a ticket seen there must be of no use. NULL in, or a damaged ticket: nothing out.
create function tenantry.read_ticket(p_ticket text, out client uuid, out epoch bigint)
language plpgsql volatile parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key     tenantry.scope_keys;
    v_pid     integer;
    v_expires bigint;
begin
    -- Not {144} in the pattern: each match would build an automaton of as many states, ten times the rest.
    if p_ticket is null or length(p_ticket) <> 144 or p_ticket !~ '^[0-9a-f]+$' then
        return;
    end if;
    select * into v_key from tenantry.scope_keys where key_id = ('x' || left(p_ticket, 8))::bit(32)::integer;
    -- Hashes are compared, not the codes: the time it takes says nothing about the right code.
    if not found or sha256(decode(right(p_ticket, 64), 'hex'))
        <> sha256(sha256(v_key.outer_pad || sha256(v_key.inner_pad || convert_to(left(p_ticket, 80), 'UTF8')))) then
        return;
    end if;
    v_pid := ('x' || substr(p_ticket, 57, 8))::bit(32)::integer;
    v_expires := ('x' || substr(p_ticket, 65, 16))::bit(64)::bigint;
    if (v_pid = 0 and v_expires = 0)
        or (v_pid <> 0 and v_pid <> pg_backend_pid())
        or (v_expires <> 0 and v_expires < extract(epoch from transaction_timestamp())) then
        return;
    end if;
    client := substr(p_ticket, 9, 32)::uuid;
    epoch := ('x' || substr(p_ticket, 41, 16))::bit(64)::bigint;
end
$$;

-- Lock first, read in a statement of its own: at READ COMMITTED its snapshot is newer than the lock, so
-- a flip that committed before the lock was granted is seen.
create function tenantry.admit(p_client uuid, p_epoch bigint) returns text
language plpgsql volatile parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
    v_here tenantry.placement;
begin
    perform pg_advisory_xact_lock_shared(tenantry.lock_key(p_client));
    select * into v_here from tenantry.placement where client_id = p_client;
    if not found or v_here.epoch <> p_epoch or v_here.state in ('incoming', 'standby', 'moved') then
        return 'moved';
    elsif v_here.state = 'fenced' then
        return 'relocating';
    elsif v_here.suspended then
        return 'suspended';
    end if;
    return 'entered';
end
$$;

-- Binds the transaction to the client of the ticket and returns entered, moved, relocating, suspended or
-- forged. It returns rather than raises, because an error inside a batch would leave the connection
-- in an aborted transaction. NULL is an error.
create function tenantry.enter(p_ticket text) returns text
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_client uuid;
    v_epoch  bigint;
    v_status text;
begin
    if p_ticket is null then
        raise exception 'a ticket is needed to enter' using errcode = 'TN004';
    end if;
    select t.client, t.epoch into v_client, v_epoch from tenantry.read_ticket(p_ticket) t;
    if v_client is null then
        return 'forged';
    end if;
    -- An older snapshot than the lock cannot see the flip; the row lock raises 40001 instead. In a
    -- read-only transaction no row can be locked: there, data is as old as the snapshot.
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable')
        and current_setting('transaction_read_only') = 'off' then
        perform 1 from tenantry.placement where client_id = v_client for share;
    end if;
    v_status := tenantry.admit(v_client, v_epoch);
    if v_status = 'entered' then
        perform set_config('tenantry.ticket', p_ticket, true);
    end if;
    return v_status;
end
$$;

-- Raises unless the scope is still the one that was entered; sent in one message with COMMIT.
create function tenantry.leave(p_ticket text) returns void
language plpgsql volatile parallel unsafe security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_ticket is null or current_setting('tenantry.ticket', true) is distinct from p_ticket then
        raise exception 'the scope of this transaction is not the one it was entered with'
            using errcode = 'TN004';
    end if;
end
$$;

-- The client that policies and column defaults use. VOLATILE, because a STABLE function would read the
-- placement with the statement's snapshot, which may be older than a flip.
create function tenantry.current_client() returns uuid
language plpgsql volatile parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ticket text := current_setting('tenantry.ticket', true);
    v_client uuid;
    v_epoch  bigint;
    v_status text;
begin
    if coalesce(v_ticket, '') = '' then
        raise exception 'no client is bound to this transaction' using errcode = 'TN005';
    end if;
    select t.client, t.epoch into v_client, v_epoch from tenantry.read_ticket(v_ticket) t;
    if v_client is null then
        raise exception 'the ticket of this transaction is forged or damaged' using errcode = 'TN004';
    end if;
    v_status := tenantry.admit(v_client, v_epoch);
    if v_status = 'moved' then
        raise exception 'client % is not here under epoch %', v_client, v_epoch using errcode = 'TN001';
    elsif v_status = 'suspended' then
        raise exception 'client % is suspended', v_client using errcode = 'TN002';
    elsif v_status = 'relocating' then
        raise exception 'client % is being relocated', v_client using errcode = 'TN003';
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
