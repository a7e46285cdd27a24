-- What each tenant has of its own.

-- Where a tool is asked: at each tenant elsewhere.
create table tool_endpoints (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    tool_id   uuid not null references base_tools (id),
    url       text not null,
    primary key (client_id, id),
    unique (client_id, tool_id)
);

select tenantry.protect('tool_endpoints');

-- The agents that a tenant may use, each with the tenant's model. One that is not here, it may not.
create table agents (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    base_id   uuid not null references base_agents (id),
    model     text not null references models (slug),
    primary key (client_id, id),
    unique (client_id, base_id)
);

select tenantry.protect('agents');

create table agent_tools (
    client_id   uuid not null,
    agent_id    uuid not null,
    endpoint_id uuid not null,
    primary key (client_id, agent_id, endpoint_id),
    foreign key (client_id, agent_id) references agents (client_id, id) on delete cascade,
    foreign key (client_id, endpoint_id) references tool_endpoints (client_id, id) on delete cascade
);

select tenantry.protect('agent_tools');

create table users (
    client_id     uuid not null,
    id            uuid not null default gen_random_uuid(),
    email         text not null,
    role          text not null check (role in ('admin', 'supporter')),
    password_hash text not null check (password_hash like '$argon2id$%'),
    primary key (client_id, id),
    unique (client_id, email)
);

select tenantry.protect('users');
