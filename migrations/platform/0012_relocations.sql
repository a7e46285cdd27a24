-- Relocations of clients, so that one that was interrupted goes on, and what was done can be told later.

create table platform.relocations (
    id               uuid        primary key default gen_random_uuid(),
    client_id        uuid        not null,
    phase            text        not null default 'planned',
    way              text        not null default 'follow',
    attempt          integer     not null default 0,
    failure          text,
    source_tier      text        not null,
    source_pool      uuid,
    source_app       platform.sealed,
    source_admin     platform.sealed,
    target_pool      uuid,
    target_app       platform.sealed,
    target_admin     platform.sealed,
    target_tier      text,
    fingerprint      text        not null,
    was_moved        boolean     not null default false,
    certificate      jsonb,
    started_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now(),
    ended_at         timestamptz,
    constraint relocations_client_id_fkey
        foreign key (client_id) references platform.clients (id) on delete cascade,
    constraint relocations_source_pool_fkey foreign key (source_pool) references platform.pools (id),
    constraint relocations_target_pool_fkey foreign key (target_pool) references platform.pools (id),
    constraint relocations_phase_known check (phase in (
        'planned', 'copying', 'following', 'moved', 'completing', 'completed',
        'cancelling', 'cancelled', 'reverted')),
    constraint relocations_way_known check (way in ('plain', 'follow')),
    constraint relocations_ended check (
        (ended_at is not null) = (phase in ('completed', 'cancelled', 'reverted'))),
    -- Who is done with has no secrets left here.
    constraint relocations_ended_has_no_connections check (
        ended_at is null
        or (source_app is null and source_admin is null and target_app is null and target_admin is null))
);

comment on column platform.relocations.source_app is
    'sealed for the client, as its own: where the client was, until its rows there are removed';
comment on column platform.relocations.fingerprint is 'of the tables of both sides when it was planned';

create unique index relocations_open_key on platform.relocations (client_id) where ended_at is null;
create index relocations_client_id_idx on platform.relocations (client_id, started_at);

create trigger touch before update on platform.relocations
    for each row when (old.* is distinct from new.*) execute function platform.touch();
create trigger audit after insert or delete on platform.relocations
    for each row execute function platform.audit('client_id', 'phase');
-- That somebody is at it again is no change of it.
create trigger audit_changes after update on platform.relocations
    for each row
    when (to_jsonb(old) - array['attempt', 'updated_at'] is distinct from to_jsonb(new) - array['attempt', 'updated_at'])
    execute function platform.audit('client_id', 'phase');
create trigger no_truncate before truncate on platform.relocations
    for each statement execute function platform.refuse('delete its rows');

revoke all on platform.relocations from public;
