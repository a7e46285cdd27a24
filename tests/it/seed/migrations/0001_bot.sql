-- A small chatbot: models that all clients read, and what each client has of its own.

create type mood as enum ('calm', 'brisk');

create domain percent as integer check (value between 0 and 100);

create table providers (
    id   integer generated always as identity primary key,
    slug text not null unique
);

select tenantry.share('providers');

create table models (
    id          integer generated always as identity primary key,
    slug        text    not null unique,
    provider_id integer not null references providers (id),
    tokens      integer not null check (tokens > 0)
);

select tenantry.share('models');

create table tools (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    slug      text not null,
    parent_id uuid,
    endpoint  text,
    settings  jsonb not null default '{}',
    raw       json,
    tags      text[] not null default '{}',
    mood      mood,
    share     percent,
    price     numeric(10, 2),
    seen      timestamptz,
    notes     varchar(8),
    primary key (client_id, id),
    unique (client_id, slug),
    foreign key (client_id, parent_id) references tools (client_id, id)
);

select tenantry.protect('tools');

create table agents (
    client_id uuid    not null,
    id        bigint  generated always as identity,
    slug      text    not null,
    model_id  integer not null references models (id),
    prompt    text    not null default '',
    primary key (client_id, id),
    unique (client_id, slug)
);

select tenantry.protect('agents');

create table agent_tools (
    client_id uuid   not null,
    agent_id  bigint not null,
    tool_id   uuid   not null,
    rank      integer,
    primary key (client_id, agent_id, tool_id),
    foreign key (client_id, agent_id) references agents (client_id, id),
    foreign key (client_id, tool_id) references tools (client_id, id)
);

select tenantry.protect('agent_tools');

create table users (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    email     text not null,
    role      text not null check (role in ('admin', 'supporter')),
    hash      text not null,
    number    integer,
    primary key (client_id, id),
    unique (client_id, email),
    unique (client_id, number)
);

select tenantry.protect('users');

-- Two tables that refer to each other.
create table lefts (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    slug      text not null,
    right_id  uuid,
    primary key (client_id, id),
    unique (client_id, slug)
);

create table rights (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    slug      text not null,
    left_id   uuid,
    primary key (client_id, id),
    unique (client_id, slug),
    foreign key (client_id, left_id) references lefts (client_id, id)
);

alter table lefts add foreign key (client_id, right_id) references rights (client_id, id);

select tenantry.protect('lefts');
select tenantry.protect('rights');

-- Of no client, and shared by none.
create table stray (
    id integer primary key
);
