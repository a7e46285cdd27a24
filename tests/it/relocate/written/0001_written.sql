-- What the writers of the tests write to, and nothing else.

create table agents (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    slug      text not null,
    name      text not null,
    primary key (client_id, id),
    unique (client_id, slug)
);

select tenantry.protect('agents');

create table documents (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    title     text not null,
    content   text not null default '',
    primary key (client_id, id)
);

select tenantry.protect('documents');
