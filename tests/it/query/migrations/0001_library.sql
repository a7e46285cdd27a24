-- A library: a table for every type and every kind of connection that the builder is asked about.

create extension if not exists vector;

create type mood as enum ('calm', 'stern');
create type place as (shelf text, level integer);

create table languages (
    id   text primary key,
    name text not null
);

insert into languages (id, name) values ('en', 'English'), ('de', 'German');

select tenantry.share('languages');

-- Ids are given by the tests, so that two clients have the same.
create table authors (
    client_id uuid    not null,
    id        bigint  not null,
    slug      text    not null,
    name      text    not null,
    born      integer,
    version   bigint  not null default 1,
    primary key (client_id, id),
    unique (client_id, slug)
);

select tenantry.protect('authors');

create table books (
    client_id   uuid        not null,
    id          bigint      not null,
    author_id   bigint,
    editor_id   bigint,
    language_id text references languages (id),
    title       text        not null,
    pages       integer,
    code        uuid,
    tags        text[]      not null default '{}',
    meta        jsonb       not null default '{}',
    years       int4range,
    label       varchar(20),
    words       tsvector generated always as (to_tsvector('english', title)) stored,
    primary key (client_id, id),
    foreign key (client_id, author_id) references authors (client_id, id),
    foreign key (client_id, editor_id) references authors (client_id, id)
);

select tenantry.protect('books');

create table shelves (
    client_id uuid   not null,
    id        bigint not null,
    name      text   not null,
    primary key (client_id, id)
);

select tenantry.protect('shelves');

create table shelf_books (
    client_id uuid   not null,
    shelf_id  bigint not null,
    book_id   bigint not null,
    primary key (client_id, shelf_id, book_id),
    foreign key (client_id, shelf_id) references shelves (client_id, id),
    foreign key (client_id, book_id) references books (client_id, id)
);

select tenantry.protect('shelf_books');

-- No key, and no foreign key: about whatever has the id.
create table notes (
    client_id uuid   not null,
    subject   bigint not null,
    text      text   not null
);

select tenantry.protect('notes');

create table jobs (
    client_id uuid   not null,
    id        bigint not null,
    state     text   not null default 'waiting',
    primary key (client_id, id)
);

select tenantry.protect('jobs');

-- One row of a client, and no more.
create table settings (
    client_id uuid not null primary key,
    theme     text not null
);

select tenantry.protect('settings');

create table samples (
    client_id uuid             not null,
    id        bigint           not null,
    code      uuid,
    taken_at  timestamptz,
    day       date,
    ratio     double precision,
    small     smallint,
    done      boolean,
    meta      jsonb,
    tags      text[],
    numbers   integer[],
    bytes     bytea,
    embedding vector(3),
    mood      mood,
    moods     mood[],
    place     place,
    label     varchar(5),
    primary key (client_id, id)
);

select tenantry.protect('samples');
