-- Statistics are taken when a test says so, and never by the server itself.

create table notes (
    client_id  uuid        not null,
    id         bigint      not null,
    body       text        not null,
    size       integer     generated always as (length(body)) stored,
    updated_at timestamptz not null default now(),
    primary key (client_id, id)
) with (autovacuum_enabled = false);

create index notes_by_change on notes (client_id, updated_at);

select tenantry.protect('notes');

create table parts (
    client_id  uuid        not null,
    id         bigint      not null,
    "the body" text,
    updated_at timestamptz not null default now(),
    primary key (client_id, id)
) partition by hash (client_id);

do $$
begin
    for n in 0..3 loop
        execute format(
            'create table parts_%1$s partition of parts
                for values with (modulus 4, remainder %1$s) with (autovacuum_enabled = false)', n);
    end loop;
end
$$;

select tenantry.protect('parts');

create table spans (
    client_id uuid   not null,
    id        bigint not null,
    primary key (client_id, id)
) partition by range (id);

create table spans_below partition of spans for values from (minvalue) to (100) with (autovacuum_enabled = false);
create table spans_above partition of spans for values from (100) to (maxvalue) with (autovacuum_enabled = false);

select tenantry.protect('spans');

create table tags (
    client_id uuid not null,
    name      text not null,
    primary key (client_id, name)
) with (autovacuum_enabled = false);

select tenantry.protect('tags');

create table kinds (name text primary key);

insert into kinds select 'kind ' || n from generate_series(1, 1000) n;

select tenantry.share('kinds');
