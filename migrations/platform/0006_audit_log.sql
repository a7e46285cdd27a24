-- Who changed what. Rows are written in the transaction of the change and never change themselves.

create table platform.audit_log (
    id        bigint      primary key generated always as identity,
    at        timestamptz not null default clock_timestamp(),
    xid       xid8        not null default pg_current_xact_id(),
    actor     text        not null default coalesce(nullif(current_setting('platform.actor', true), ''), session_user),
    client_id uuid,
    action    text        not null,
    before    jsonb,
    after     jsonb,
    constraint audit_log_actor_not_blank check (btrim(actor) <> ''),
    constraint audit_log_action_not_blank check (btrim(action) <> '')
);

comment on column platform.audit_log.client_id is 'no foreign key: the log outlives the client';
comment on column platform.audit_log.xid is
    'the transaction: ids are given in another order than changes commit, so who reads what is new goes by snapshots';

create index audit_log_client_id_idx on platform.audit_log (client_id, id) where client_id is not null;
create index audit_log_at_idx on platform.audit_log (at);
create index audit_log_xid_idx on platform.audit_log (xid);

-- The columns to keep of a row; a sealed one only says that it is set.
create function platform.audited(p_row jsonb, p_columns text[], p_sealed text[]) returns jsonb
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_object_agg(
        c.key, case when c.key = any (p_sealed) and c.value <> 'null' then '"sealed"' else c.value end)
    from jsonb_each(p_row) c
    where c.key = any (p_columns)
$$;

-- Its arguments name the columns that identify a row. A row that only updated_at, status_since or the derived
-- client_count tells apart has not changed.
create function platform.audit() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old     jsonb;
    v_new     jsonb;
    v_columns text[];
    -- Found by their type, so that no later sealed column can be forgotten.
    v_sealed  text[] := array(
        select a.attname from pg_attribute a
        where a.attrelid = tg_relid and a.atttypid = 'platform.sealed'::regtype and not a.attisdropped);
begin
    if tg_op <> 'INSERT' then
        v_old := to_jsonb(old);
    end if;
    if tg_op <> 'DELETE' then
        v_new := to_jsonb(new);
    end if;
    v_columns := array(
        select k from jsonb_object_keys(coalesce(v_new, v_old)) k
        where v_old -> k is distinct from v_new -> k and k not in ('updated_at', 'client_count', 'status_since'));
    if v_columns = '{}' then
        return null;
    end if;
    v_columns := v_columns || tg_argv;
    insert into platform.audit_log (client_id, action, before, after)
    values (
        (case tg_table_name
            when 'clients' then coalesce(v_new, v_old) ->> 'id'
            else coalesce(v_new, v_old) ->> 'client_id'
        end)::uuid,
        tg_table_name || '.' || lower(tg_op),
        platform.audited(v_old, v_columns, v_sealed),
        platform.audited(v_new, v_columns, v_sealed));
    return null;
end
$$;

create trigger audit after insert or update or delete on platform.tiers
    for each row execute function platform.audit('name');
create trigger audit after insert or update or delete on platform.pools
    for each row execute function platform.audit('id', 'name');
create trigger audit after insert or update or delete on platform.clients
    for each row execute function platform.audit('id', 'slug');
create trigger audit after insert or update or delete on platform.client_credentials
    for each row execute function platform.audit('client_id', 'provider', 'kind');

create function platform.refuse() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% of %.% is refused: %', lower(tg_op), tg_table_schema, tg_table_name, tg_argv[0]
        using errcode = 'insufficient_privilege', schema = tg_table_schema, table = tg_table_name;
end
$$;

create trigger append_only before update or delete or truncate on platform.audit_log
    for each statement execute function platform.refuse('the log is append-only');
alter table platform.audit_log enable always trigger append_only;

-- Row triggers do not see TRUNCATE: it would leave counts, log and caches wrong.
create trigger no_truncate before truncate on platform.tiers
    for each statement execute function platform.refuse('delete its rows');
create trigger no_truncate before truncate on platform.pools
    for each statement execute function platform.refuse('delete its rows');
create trigger no_truncate before truncate on platform.clients
    for each statement execute function platform.refuse('delete its rows');
create trigger no_truncate before truncate on platform.client_credentials
    for each statement execute function platform.refuse('delete its rows');

revoke all on all tables in schema platform from public;
