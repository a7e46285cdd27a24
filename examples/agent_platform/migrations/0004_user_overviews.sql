-- What is known of a user: by one agent, or by all of them together where the agent is null.

create table user_overviews (
    client_id  uuid        not null,
    id         uuid        not null default gen_random_uuid(),
    user_id    text        not null check (user_id <> ''),
    agent_id   uuid,
    overview   jsonb       not null default '{}' check (jsonb_typeof(overview) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (client_id, id),
    unique nulls not distinct (client_id, user_id, agent_id),
    -- Cascade: set to null, it would collide with the overview of all agents.
    foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade
);

create index user_overviews_by_agent on user_overviews (client_id, agent_id) where agent_id is not null;

select tenantry.protect('user_overviews');
