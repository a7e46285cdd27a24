//! Each weakness is planted alone in a shop that is right without it, and found under its name.

use tenantry::testing::Fixture;

use super::{Outcome, SHOP, attacked, change};

/// What is found where that was planted.
async fn planted(sql: &str, id: &str, object: &str) -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    change(&fixture, sql).await?;
    let report = attacked(&fixture).await?;
    let found = report
        .findings
        .iter()
        .any(|finding| finding.id == id && finding.object.contains(object));
    assert!(found, "no {id} of {object}: {report} {:?}", report.left_out);
    fixture.close().await;
    Ok(())
}

macro_rules! plant {
    ($($name:ident: $sql:expr => $id:literal, $object:literal;)+) => {
        $(#[tokio::test]
        async fn $name() -> Outcome {
            planted($sql, $id, $object).await
        })+
    };
}

/// The definition of a function of the kernel, with one part of it in place of another.
macro_rules! without {
    ($function:literal, $part:literal, $instead:literal) => {
        concat!(
            "do $plant$ declare v_before text := pg_get_functiondef('tenantry.",
            $function,
            "'::regprocedure);
                v_after text := replace(v_before, $part$",
            $part,
            "$part$, $part$",
            $instead,
            "$part$);
             begin
                 if v_after = v_before then raise exception 'it has no such part'; end if;
                 execute v_after;
             end $plant$"
        )
    };
}

/// The one policy of the orders.
macro_rules! policy {
    ($policy:literal) => {
        concat!(
            "drop policy tenantry_scope on orders; drop policy tenantry_open on orders; ",
            $policy
        )
    };
}

plant! {
    // Policies.
    row_level_security_that_is_off: "alter table orders disable row level security" => "attack.read", "public.orders";
    row_level_security_that_is_off_lets_rows_be_copied: "alter table orders disable row level security" => "attack.copy", "public.orders";
    row_level_security_that_is_off_lets_cursors_by: "alter table orders disable row level security" => "attack.cursor", "public.orders";
    row_level_security_that_is_off_lets_rows_be_changed: "alter table orders disable row level security" => "attack.write", "public.orders";
    row_level_security_that_is_off_lets_rows_be_removed: "alter table orders disable row level security" => "attack.delete", "public.orders";
    row_level_security_that_is_off_lets_rows_be_merged: "alter table orders disable row level security" => "attack.merge", "public.orders";
    row_level_security_that_is_off_lets_rows_be_overwritten: "alter table orders disable row level security" => "attack.upsert", "public.orders";
    row_level_security_that_is_off_has_errors_tell: "alter table orders disable row level security" => "attack.message", "public.orders";
    an_owner_that_is_not_held: "alter table orders owner to tenantry_fixture_app; alter table orders no force row level security"
        => "attack.read", "public.orders";
    an_owner_that_is_held_and_may_change_that: "alter table orders owner to tenantry_fixture_app" => "attack.ddl", "public.orders";
    an_owner_that_turns_row_level_security_off_for_itself: "alter table orders owner to tenantry_fixture_app; alter table orders no force row level security"
        => "attack.row_security", "public.orders";
    a_policy_that_is_always_true: policy!("create policy p on orders using (client_id = (select tenantry.current_client()) or true)
        with check (client_id = (select tenantry.current_client()))") => "attack.read", "public.orders";
    a_permissive_policy_beside_one_that_is_permissive: policy!("create policy p on orders using (client_id = (select tenantry.current_client()));
        create policy q on orders for select using (total < 100000000)") => "attack.read", "public.orders";
    a_policy_for_reading_alone_that_is_open_to_rows_of_a_currency: policy!("create policy p on orders using (client_id = (select tenantry.current_client()));
        create policy q on orders for select using (currency is not null)") => "attack.prepared", "public.orders";
    a_policy_without_a_check_takes_rows_for_others: policy!("create policy p on orders using (client_id = (select tenantry.current_client())) with check (true)")
        => "attack.insert", "public.orders";
    a_policy_without_a_check_lets_rows_be_given_away: policy!("create policy p on orders using (client_id = (select tenantry.current_client())) with check (true)")
        => "attack.give_away", "public.orders";
    a_policy_for_deletes_that_is_open: policy!("create policy s on orders for select using (client_id = (select tenantry.current_client()));
        create policy i on orders for insert with check (client_id = (select tenantry.current_client()));
        create policy u on orders for update using (client_id = (select tenantry.current_client()));
        create policy d on orders for delete using (true)") => "attack.delete", "public.orders";
    a_policy_for_updates_that_is_open: policy!("create policy s on orders for select using (client_id = (select tenantry.current_client()));
        create policy i on orders for insert with check (client_id = (select tenantry.current_client()));
        create policy u on orders for update using (true) with check (true);
        create policy d on orders for delete using (client_id = (select tenantry.current_client()))") => "attack.write", "public.orders";
    a_policy_whose_function_is_immutable: "create function app_client() returns uuid language plpgsql immutable as 'begin return tenantry.current_client(); end';
        drop policy tenantry_scope on customers; drop policy tenantry_open on customers;
        create policy p on customers using (client_id = app_client())" => "attack.prepared", "public.customers";
    a_policy_by_a_setting: policy!("create policy p on orders using (client_id = coalesce(nullif(current_setting('shop.owner', true), '')::uuid, tenantry.current_client()))")
        => "attack.scope", "public.orders";
    rows_that_are_nobodys: "create table loose (client_id uuid, body text);
        alter table loose enable row level security, force row level security;
        create policy p on loose using (client_id = (select tenantry.current_client()) or client_id is null);
        grant select, insert, update, delete on loose to tenantry_fixture_app" => "attack.insert", "public.loose";
    a_table_that_nobody_declared: "create table hints (id uuid primary key default gen_random_uuid(), body text);
        grant select, insert, update, delete on hints to tenantry_fixture_app" => "attack.read", "public.hints";

    // What proves nothing.
    a_table_that_takes_no_row: "create table never (client_id uuid not null, id uuid not null, primary key (client_id, id), check (id <> id));
        select tenantry.protect('never')" => "attack.unfilled", "public.never";
    a_table_that_swallows_its_rows: "create function swallow() returns trigger language plpgsql as 'begin return null; end';
        create trigger swallow before insert on customers for each row execute function swallow()" => "attack.unfilled", "public.customers";
    a_table_that_swallows_its_rows_and_is_not_read: "create function swallow() returns trigger language plpgsql as 'begin return null; end';
        create trigger swallow before insert on events for each row execute function swallow();
        revoke select on events from tenantry_fixture_app" => "attack.unfilled", "public.events";

    // Past the tables.
    a_view_of_its_owner: "create view all_orders as select * from orders; alter view all_orders owner to tenantry_fixture_admin;
        grant select on all_orders to tenantry_fixture_app" => "attack.view", "public.all_orders";
    a_view_that_counts: "create view order_counts as select count(*) from orders; alter view order_counts owner to tenantry_fixture_admin;
        grant select on order_counts to tenantry_fixture_app" => "attack.view", "public.order_counts";
    a_view_that_filters_and_is_no_barrier: "create view my_orders as select * from orders where client_id = tenantry.current_client();
        alter view my_orders owner to tenantry_fixture_admin;
        grant select on my_orders to tenantry_fixture_app" => "attack.view", "public.my_orders";
    a_view_that_is_written_through: "create view every_order as select client_id, id, total from orders;
        alter view every_order owner to tenantry_fixture_admin;
        grant delete, select on every_order to tenantry_fixture_app" => "attack.view", "public.every_order";
    a_materialized_view: "create materialized view stored as select * from orders; grant select on stored to tenantry_fixture_app"
        => "attack.view", "public.stored";
    a_partition_that_is_granted: "alter table events_0 disable row level security; alter table events_1 disable row level security;
        grant select on events_0, events_1 to tenantry_fixture_app" => "attack.partition", "public.events_";
    a_partition_that_is_granted_for_removing: "alter table events_0 disable row level security; alter table events_1 disable row level security;
        grant select, delete on events_0, events_1 to tenantry_fixture_app" => "attack.partition", "public.events_";
    a_new_partition_without_policies: "create table old_orders () inherits (orders); grant select on old_orders to tenantry_fixture_app"
        => "attack.partition", "public.old_orders";
    a_function_of_its_owner_that_reads: "create function find_order(p_id uuid) returns setof orders language sql security definer as 'select * from orders where id = p_id'"
        => "attack.function", "public.find_order";
    a_function_of_its_owner_that_reads_all: "create function every_email() returns setof text language sql security definer as 'select email from customers'"
        => "attack.function", "public.every_email";
    a_function_of_its_owner_that_removes: "create function drop_order(p_id uuid) returns void language sql security definer as 'delete from orders where id = p_id'"
        => "attack.function", "public.drop_order";
    a_function_of_its_owner_that_adds: "create function add_customer(p_client_id uuid, p_email text) returns void language sql security definer
        as 'insert into customers (client_id, email) values (p_client_id, p_email || ''x'')'" => "attack.function", "public.add_customer";
    a_function_of_its_owner_that_says_whether: "create function is_taken(p_email text) returns boolean language sql security definer
        as 'select exists (select from customers where email = p_email)'" => "attack.function", "public.is_taken";
    a_function_of_its_owner_that_reads_any_table: "create function peek(p_table text) returns bigint language plpgsql security definer
        as 'declare n bigint; begin execute ''select count(*) from '' || p_table into n; return n; end'" => "attack.function", "public.peek";
    a_function_of_its_owner_that_fails_otherwise: "create function check_email(p_email text) returns void language plpgsql security definer
        as 'begin if exists (select from customers where email = p_email) then raise exception ''taken''; end if; end'" => "attack.function", "public.check_email";
    a_procedure_of_its_owner: "create procedure wipe(p_id uuid) language sql security definer as 'delete from customers where id = p_id'"
        => "attack.function", "public.wipe";
    a_function_of_its_owner_that_is_given_a_row: "create function like_this(one customers) returns setof text language sql security definer
        as 'select email from customers where client_id = one.client_id and id = one.id'" => "attack.function", "public.like_this";
    a_function_that_becomes_another: "create function become(p_client_id uuid) returns void language sql security definer
        as 'select setval(''tenantry.scope'', handle) from tenantry.placement where client_id = p_client_id'" => "attack.function", "public.become";

    // Keys.
    a_key_of_all_clients: "alter table customers add unique (email)" => "attack.oracle", "public.customers";
    a_key_of_all_clients_with_few_values: "alter table orders add unique (currency)" => "attack.oracle", "public.orders";
    a_key_of_all_clients_in_an_exclusion: "alter table customers add exclude (email with =)" => "attack.oracle", "public.customers";
    a_unique_index_of_all_clients: "create unique index emails on customers (email) where note is null" => "attack.oracle", "public.customers";
    a_unique_index_of_an_expression: "create unique index emails on customers (lower(email))" => "attack.oracle", "public.customers";
    a_reference_without_the_client: "alter table customers add unique (id); alter table orders drop constraint orders_client_id_customer_id_fkey;
        alter table orders add constraint plain foreign key (customer_id) references customers (id)" => "attack.reference", "public.orders (plain)";
    a_reference_without_the_client_that_cascades: "alter table customers add unique (id); alter table orders drop constraint orders_client_id_customer_id_fkey;
        alter table orders add constraint plain foreign key (customer_id) references customers (id) on delete cascade" => "attack.cascade", "public.orders (plain)";

    // Rights.
    a_right_to_truncate: "grant truncate on orders to tenantry_fixture_app" => "attack.truncate", "public.orders";
    a_shared_table_that_is_written: "grant insert, update on currencies to tenantry_fixture_app" => "attack.shared", "public.currencies";
    a_sequence_that_is_read: "grant select on sequence orders_number_seq to tenantry_fixture_app" => "attack.sequence", "public.orders_number_seq";
    a_sequence_that_is_set: "grant update on sequence orders_number_seq to tenantry_fixture_app" => "attack.sequence", "public.orders_number_seq";
    statistics_that_are_read: "alter table customers disable row level security;
        insert into customers (client_id, email) select gen_random_uuid(), 'a@b.c' from generate_series(1, 100); analyze customers"
        => "attack.statistics", "pg_catalog.pg_stats";
    a_schema_that_takes_tables: "grant create on schema public to tenantry_fixture_app" => "attack.create", "public";
    a_database_that_takes_temporary_tables: "do $$ begin execute format('grant temporary on database %I to tenantry_fixture_app', current_database()); end $$"
        => "attack.shadow", "the database";
    a_database_that_takes_schemas: "do $$ begin execute format('grant create on database %I to tenantry_fixture_app', current_database()); end $$"
        => "attack.create", "the database";

    // The kernel.
    placements_that_are_read: "grant select on tenantry.placement to tenantry_fixture_app" => "attack.kernel", "tenantry.placement";
    keys_that_are_read: "grant select on tenantry.scope_keys to tenantry_fixture_app" => "attack.kernel", "tenantry.scope_keys";
    placements_that_are_changed: "grant execute on function tenantry.place(uuid, text, bigint, boolean) to tenantry_fixture_app;
        alter function tenantry.place(uuid, text, bigint, boolean) security definer" => "attack.kernel", "tenantry.place";
    a_scope_that_is_set: "grant update on sequence tenantry.scope to tenantry_fixture_app" => "attack.kernel", "tenantry.scope";
    a_kernel_that_goes_by_a_setting: without!("current_client()", "return v_client;",
        "return coalesce(nullif(current_setting('app.client_id', true), '')::uuid, v_client);") => "attack.scope", "public.orders";
    a_kernel_that_checks_no_code: without!("enter(text)", "or sha256(decode(right(p_ticket, 64), 'hex'))
        <> sha256(sha256(v_outer_pad || sha256(v_inner_pad || convert_to(left(p_ticket, 96), 'UTF8'))))", "") => "attack.ticket", "tenantry.enter";
    a_kernel_that_admits_old_tickets: without!("enter(text)", "< (v_moment + 999999) / 1000000", "< 0") => "attack.ticket", "tenantry.enter";
    a_kernel_that_admits_tickets_of_other_backends: without!("enter(text)", "(v_pid <> 0 and v_pid <> pg_backend_pid()) or ", "") => "attack.ticket", "tenantry.enter";
    a_kernel_that_admits_tickets_again: without!("enter(text)", "v_again := v_turn <> currval('tenantry.turn');", "v_again := false;") => "attack.ticket", "tenantry.enter";
    a_kernel_that_admits_other_epochs: without!("enter(text)", "or v_epoch <> ('x' || substr(p_ticket, 41, 16))::bit(64)::bigint", "") => "attack.ticket", "tenantry.enter";
    a_kernel_that_admits_who_is_relocated: without!("enter(text)", "when v_state = 'fenced' then 'relocating'", "") => "attack.fence", "tenantry.current_client";
    a_kernel_that_admits_who_is_suspended: concat!(
        without!("enter(text)", "when v_suspended then 'suspended'", ""), "; ",
        without!("current_client()", "v_suspended then", "false then")) => "attack.fence", "tenantry.current_client";
    a_kernel_that_takes_no_lock: concat!(
        without!("enter(text)", "v_done := pg_advisory_xact_lock_shared(tenantry.lock_key(v_handle));", ""), "; ",
        without!("current_client()", "v_done := pg_advisory_xact_lock_shared(tenantry.lock_key(v_handle));", "")) => "attack.fence", "tenantry.current_client";
    a_kernel_that_serves_who_was_bound_before: concat!("alter table tenantry.placement add kept bigint; ",
        without!("current_client()", "if not found or v_state in ('incoming', 'standby', 'moved') then",
            "if not found then select client_id into v_client from tenantry.placement where client_id::text like '746e6174%' limit 1; elsif false then"))
        => "attack.fence", "tenantry.current_client";
    a_kernel_that_keeps_what_was_taken_of_sequences: without!("enter(text)", "discard sequences;", "") => "attack.residue", "a connection";
}

#[tokio::test]
async fn a_row_that_its_own_client_does_not_see_is_no_proof() -> Outcome {
    let fixture = Fixture::start(&SHOP).await?;
    let sql = "create function forget() returns trigger language plpgsql security definer
            as 'begin delete from orders where id = new.id; return null; end';
        alter function forget() owner to tenantry_fixture_admin;
        create trigger forget after insert on orders for each row execute function forget()";
    change(&fixture, sql).await?;
    let report = attacked(&fixture).await?;
    let told = report
        .findings
        .iter()
        .any(|finding| finding.object == "public.orders" && finding.evidence.contains("it is no proof"));
    assert!(told, "{report}");
    assert_eq!(report.tables, ["public.customers", "public.events"]);
    fixture.close().await;
    Ok(())
}
