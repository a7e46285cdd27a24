-- Tables of every kind that is hard to fill.
create extension if not exists vector;
create type mood as enum ('calm', 'keen');
create domain short as text check (char_length(value) between 2 and 6);
create domain percent as integer check (value between 1 and 99);
create domain mail as text not null check (value ~ '^[^@ ]+@[^@ ]+\.[a-z]+$');
create type pair as (a integer, b text);
create type stay as (mood mood, short short, price numeric(3, 1), tags text[], pair pair, "client ""x""" uuid, at date, label varchar(5));
create type floats as range (subtype = float8);

create table kinds (
    client_id uuid not null,
    id bigint generated always as identity,
    serial_number serial,
    mood mood not null,
    moods mood[] not null,
    short short not null,
    share percent not null,
    mail mail,
    tags text[] not null check (cardinality(tags) between 1 and 3),
    body jsonb not null check (jsonb_typeof(body) = 'object'),
    list jsonb not null check (jsonb_typeof(list) = 'array'),
    near vector(3) not null,
    half halfvec(4) not null,
    code char(3) not null,
    label varchar(5) not null,
    price numeric(6, 2) not null check (price > 0 and price < 1000),
    lower_bound integer not null,
    upper_bound integer not null check (upper_bound > 10),
    span int4range not null,
    twice integer generated always as (lower_bound * 2) stored,
    pair pair not null check ((pair).b <> ''),
    pairs pair[] not null,
    stay stay not null check ((stay).price < 100 and cardinality((stay).tags) > 0),
    floats floats not null,
    at timestamptz not null,
    day date not null check (day >= '2021-01-01' and day < '2021-02-01'),
    address inet not null,
    raw bytea not null,
    xmlish text check (xmlish is null or xmlish like '<%>'),
    yes boolean not null,
    country text not null check (country in ('DE', 'FR')),
    colour text not null check (colour ~ '^#[0-9a-f]{6}$'),
    primary key (client_id, id),
    check (lower_bound < upper_bound),
    check (country <> 'DE' or yes)
);
select tenantry.protect('kinds');

-- Refers to itself, and has to.
create table tree (
    client_id uuid not null,
    id uuid not null,
    parent_id uuid not null,
    above_id uuid,
    primary key (client_id, id),
    foreign key (client_id, parent_id) references tree (client_id, id),
    foreign key (client_id, above_id) references tree (client_id, id) on delete set null (above_id)
);
select tenantry.protect('tree');

-- Two that refer to each other.
create table heads (
    client_id uuid not null,
    id uuid not null,
    tail_id uuid not null,
    primary key (client_id, id)
);
create table tails (
    client_id uuid not null,
    id uuid not null,
    head_id uuid not null,
    primary key (client_id, id),
    foreign key (client_id, head_id) references heads (client_id, id) deferrable initially deferred
);
alter table heads add foreign key (client_id, tail_id) references tails (client_id, id) deferrable initially deferred;
select tenantry.protect('heads');
select tenantry.protect('tails');

-- Of three columns, to a key that the database makes.
create table parts (
    client_id uuid not null,
    kind_id bigint not null,
    place integer not null,
    primary key (client_id, kind_id, place),
    foreign key (client_id, kind_id) references kinds (client_id, id)
);
create table screws (
    client_id uuid not null,
    kind_id bigint not null,
    place integer not null,
    size smallint not null check (size in (3, 5, 8)),
    primary key (client_id, kind_id, place, size),
    foreign key (client_id, kind_id, place) references parts (client_id, kind_id, place)
);
select tenantry.protect('parts');
select tenantry.protect('screws');

create table days (
    client_id uuid not null,
    id uuid not null default gen_random_uuid(),
    day date not null,
    region text not null,
    primary key (client_id, id, day, region)
) partition by range (day);
create table days_2020 partition of days for values from ('2020-01-01') to ('2021-01-01') partition by list (region);
create table days_2020_north partition of days_2020 for values in ('north', 'east');
select tenantry.protect('days');

-- With a trigger that refuses what it does not like, and stamps.
create table stamped (
    client_id uuid not null,
    id uuid not null default gen_random_uuid(),
    stamp text,
    primary key (client_id, id)
);
create function stamp() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.client_id <> old.client_id then
        raise exception 'rows stay where they are';
    end if;
    new.stamp := 'stamped ' || coalesce(new.stamp, '');
    return new;
end
$$;
create trigger stamp before insert or update on stamped for each row execute function stamp();
select tenantry.protect('stamped');

-- Nothing but the client.
create table settings (
    client_id uuid primary key,
    theme text not null default 'light'
);
select tenantry.protect('settings');

-- That the app role only reads.
create table plans (id integer primary key, name text not null unique);
insert into plans values (1, 'free');
select tenantry.share('plans');
create table subscriptions (
    client_id uuid not null,
    plan_id integer not null references plans,
    during tstzrange not null,
    primary key (client_id, plan_id)
);
select tenantry.protect('subscriptions');

-- Of a whole row.
create function label_of(one stay) returns text language plpgsql stable as $$
begin
    if one.mood is null or one.label is null then raise exception 'no row'; end if;
    return one.label;
end
$$;
