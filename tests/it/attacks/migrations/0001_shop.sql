-- A small shop, as it should be.
create table currencies (code text primary key check (code ~ '^[A-Z]{3}$'));
insert into currencies values ('EUR'), ('USD');
select tenantry.share('currencies');

create table customers (
    client_id uuid not null,
    id        uuid not null default gen_random_uuid(),
    email     text not null,
    note      text,
    primary key (client_id, id),
    unique (client_id, email)
);
select tenantry.protect('customers');

create table orders (
    client_id   uuid    not null,
    id          uuid    not null default gen_random_uuid(),
    customer_id uuid    not null,
    currency    text    not null references currencies,
    number      serial,
    total       numeric(10, 2) not null check (total >= 0),
    primary key (client_id, id),
    foreign key (client_id, customer_id) references customers (client_id, id) on delete cascade
);
create index orders_by_customer on orders (client_id, customer_id);
select tenantry.protect('orders');

create table events (
    client_id uuid        not null,
    id        uuid        not null default gen_random_uuid(),
    at        timestamptz not null default now(),
    body      jsonb       not null,
    primary key (client_id, id)
) partition by hash (client_id);
create table events_0 partition of events for values with (modulus 2, remainder 0);
create table events_1 partition of events for values with (modulus 2, remainder 1);
select tenantry.protect('events');

create view open_orders with (security_invoker = true) as
select o.client_id, o.id, o.total, c.email from orders o join customers c using (client_id) where c.id = o.customer_id;
grant select, update, delete on open_orders to tenantry_fixture_app;

create function order_count() returns bigint language sql stable as 'select count(*) from orders';
create function customer_email(p_id uuid) returns text language sql stable as
    'select email from customers where id = p_id';
