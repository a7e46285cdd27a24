-- What the files held, by client. Nothing here but the columns knows of the files.

create table roles (
    client_id   uuid   not null,
    slug        text   not null,
    name        text   not null,
    permissions text[] not null default '{}',
    primary key (client_id, slug)
);

create table users (
    client_id uuid not null,
    email     text not null,
    name      text not null,
    role      text not null,
    primary key (client_id, email)
);

create table agents (
    client_id uuid    not null,
    slug      text    not null,
    name      text    not null,
    prompt    text    not null default '',
    version   integer not null default 1,
    primary key (client_id, slug)
);

select tenantry.protect('roles'), tenantry.protect('users'), tenantry.protect('agents');
