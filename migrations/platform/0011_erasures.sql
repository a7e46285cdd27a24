-- Erasures of clients, so that one that was interrupted goes on, and what was removed can be told later.

create table platform.erasures (
    client_id   uuid        primary key,
    began_at    timestamptz not null default now(),
    finished_at timestamptz,
    found       jsonb
);

comment on column platform.erasures.client_id is 'no foreign key: the note outlives the client';
comment on column platform.erasures.found is
    'how much there was before anything was removed; null until it was counted. Numbers and names of tables alone';

create trigger audit after insert or update or delete on platform.erasures
    for each row execute function platform.audit('client_id');
create trigger no_truncate before truncate on platform.erasures
    for each statement execute function platform.refuse('delete its rows');

-- Who goes on with an erasure asks no more whether it may: a client that was served again would lose its rows.
create function platform.refuse_erased() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from platform.erasures e where e.client_id = new.id) then
        raise exception 'client % is being erased, or was', new.id
            using errcode = 'check_violation', constraint = 'clients_erased_stay_deleted',
                  schema = 'platform', table = 'clients', column = 'deleted_at';
    end if;
    return new;
end
$$;

-- Before that one is placed anew.
create trigger erased before update on platform.clients
    for each row when (old.deleted_at is not null and new.deleted_at is null)
    execute function platform.refuse_erased();

revoke all on platform.erasures from public;
