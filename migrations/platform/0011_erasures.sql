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

revoke all on platform.erasures from public;
