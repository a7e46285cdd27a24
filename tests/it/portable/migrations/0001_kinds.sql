-- A table of everything that a column can be, and tables that refer to each other in every way.
create extension if not exists vector;
select '[0]'::vector;

create type mood as enum ('calm', 'it''s, "odd"');
create domain positive as integer check (value > 0);
create domain moods as mood[];
create type stop as (place integer, mood mood, note text);
create type span as range (subtype = float8);

create table kinds (
    client_id  uuid     not null,
    id         bigint   generated always as identity,
    serial     serial,
    small      smallint,
    large      bigint,
    exact      numeric,
    single     real,
    double     double precision,
    money      money,
    flag       boolean,
    words      text,
    padded     char(5),
    letter     "char",
    bytes      bytea,
    day        date,
    clock      time,
    zoned      timetz,
    moment     timestamptz,
    local      timestamp,
    length     interval,
    uuid       uuid,
    json       json,
    jsonb      jsonb,
    bits       bit varying,
    net        inet,
    place      point,
    path       jsonpath,
    numbers    integer[],
    table_of   text[][],
    mood       mood,
    mood_list  mood[],
    mood_again moods,
    positive   positive,
    stop       stop,
    stops      stop[],
    between    int4range,
    many       int4multirange,
    span       span,
    parsed     tsvector,
    asked      tsquery,
    config     regconfig,
    relation   regclass,
    relations  regclass[],
    vector     vector(3),
    half       halfvec(3),
    sparse     sparsevec(5),
    vectors    vector[],
    doubled    bigint   generated always as (large * 2) stored,
    searched   tsvector generated always as (to_tsvector('english', coalesce(words, ''))) stored,
    primary key (client_id, id)
);
select tenantry.protect('kinds');

create table empties (client_id uuid not null, id uuid not null, primary key (client_id, id));
select tenantry.protect('empties');

-- Of no column but that of the client.
create table members_only (client_id uuid not null primary key);
select tenantry.protect('members_only');

create schema "Odd ""Schema""";
create table "Odd ""Schema"""."select; -- " (
    client_id uuid not null,
    "id"      integer not null,
    "Quo""te'd" text,
    "gone"    text,
    "from"    text,
    primary key (client_id, id)
);
alter table "Odd ""Schema"""."select; -- " drop column gone;
select tenantry.protect('"Odd ""Schema"""."select; -- "');

create table events (
    client_id uuid not null,
    id        integer not null,
    at        date not null,
    node      integer,
    primary key (client_id, id, at)
) partition by range (at);
create table events_old partition of events for values from (minvalue) to ('2020-01-01');
create table events_new partition of events for values from ('2020-01-01') to (maxvalue) partition by hash (id);
create table events_new_0 partition of events_new for values with (modulus 2, remainder 0);
create table events_new_1 partition of events_new for values with (modulus 2, remainder 1);
select tenantry.protect('events');

create table nodes (
    client_id uuid not null,
    id        integer not null,
    parent    integer,
    primary key (client_id, id),
    foreign key (client_id, parent) references nodes (client_id, id)
);
select tenantry.protect('nodes');
alter table events add foreign key (client_id, node) references nodes (client_id, id);

-- In a circle that nothing can defer.
create table crews (
    client_id uuid not null,
    id        integer not null,
    leader    integer not null,
    primary key (client_id, id)
);
create table sailors (
    client_id uuid not null,
    id        integer not null,
    crew      integer not null,
    primary key (client_id, id),
    foreign key (client_id, crew) references crews (client_id, id)
);
alter table crews add foreign key (client_id, leader) references sailors (client_id, id);
select tenantry.protect('crews'), tenantry.protect('sailors');

create table colours (name text primary key);
insert into colours values ('red');
select tenantry.share('colours');
