//! Tables that are not as they were protected, and a kernel that is not as it was installed.

use super::{Case, Outcome, Own, all, each_is_refused};

const POLICY: &str = "table public.agents has no tenant policy as tenantry.protect makes it";
const PROTECT: &str = "select tenantry.protect('agents')";

const TABLES: &[Case] = &[
    (
        "alter table agents disable row level security",
        PROTECT,
        "table public.agents has no row-level security",
    ),
    (
        "alter table agents no force row level security",
        PROTECT,
        "table public.agents does not force row-level security",
    ),
    ("drop policy tenantry_scope on agents", PROTECT, POLICY),
    (
        "alter policy tenantry_scope on agents using (true)",
        PROTECT,
        POLICY,
    ),
    (
        "alter policy tenantry_scope on agents with check (true)",
        PROTECT,
        POLICY,
    ),
    (
        "alter policy tenantry_scope on agents using (client_id = (select tenantry.current_client()) or slug = 'x')",
        PROTECT,
        POLICY,
    ),
    (
        "alter policy tenantry_scope on agents to {admin}",
        PROTECT,
        POLICY,
    ),
    (
        "drop policy tenantry_scope on agents;
         create policy tenantry_scope on agents using (client_id = (select tenantry.current_client()))
             with check (client_id = (select tenantry.current_client()))",
        PROTECT,
        POLICY,
    ),
    (
        "drop policy tenantry_scope on agents;
         create policy tenantry_scope on agents as restrictive for select
             using (client_id = (select tenantry.current_client()))",
        PROTECT,
        POLICY,
    ),
    (
        "create function public.current_client() returns uuid language sql return null::uuid;
         alter policy tenantry_scope on agents using (client_id = (select public.current_client()))",
        "select tenantry.protect('agents'); drop function public.current_client()",
        POLICY,
    ),
    (
        "create table own (client_id uuid not null); grant select on own to {app}",
        "drop table own",
        "table public.own has no row-level security",
    ),
    (
        "create table own (client_id uuid not null); grant update (client_id) on own to public",
        "drop table own",
        "table public.own has no row-level security",
    ),
    (
        "create schema hidden; create table hidden.own (id int); grant delete on hidden.own to {app}",
        "drop schema hidden cascade",
        "table hidden.own has no row-level security",
    ),
    (
        "grant select on document_chunks_0 to {app}",
        "revoke select on document_chunks_0 from {app}",
        "table public.document_chunks_0 has no tenant policy as tenantry.protect makes it",
    ),
    (
        "grant select on document_chunks_0 to public; alter table document_chunks_0 disable row level security",
        "select tenantry.protect('document_chunks')",
        "table public.document_chunks_0 has no row-level security",
    ),
    (
        "grant insert on models to {app}",
        "revoke insert on models from {app}",
        "the shared table public.models can be written by the app role",
    ),
    (
        "grant update (provider) on models to {app}",
        "revoke update (provider) on models from {app}",
        "the shared table public.models can be written by the app role",
    ),
    (
        "grant delete on models to public",
        "revoke delete on models from public",
        "the shared table public.models can be written by the app role",
    ),
    (
        "grant truncate on agents to {app}",
        "revoke truncate on agents from {app}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "grant references on agents to {app}",
        "revoke references on agents from {app}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "grant references (id) on agents to {app}",
        "revoke references (id) on agents from {app}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "grant trigger on agents to {app}",
        "revoke trigger on agents from {app}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "create view own as select * from agents; grant select on own to {app}",
        "drop view own",
        "view public.own is not security_invoker",
    ),
    (
        "create view own with (security_invoker = off) as select * from agents; grant select on own to {app}",
        "drop view own",
        "view public.own is not security_invoker",
    ),
    (
        "create materialized view own as select * from agents; grant select on own to {app}",
        "drop materialized view own",
        "materialized view public.own is past row-level security",
    ),
    (
        "create foreign data wrapper own; create server own foreign data wrapper own;
         create foreign table own (id int) server own; grant select on own to {app}",
        "drop foreign data wrapper own cascade",
        "foreign table public.own is past row-level security",
    ),
];

const KERNEL: &[Case] = &[
    (
        "alter function tenantry.kernel() rename to gone",
        "alter function tenantry.gone() rename to kernel",
        "the kernel is not installed for the app role",
    ),
    (
        "revoke execute on function tenantry.kernel() from {app}",
        "grant execute on function tenantry.kernel() to {app}",
        "the kernel is not installed for the app role",
    ),
    (
        "alter schema tenantry rename to gone",
        "alter schema gone rename to tenantry",
        "the kernel is not installed for the app role",
    ),
    (
        "update tenantry.installation set kernel_version = 2",
        "update tenantry.installation set kernel_version = 1",
        "its kernel has version 2, and version 1 is needed",
    ),
    (
        "update tenantry.installation set kind = 'dedicated'",
        "update tenantry.installation set kind = 'pool'",
        "its kernel is that of a dedicated database",
    ),
    (
        "grant select on tenantry.scope_keys to {app}",
        "revoke select on tenantry.scope_keys from {app}",
        "the app role may read the kernel table scope_keys",
    ),
    (
        "grant select (inner_pad) on tenantry.scope_keys to public",
        "revoke select (inner_pad) on tenantry.scope_keys from public",
        "the app role may read the kernel table scope_keys",
    ),
    (
        "grant update on tenantry.placement to {app}",
        "revoke update on tenantry.placement from {app}",
        "the app role may read the kernel table placement",
    ),
    (
        "grant truncate on tenantry.migrations to {app}",
        "revoke truncate on tenantry.migrations from {app}",
        "the app role may read the kernel table migrations",
    ),
];

#[tokio::test]
async fn a_table_that_is_not_as_it_was_protected_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    each_is_refused(&mut own, all(TABLES)).await?;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn a_kernel_that_is_missing_another_or_open_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    each_is_refused(&mut own, all(KERNEL)).await?;
    own.close().await;
    Ok(())
}
