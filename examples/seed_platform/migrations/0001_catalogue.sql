-- What all tenants read: models by provider, tools, output formats, and the agents that there are.

create table models (
    slug     text primary key,
    provider text not null,
    name     text not null
);

create table base_tools (
    id          uuid primary key default gen_random_uuid(),
    slug        text not null unique,
    description text not null
);

create table output_formats (
    id       uuid primary key default gen_random_uuid(),
    slug     text not null unique,
    media    text not null,
    template text not null
);

create table base_agents (
    id        uuid primary key default gen_random_uuid(),
    slug      text not null unique,
    name      text not null,
    purpose   text not null,
    format_id uuid not null references output_formats (id)
);

select tenantry.share('models'), tenantry.share('base_tools'), tenantry.share('output_formats'),
       tenantry.share('base_agents');
