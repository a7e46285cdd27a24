-- What clients use of what is counted by the month.

-- Processes take it in blocks: one row a client, limit and month is written once a block, not once a call.
create table platform.usage (
    client_id  uuid        not null,
    name       text        not null,
    month      date        not null,
    used       bigint      not null default 0,
    updated_at timestamptz not null default now(),
    constraint usage_pkey primary key (client_id, name, month),
    constraint usage_name_format check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    constraint usage_month_is_first_day check (extract(day from month) = 1),
    constraint usage_used_not_negative check (used >= 0)
) with (fillfactor = 50);

comment on column platform.usage.client_id is 'no foreign key: the bill outlives the client';
comment on column platform.usage.used is 'what processes have taken and not given back';

-- What a limit and its grace allow now; null for unlimited.
create function platform.allowed(p_limits jsonb, p_grace jsonb, p_name text) returns bigint
language sql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select case
        when jsonb_typeof(p_limits -> p_name) is distinct from 'number' or bool_or(g.allowed is null) then null
        else greatest((p_limits ->> p_name)::bigint, max(g.allowed))
    end
    from jsonb_to_recordset(p_grace) g("limit" text, allowed bigint, until numeric)
    where g."limit" = p_name and g.until > extract(epoch from now())
$$;

-- Takes a block of this month's allowance, and says how much that is: nothing where less than needed is left. Blocks
-- are a tenth of what is left at most, so that the last of it is not held by a process that does not need it. The
-- limit is read under the lock of the row, so that no block is taken by one that fell before.
create function platform.take_usage(
    p_client uuid, p_name text, p_needed bigint, p_block bigint,
    out granted bigint, out used bigint, out allowed bigint, out month text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_month date := date_trunc('month', now() at time zone 'utc')::date;
    v_left  bigint;
begin
    insert into platform.usage as u (client_id, name, month) values (p_client, p_name, v_month)
    on conflict on constraint usage_pkey do nothing;
    select u.used into used from platform.usage u
    where u.client_id = p_client and u.name = p_name and u.month = v_month for update;
    select platform.allowed(platform.limits_of(t.limits, c.limit_overrides, c.max_sidekicks), c.grace, p_name)
    into allowed
    from platform.clients c join platform.tiers t on t.name = c.tier
    where c.id = p_client and c.deleted_at is null;
    if not found then
        raise exception 'there is no client %', p_client using errcode = 'TN102';
    end if;
    v_left := allowed - used;
    granted := case
        when v_left is null then greatest(p_needed, p_block)
        when v_left < p_needed then 0
        else greatest(p_needed, least(p_block, v_left / 10))
    end;
    if granted > 0 then
        update platform.usage u set used = u.used + take_usage.granted, updated_at = now()
        where u.client_id = p_client and u.name = p_name and u.month = v_month;
        used := used + granted;
    end if;
    month := to_char(v_month, 'YYYY-MM');
end
$$;

create trigger no_truncate before truncate on platform.usage
    for each statement execute function platform.refuse('delete its rows');

revoke all on platform.usage from public;
