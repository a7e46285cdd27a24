//! The kernel.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::new(
        "a kernel that answers with anybody",
        "create or replace function tenantry.current_client() returns uuid language plpgsql volatile parallel restricted security definer
             set search_path = pg_catalog, pg_temp as $$ begin return current_setting('app.client')::uuid; end $$",
        &["kernel.altered"],
    ),
    Plant::new(
        "a kernel without its fence",
        "create or replace function tenantry.leave(p_ticket text) returns void language plpgsql volatile parallel unsafe security definer
             set search_path = pg_catalog, pg_temp as $$ begin end $$",
        &["kernel.altered"],
    ),
    Plant::new("a stable kernel", "alter function tenantry.current_client() stable", &["kernel.altered"]),
    Plant::new("an immutable kernel", "alter function tenantry.current_client() immutable", &["kernel.altered"]),
    Plant::new("a parallel safe kernel", "alter function tenantry.current_client() parallel safe", &["kernel.altered"]),
    Plant::new("a kernel with the rights of whoever asks", "alter function tenantry.enter(text) security invoker", &["kernel.altered"]),
    Plant::new("a kernel without its search path", "alter function tenantry.enter(text) reset search_path", &["kernel.altered"]),
    Plant::new("a kernel that is not whole", "drop function tenantry.renew(uuid, bigint, boolean)", &["kernel.incomplete"]),
    Plant::new(
        "a kernel without a constraint",
        "alter table tenantry.scope_keys drop constraint scope_keys_inner_pad_check",
        &["kernel.incomplete"],
    ),
    Plant::new(
        "a kernel without a trigger",
        "drop trigger refuse_move_of_bridged on tenantry.placement",
        &["kernel.incomplete"],
    ),
    Plant::new(
        "a trigger in the kernel that is off",
        "alter table tenantry.placement disable trigger refuse_move_of_bridged",
        &["kernel.altered"],
    ),
    Plant::new(
        "a trigger in the kernel that is none of its own",
        "create trigger more before insert on tenantry.placement for each row execute function tenantry.refuse_move_of_bridged()",
        &["kernel.altered"],
    ),
    Plant::new("a column in the kernel", "alter table tenantry.scope_keys add secret text", &["kernel.altered"]),
    Plant::new(
        "a function in the kernel that is none of its own",
        "create function tenantry.become(uuid) returns void language plpgsql as $$ begin end $$;
         revoke execute on function tenantry.become from public",
        &["kernel.stranger"],
    ),
    Plant::new(
        "a function in the kernel that everybody calls",
        "create function tenantry.become(uuid) returns void language plpgsql as $$ begin end $$",
        &["kernel.stranger", "kernel.function_grant"],
    ),
    Plant::new("the keys of scopes", "grant select on tenantry.scope_keys to {app}", &["kernel.table_grant"]),
    Plant::new("a column of the keys of scopes", "grant select (inner_pad) on tenantry.scope_keys to public", &["kernel.table_grant"]),
    Plant::new("the placement of clients", "grant update on tenantry.placement to {app}", &["kernel.table_grant"]),
    Plant::new("what a session is bound to", "grant update on sequence tenantry.scope to {app}", &["kernel.sequence_grant"]),
    Plant::new("the next turn", "grant usage on sequence tenantry.turn to public", &["kernel.sequence_grant"]),
    Plant::new("tickets", "grant execute on function tenantry.mac(bytea, bytea, bytea) to {app}", &["kernel.function_grant"]),
    Plant::new(
        "placing clients",
        "grant execute on function tenantry.place(uuid, text, bigint, boolean) to {app}",
        &["kernel.function_grant"],
    ),
    Plant::new("the kernel for everybody", "grant execute on function tenantry.enter(text) to public", &["kernel.function_grant"]),
    Plant::by_superuser(
        "a kernel with the rights of a superuser",
        "alter function tenantry.enter(text) owner to {superuser}",
        &["kernel.owner_superuser"],
    ),
    Plant::by_superuser("a kernel of another owner", "alter table tenantry.placement owner to {other}", &["kernel.foreign_owner"]),
    Plant::new(
        "a kernel for another app role",
        "update tenantry.installation set app_role = 'somebody'",
        &["kernel.other_app_role"],
    ),
    Plant::new(
        "a bridge of an old application",
        "insert into tenantry.bridges (role_id, client_id) select oid, gen_random_uuid() from pg_roles where rolname = '{other}'",
        &["kernel.bridge"],
    ),
    Plant::new("no kernel", "drop schema tenantry cascade", &["kernel.missing"]).with_others(),
];
