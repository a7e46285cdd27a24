-- What users and agents said to each other.

create table conversations (
    client_id  uuid        not null,
    id         uuid        not null default gen_random_uuid(),
    user_id    text        not null check (user_id <> ''),
    agent_id   uuid,
    title      text        not null default '',
    metadata   jsonb       not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (client_id, id),
    -- Only the agent is set to null: without the column list the client would be, too.
    foreign key (client_id, agent_id) references agents (client_id, id) on delete set null (agent_id)
);

create index conversations_by_user on conversations (client_id, user_id, created_at, id);
create index conversations_by_agent on conversations (client_id, agent_id) where agent_id is not null;

select tenantry.protect('conversations');

-- A realtime feed of this table is the host's choice and off: see the README.
create table conversation_transcripts (
    client_id       uuid        not null,
    id              uuid        not null default gen_random_uuid(),
    conversation_id uuid        not null,
    agent_id        uuid,
    user_id         text        not null check (user_id <> ''),
    role            text        not null check (role in ('user', 'assistant', 'system', 'tool')),
    content         text        not null,
    metadata        jsonb       not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    embedding       vector(1024),
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now(),
    primary key (client_id, id),
    foreign key (client_id, conversation_id) references conversations (client_id, id) on delete cascade,
    foreign key (client_id, agent_id) references agents (client_id, id) on delete set null (agent_id)
) partition by hash (client_id);

create index conversation_transcripts_by_conversation
    on conversation_transcripts (client_id, conversation_id, created_at, id);
create index conversation_transcripts_by_user on conversation_transcripts (client_id, user_id);
create index conversation_transcripts_by_agent
    on conversation_transcripts (client_id, agent_id) where agent_id is not null;

alter table conversation_transcripts alter column embedding set storage main;

do $$
begin
    for n in 0..7 loop
        execute format(
            'create table conversation_transcripts_%1$s partition of conversation_transcripts
                for values with (modulus 8, remainder %1$s) with (toast_tuple_target = 8160)', n);
    end loop;
end
$$;

select tenantry.protect('conversation_transcripts');
