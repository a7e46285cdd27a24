//! Policies.

use super::Plant;

pub(in crate::audit) const ALL: &[Plant] = &[
    Plant::new("no policy at all", "drop policy tenantry_scope on agents; drop policy tenantry_open on agents", &["policy.none"]),
    Plant::new("an open policy alone", "drop policy tenantry_scope on agents", &["policy.widened", "policy.missing"]),
    Plant::new("a restrictive policy alone", "drop policy tenantry_open on agents", &["policy.no_permissive"]),
    Plant::new(
        "a permissive policy alone",
        "drop policy tenantry_open on agents; drop policy tenantry_scope on agents;
         create policy own on agents using (client_id = (select tenantry.current_client()))
             with check (client_id = (select tenantry.current_client()))",
        &["policy.permissive_only"],
    ),
    Plant::new(
        "a second permissive policy that widens the first",
        "drop policy tenantry_open on agents; drop policy tenantry_scope on agents;
         create policy own on agents using (client_id = (select tenantry.current_client()))
             with check (client_id = (select tenantry.current_client()));
         create policy seen on agents for select using (slug = 'public')",
        &["policy.permissive_only", "policy.widened"],
    ),
    Plant::scope("a restrictive policy that is true", "using (true) with check (true)", &["policy.escape_true"]),
    Plant::scope(
        "a policy with `or true`",
        "using (client_id = (select tenantry.current_client()) or true) with check (client_id = (select tenantry.current_client()))",
        &["policy.escape_true"],
    ),
    Plant::scope(
        "a policy with `is null`",
        "using (client_id = (select tenantry.current_client()) or client_id is null)",
        &["policy.escape_null"],
    ),
    Plant::scope(
        "a policy that lets a session through that is bound to nobody",
        "using (client_id = (select tenantry.current_client()) or (select tenantry.current_client()) is null)",
        &["policy.escape_null"],
    ),
    Plant::scope(
        "a policy with `coalesce`",
        "using (client_id = coalesce((select tenantry.current_client()), client_id))",
        &["policy.escape_coalesce"],
    ),
    Plant::scope(
        "a policy with a way around it",
        "using (client_id = (select tenantry.current_client()) or slug = 'shared')",
        &["policy.escape_or"],
    ),
    Plant::scope(
        "a policy with a client written into it",
        "using (client_id = '00000000-0000-4000-8000-000000000001')",
        &["policy.literal"],
    ),
    Plant::scope(
        "a policy with several clients written into it",
        "using (client_id in ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'))",
        &["policy.literal"],
    ),
    Plant::scope(
        "a policy by a setting",
        "using (client_id = nullif(current_setting('app.client', true), '')::uuid)",
        &["policy.setting"],
    ),
    Plant::scope(
        "a policy by a setting, asked once",
        "using (client_id = (select current_setting('app.client')::uuid))",
        &["policy.setting"],
    ),
    Plant::scope("a policy by the role", "using (slug = current_user)", &["policy.by_role"]),
    Plant::scope(
        "a policy that is asked per row",
        "using (client_id = tenantry.current_client()) with check (client_id = tenantry.current_client())",
        &["policy.per_row", "policy.missing"],
    ),
    Plant::scope(
        "a policy that casts the column",
        "using (client_id::text = (select tenantry.current_client()::text))",
        &["policy.casts_column", "policy.per_row", "policy.missing"],
    ),
    Plant::scope(
        "a policy for all but the client",
        "using (client_id <> (select tenantry.current_client()))",
        &["policy.not_scope"],
    ),
    Plant::scope(
        "a policy on another column",
        "using (id = (select tenantry.current_client()))",
        &["policy.not_scope"],
    ),
    Plant::scope("a policy of reads alone", "for select using (client_id = (select tenantry.current_client()))", &["policy.command_gap"]),
    Plant::scope(
        "a policy of inserts alone",
        "for insert with check (client_id = (select tenantry.current_client()))",
        &["policy.command_gap"],
    ),
    Plant::scope(
        "a policy of some roles",
        "to {app} using (client_id = (select tenantry.current_client())) with check (client_id = (select tenantry.current_client()))",
        &["policy.role_gap", "policy.widened"],
    ),
    Plant::scope(
        "a policy that holds reads and lets every write through",
        "using (client_id = (select tenantry.current_client())) with check (true)",
        &["policy.with_check_open"],
    ),
    Plant::scope(
        "a policy that lets writes for others through",
        "using (client_id = (select tenantry.current_client())) with check (client_id is not null)",
        &["policy.with_check_open"],
    ),
    Plant::scope(
        "a policy without WITH CHECK",
        "using (client_id = (select tenantry.current_client()))",
        &["policy.no_with_check"],
    ),
    Plant::new(
        "a second policy that is asked per row",
        "create policy again on agents as restrictive using (client_id = tenantry.current_client())",
        &["policy.per_row"],
    ),
    Plant::new(
        "a policy that reads another table",
        "create policy more on agents as restrictive for select using (exists (select from models m where m.id = model_id) or model_id is null)",
        &["policy.reads_tables"],
    ),
    Plant::new(
        "an immutable function in a policy",
        "create function own_client() returns uuid language plpgsql immutable parallel restricted
             set search_path = pg_catalog, pg_temp as $$ begin return '00000000-0000-4000-8000-000000000001'; end $$;
         create policy more on agents as restrictive using (client_id = (select own_client()))",
        &["policy.function_immutable"],
    ),
    Plant::new(
        "a function without a search path in a policy",
        "create function is_open(uuid) returns boolean language plpgsql stable parallel restricted as $$ begin return true; end $$;
         create policy more on agents as restrictive using (is_open(id))",
        &["policy.function_unpinned"],
    ),
    Plant::new(
        "a function with its owner's rights in a policy",
        "create function is_open(uuid) returns boolean language plpgsql stable parallel restricted security definer
             set search_path = pg_catalog, pg_temp as $$ begin return true; end $$;
         revoke execute on function is_open from public;
         create policy more on agents as restrictive using (is_open(id))",
        &["policy.function_definer"],
    ),
    Plant::new(
        "a parallel safe function in a policy",
        "create function is_open(uuid) returns boolean language plpgsql stable parallel safe
             set search_path = pg_catalog, pg_temp as $$ begin return true; end $$;
         create policy more on agents as restrictive using (is_open(id))",
        &["policy.function_parallel"],
    ),
];
