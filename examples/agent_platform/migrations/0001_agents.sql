-- A client's agents, and the models that all clients share.
-- Nothing here but the columns knows whether the database is a pool or a client's own.

create extension if not exists vector;

create table models (
    id             text    primary key,
    provider       text    not null,
    context_tokens integer not null check (context_tokens > 0)
);

insert into models (id, provider, context_tokens) values
    ('large-2',     'northwind', 200000),
    ('small-2',     'northwind', 128000),
    ('open-70b',    'local',      32768),
    ('embed-1024',  'local',       8192);

select tenantry.share('models');

-- No trigger keeps updated_at: a relocation writes rows as they are. Statements that change a row set it.
create table agents (
    client_id     uuid        not null,
    id            uuid        not null default gen_random_uuid(),
    slug          text        not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name          text        not null check (btrim(name) <> ''),
    description   text        not null default '',
    system_prompt text        not null default '',
    model_id      text        references models (id),
    settings      jsonb       not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (client_id, id),
    unique (client_id, slug)
);

create index agents_by_age on agents (client_id, created_at, id);

select tenantry.protect('agents');
