//! Everything that is planted, one at a time, in a database that is as it should be.
//!
//! `{app}`, `{admin}`, `{other}` and `{db}` stand for the names of the fixture.

use super::planting::Plant;

/// Planted by the admin role: a migration that went wrong.
pub(super) const OF_TABLES: &[Plant] = &[
    Plant::new("a table without row-level security", "alter table agents disable row level security", &["table.rls_off"]),
    Plant::new("row-level security that is not forced", "alter table agents no force row level security", &["table.rls_not_forced"]),
    Plant::new(
        "a new table that nobody protected",
        "create table notes (client_id uuid not null, id uuid not null default gen_random_uuid(), body text, primary key (client_id, id));
         grant select, insert on notes to {app}",
        &["table.rls_off", "table.client_id_default"],
    ),
    Plant::new(
        "a table that nobody was granted yet and nobody protected",
        "create table notes (client_id uuid not null, id uuid not null, primary key (client_id, id))",
        &["table.rls_off", "table.client_id_default"],
    ),
    Plant::new(
        "a copy of a table, which comes without row-level security",
        "create table agents_copy (like agents including all); grant select on agents_copy to {app}",
        &["table.rls_off"],
    ),
    Plant::new(
        "a table without client_id that the app role reads",
        "create table notes (id int primary key, body text); grant select on notes to {app}",
        &["table.no_client_id"],
    ),
    Plant::new(
        "a table without client_id that everybody reads",
        "create table notes (id int primary key, body text); grant select on notes to public",
        &["table.no_client_id"],
    ),
    Plant::new(
        "one column of such a table",
        "create table notes (id int primary key, body text); grant select (body) on notes to {app}",
        &["table.no_client_id"],
    ),
    Plant::new(
        "such a table in another schema",
        "create schema extra; create table extra.notes (id int primary key); grant usage on schema extra to {app};
         grant insert on extra.notes to {app}",
        &["table.no_client_id"],
    ),
    Plant::new(
        "client_id that may be null",
        "create table notes (client_id uuid not null, id uuid not null, unique (client_id, id)); select tenantry.protect('notes');
         alter table notes alter client_id drop not null",
        &["table.client_id_nullable", "key.none"],
    ),
    Plant::new("client_id without a default", "alter table agents alter client_id drop default", &["table.client_id_default"]),
    Plant::new(
        "client_id with a constant as its default",
        "alter table agents alter client_id set default '00000000-0000-4000-8000-000000000001'",
        &["table.client_id_default"],
    ),
    Plant::new(
        "client_id with a setting as its default",
        "alter table agents alter client_id set default current_setting('app.client')::uuid",
        &["table.client_id_default"],
    ),
    Plant::new(
        "client_id that is text",
        "create table notes (client_id text not null, id uuid not null, primary key (client_id, id));
         alter table notes enable row level security, force row level security;
         create policy tenantry_scope on notes as restrictive using (client_id::uuid = (select tenantry.current_client()))
             with check (client_id::uuid = (select tenantry.current_client()));
         create policy tenantry_open on notes using (true) with check (true);
         alter table notes alter client_id set default tenantry.current_client()::text; grant select on notes to {app}",
        &["table.client_id_type", "policy.casts_column", "policy.missing", "table.client_id_default"],
    ),
    Plant::new(
        "client_id that is computed",
        "create table notes (owner uuid not null, client_id uuid not null generated always as (owner) stored, id uuid not null,
             primary key (client_id, id));
         alter table notes enable row level security, force row level security;
         create policy tenantry_scope on notes as restrictive using (client_id = (select tenantry.current_client()))
             with check (client_id = (select tenantry.current_client()));
         create policy tenantry_open on notes using (true) with check (true)",
        &["table.client_id_generated"],
    ),
    Plant::by_superuser("a table of another owner", "alter table agents owner to {other}", &["table.foreign_owner"]),
    Plant::new(
        "a partition without row-level security",
        "alter table document_chunks_3 disable row level security",
        &["partition.rls_off"],
    ),
    Plant::new(
        "a new partition, which comes without row-level security",
        "create table runs (client_id uuid not null, id int not null, primary key (client_id, id)) partition by range (client_id);
         select tenantry.protect('runs');
         create table runs_1 partition of runs for values from (minvalue) to (maxvalue)",
        &["partition.rls_off"],
    ),
    Plant::new(
        "a partition of a partition without row-level security",
        "create table runs (client_id uuid not null, id int not null, primary key (client_id, id)) partition by hash (client_id);
         create table runs_1 partition of runs for values with (modulus 1, remainder 0) partition by range (id);
         create table runs_1_1 partition of runs_1 for values from (0) to (10);
         select tenantry.protect('runs'); alter table runs_1_1 disable row level security",
        &["partition.rls_off"],
    ),
    Plant::new(
        "a partition that does not force it",
        "alter table document_chunks_3 no force row level security",
        &["partition.rls_not_forced"],
    ),
    Plant::new("a partition that is granted", "grant select on document_chunks_3 to {app}", &["partition.granted"]),
    Plant::new(
        "a partition that is granted and open",
        "grant select on document_chunks_3 to {app}; create policy open on document_chunks_3 using (true)",
        &["partition.granted", "partition.open_policy"],
    ),
    Plant::new(
        "a table that inherits, without row-level security",
        "create table old_agents () inherits (agents); alter table old_agents add primary key (client_id, id)",
        &["partition.rls_off"],
    ),
    Plant::by_superuser(
        "a foreign table that inherits",
        "create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
         create foreign table far_agents () inherits (agents) server far; alter foreign table far_agents owner to {admin}",
        &["partition.foreign"],
    ),
    Plant::new(
        "a shared table with a client_id",
        "insert into tenantry.shared_tables values ('agents'::regclass)",
        &["shared.has_client_id"],
    ),
    Plant::new("a shared table that is written", "grant update on models to {app}", &["shared.writable"]),
    Plant::new("a column of a shared table that is written", "grant insert (id) on models to {app}", &["shared.writable"]),
    Plant::new(
        "a shared table that is gone",
        "create table notes (id int primary key); select tenantry.share('notes'); drop table notes",
        &["shared.stale"],
    ),
];

pub(super) const OF_POLICIES: &[Plant] = &[
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

pub(super) const OF_KEYS: &[Plant] = &[
    Plant::new(
        "a primary key of all clients",
        "create table notes (client_id uuid not null, id uuid not null, unique (client_id, id)); select tenantry.protect('notes');
         alter table notes add primary key (id)",
        &["key.not_by_client"],
    ),
    Plant::new(
        "a primary key that ends with client_id",
        "create table notes (client_id uuid not null, id uuid not null, unique (client_id, id)); select tenantry.protect('notes');
         alter table notes add primary key (id, client_id)",
        &["key.not_by_client"],
    ),
    Plant::new("a unique constraint of all clients", "alter table agents add unique (slug)", &["key.unique_not_by_client"]),
    Plant::new("a unique index of all clients", "create unique index on agents (slug)", &["key.unique_index_not_by_client"]),
    Plant::new(
        "a unique index of all clients on an expression",
        "create unique index on agents (lower(slug))",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a unique index of all clients on some rows",
        "create unique index on agents (slug) where name <> ''",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a unique index of a partition",
        "create unique index on document_chunks_3 (document_id)",
        &["key.unique_index_not_by_client"],
    ),
    Plant::new(
        "an exclusion constraint of all clients",
        "alter table agents add exclude using hash (slug with =)",
        &["key.exclusion_without_client"],
    ),
    Plant::new(
        "a table without a key",
        "create table notes (client_id uuid not null, body text); create index on notes (client_id); select tenantry.protect('notes')",
        &["key.none"],
    ),
    Plant::new(
        "a table without an index by client",
        "create table notes (client_id uuid not null, body text); select tenantry.protect('notes')",
        &["index.none_by_client", "key.none"],
    ),
    Plant::new("an index of all clients", "create index on agents (slug)", &["index.not_by_client"]),
    Plant::new("an index that ends with client_id", "create index on agents (slug, client_id)", &["index.not_by_client"]),
    Plant::new(
        "an approximate index of all clients",
        "create index on document_chunks_3 using hnsw (embedding vector_cosine_ops)",
        &["index.vectors_shared"],
    ),
    Plant::by_superuser(
        "an index that was not built",
        "update pg_index set indisvalid = false where indexrelid = 'agents_by_age'::regclass",
        &["index.invalid"],
    ),
    Plant::new(
        "an index on a number",
        "alter table agents add price numeric; create index on agents (client_id, price)",
        &["index.not_leakproof"],
    ),
    Plant::new(
        "an index of documents",
        "create index on agents using gin (settings)",
        &["index.not_leakproof", "index.not_by_client"],
    ),
    Plant::new(
        "a foreign key to another client's row",
        "alter table documents add unique (client_id, id, title); create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id)",
        &["fk.not_by_client", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key that cascades over clients",
        "create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id) on delete cascade",
        &["fk.cascade_crosses", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key that changes rows of other clients",
        "create unique index u on documents (id);
         alter table agent_documents add foreign key (document_id) references documents (id) on update cascade",
        &["fk.cascade_crosses", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a foreign key from another column than client_id",
        "alter table agents add tenant uuid, add other uuid;
         alter table agents add foreign key (tenant, other) references documents (client_id, id)",
        &["fk.not_by_client"],
    ),
    Plant::new(
        "a foreign key that takes client_id away",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete set null",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that gives client_id its default",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on delete set default",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that takes client_id away by an update",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) on update set null",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a foreign key that names client_id among what it takes",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id)
             on delete set null (client_id, agent_id)",
        &["fk.nulls_client_id"],
    ),
    Plant::new(
        "a shared table that refers to rows of a client",
        "create unique index u on agents (id); alter table models add made_by uuid references agents (id)",
        &["fk.shared_to_tenant", "key.unique_index_not_by_client"],
    ),
    Plant::new(
        "a shared row that takes rows of clients with it",
        "alter table agents add foreign key (model_id) references models (id) on delete cascade",
        &["fk.cascade_from_shared"],
    ),
    Plant::new(
        "a foreign key that was not validated",
        "alter table conversations add foreign key (client_id, agent_id) references agents (client_id, id) not valid",
        &["fk.not_checked"],
    ),
];

pub(super) const OF_CODE: &[Plant] = &[
    Plant::new("a view with its owner's rights", "create view v as select * from agents; grant select on v to {app}", &["view.not_invoker"]),
    Plant::new(
        "a view that says no",
        "create view v with (security_invoker = off) as select * from agents; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view with a barrier alone",
        "create view v with (security_barrier) as select * from agents; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view of a view",
        "create view inner_v as select * from agents; create view v as select * from inner_v; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new("a view for everybody", "create view v as select * from agents; grant select on v to public", &["view.not_invoker"]),
    Plant::new(
        "a column of a view",
        "create view v as select * from agents; grant select (name) on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a view of nothing of the clients'",
        "create view v as select * from models; grant select on v to {app}",
        &["view.not_invoker"],
    ),
    Plant::new(
        "a materialized view",
        "create materialized view m as select client_id, slug from agents with no data; grant select on m to {app}",
        &["view.materialized"],
    ),
    Plant::by_superuser(
        "a foreign table",
        "create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
         create foreign table f (a int) server far; grant select on f to {app}; alter foreign table f owner to {admin}",
        &["foreign_table.reached"],
    ),
    Plant::new("a rule", "create rule r as on update to agents do also delete from documents", &["rule.on_table"]),
    Plant::new(
        "a rule of a view",
        "create view v with (security_invoker) as select * from agents; grant select on v to {app};
         create rule r as on insert to v do instead insert into documents (client_id, title) values (new.client_id, new.name)",
        &["rule.on_table"],
    ),
    Plant::new(
        "a trigger with its owner's rights",
        "create function t() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.definer"],
    ),
    Plant::new(
        "a trigger without a search path",
        "create function t() returns trigger language plpgsql as $$ begin return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.unpinned"],
    ),
    Plant::new(
        "a trigger that changes the client",
        "create function t() returns trigger language plpgsql set search_path = pg_catalog, pg_temp
             as $$ begin new.client_id := gen_random_uuid(); return new; end $$;
         create trigger t before insert on agents for each row execute function t()",
        &["trigger.sets_client_id"],
    ),
    Plant::by_superuser("foreign keys that are turned off", "alter table conversations disable trigger all", &["trigger.foreign_keys_off"]),
    Plant::new(
        "a function with the rights of the admin role",
        "create function f() returns bigint language sql security definer set search_path = pg_catalog, pg_temp
             return (select 1)",
        &["function.definer"],
    ),
    Plant::by_superuser(
        "a function with the rights of a superuser",
        "create function f() returns bigint language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin return (select count(*) from public.agents); end $$",
        &["function.definer"],
    ),
    Plant::new(
        "a procedure with the rights of the admin role",
        "create procedure f() language plpgsql security definer set search_path = pg_catalog, pg_temp
             as $$ begin delete from public.agents; end $$",
        &["function.definer"],
    ),
    Plant::by_superuser(
        "a function with somebody's rights and no search path",
        "create function f() returns bigint language plpgsql security definer as $$ begin return 1; end $$;
         alter function f owner to {other}",
        &["function.definer_unpinned"],
    ),
    Plant::by_superuser(
        "a function that looks for temporary tables first",
        "create function f() returns bigint language plpgsql security definer set search_path = pg_catalog, public
             as $$ begin return 1; end $$;
         alter function f owner to {other}",
        &["function.temp_first"],
    ),
    Plant::by_superuser(
        "a function that is called leakproof",
        "create function f(text) returns boolean language plpgsql leakproof as $$ begin raise notice '%', $1; return true; end $$;
         alter function f owner to {admin}",
        &["function.leakproof"],
    ),
    Plant::by_superuser(
        "a function in an untrusted language",
        "create function f(double precision) returns void language internal as 'pg_sleep'; alter function f owner to {admin}",
        &["function.untrusted_language"],
    ),
    Plant::new(
        "a function that turns row-level security off",
        "create function f() returns bigint language plpgsql set row_security = off as $$ begin return 1; end $$",
        &["function.changes_guard"],
    ),
    Plant::by_superuser(
        "a function that turns triggers off",
        "create function f() returns bigint language plpgsql set session_replication_role = replica as $$ begin return 1; end $$;
         alter function f owner to {admin}",
        &["function.changes_guard"],
    ),
    Plant::new(
        "an immutable function that asks for the client",
        "create function f() returns uuid language plpgsql immutable as $$ begin return tenantry.current_client(); end $$",
        &["function.immutable_scope"],
    ),
    Plant::new(
        "a parallel safe function that asks for the client",
        "create function f() returns uuid language plpgsql parallel safe as $$ begin return tenantry.current_client(); end $$",
        &["function.parallel_scope"],
    ),
];

/// Roles belong to the server: these are of the test's own, and none is left.
pub(super) const OF_ROLES: &[Plant] = &[
    Plant::by_superuser(
        "the app role is a superuser",
        "alter role {app} superuser",
        &["role.superuser"],
    ),
    Plant::by_superuser(
        "the app role has BYPASSRLS",
        "alter role {app} bypassrls",
        &["role.bypassrls"],
    ),
    Plant::by_superuser(
        "the app role has CREATEROLE",
        "alter role {app} createrole",
        &["role.createrole"],
    ),
    Plant::by_superuser(
        "the app role has CREATEDB",
        "alter role {app} createdb",
        &["role.createdb"],
    ),
    Plant::by_superuser(
        "the app role has REPLICATION",
        "alter role {app} replication",
        &["role.replication"],
    ),
    Plant::by_superuser(
        "the app role can become the admin role",
        "grant {admin} to {app}",
        &["role.member_of_owner", "role.bypassrls"],
    ),
    Plant::by_superuser(
        "the app role can become the admin role by another",
        "grant {admin} to {other}; grant {other} to {app}",
        &["role.member_of_owner", "role.bypassrls", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role can become a superuser",
        "alter role {other} superuser; grant {other} to {app}",
        &["role.superuser", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role can become a role with BYPASSRLS",
        "alter role {other} bypassrls; grant {other} to {app}",
        &["role.bypassrls", "role.member_of"],
    ),
    Plant::by_superuser(
        "what a role that it can become owns",
        "alter table models owner to {other}; grant {other} to {app}",
        &["role.owns_table", "role.member_of"],
    ),
    Plant::by_superuser(
        "the app role owns the database",
        "alter database {db} owner to {app}",
        &["role.owns_database"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role owns a schema",
        "create schema own authorization {app}",
        &["role.owns_schema"],
    ),
    Plant::by_superuser(
        "the app role owns a table",
        "create table own (a int); alter table own owner to {app}",
        &["role.owns_table"],
    ),
    Plant::by_superuser(
        "the app role owns a view",
        "create view own with (security_invoker) as select 1 as a; alter view own owner to {app}",
        &["role.owns_table"],
    ),
    Plant::by_superuser(
        "the app role owns a function",
        "create function f() returns int language plpgsql as $$ begin return 1; end $$; alter function f owner to {app}",
        &["role.owns_function"],
    ),
    Plant::by_superuser(
        "the app role reads all data",
        "grant pg_read_all_data to {app}",
        &["role.reads_all_data"],
    ),
    Plant::by_superuser(
        "the app role writes all data",
        "grant pg_write_all_data to {app}",
        &["role.writes_all_data"],
    ),
    Plant::by_superuser(
        "the app role reads files",
        "grant pg_read_server_files to {app}",
        &["role.server_files"],
    ),
    Plant::by_superuser(
        "the app role runs programs",
        "grant pg_execute_server_program to {app}",
        &["role.server_files"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role reads statistics",
        "grant pg_read_all_stats to {app}",
        &["role.statistics"],
    ),
    Plant::by_superuser(
        "the app role monitors",
        "grant pg_monitor to {app}",
        &["role.statistics"],
    )
    .with_others(),
    Plant::by_superuser(
        "the app role ends sessions",
        "grant pg_signal_backend to {app}",
        &["role.signals"],
    ),
    Plant::by_superuser(
        "the app role maintains",
        "grant pg_maintain to {app}",
        &["role.maintains"],
    )
    .since(17),
    Plant::by_superuser(
        "the app role subscribes",
        "grant pg_create_subscription to {app}",
        &["role.subscribes"],
    )
    .since(16),
    Plant::by_superuser(
        "a setting turns row-level security off",
        "alter role {app} set row_security = off",
        &["setting.row_security"],
    ),
    Plant::by_superuser(
        "a setting of the role in this database",
        "alter role {app} in database {db} set search_path = extra, public",
        &["setting.search_path"],
    ),
    Plant::by_superuser(
        "a setting of the database that looks among temporary tables",
        "alter database {db} set search_path = pg_temp, public",
        &["setting.search_path"],
    ),
    Plant::by_superuser(
        "a setting turns triggers off",
        "alter role {app} set session_replication_role = replica",
        &["setting.session_replication_role"],
    ),
    Plant::by_superuser(
        "a setting makes it another role",
        "alter role {app} set role = {other}",
        &["setting.role"],
    ),
    Plant::by_superuser(
        "a setting loads code",
        "alter role {app} set session_preload_libraries = 'auto_explain'",
        &["setting.preload"],
    ),
    Plant::by_superuser(
        "a setting takes a guard away",
        "alter role {app} set lo_compat_privileges = on",
        &["setting.guard"],
    ),
];

pub(super) const OF_GRANTS: &[Plant] = &[
    Plant::new(
        "TRUNCATE",
        "grant truncate on agents to {app}",
        &["grant.truncate"],
    ),
    Plant::new(
        "TRUNCATE on a shared table",
        "grant truncate on models to {app}",
        &["grant.truncate"],
    ),
    Plant::new(
        "REFERENCES",
        "grant references on agents to {app}",
        &["grant.references"],
    ),
    Plant::new(
        "REFERENCES on a column",
        "grant references (slug) on agents to {app}",
        &["grant.references"],
    ),
    Plant::new("TRIGGER", "grant trigger on agents to {app}", &["grant.trigger"]),
    Plant::new(
        "MAINTAIN",
        "grant maintain on agents to {app}",
        &["grant.maintain"],
    )
    .since(17),
    Plant::new(
        "a grant to everybody",
        "grant select on agents to public",
        &["grant.public_table"],
    ),
    Plant::new(
        "all rights to everybody",
        "grant all on agents to public",
        &["grant.public_table", "grant.truncate"],
    )
    .with_others(),
    Plant::new(
        "a grant to another role",
        "grant select on agents to {other}",
        &["grant.other_role"],
    ),
    Plant::new(
        "a grant option",
        "grant select on agents to {app} with grant option",
        &["grant.grant_option"],
    ),
    Plant::new(
        "a sequence that the app role sets",
        "create sequence numbers; grant usage, update on sequence numbers to {app}",
        &["sequence.settable"],
    ),
    Plant::new(
        "a sequence that the app role reads",
        "create sequence numbers; grant select on sequence numbers to {app}",
        &["sequence.settable"],
    ),
    Plant::new(
        "a sequence of all clients",
        "alter table agents add number bigserial; select tenantry.protect('agents')",
        &["sequence.shared"],
    ),
    Plant::new(
        "an identity column",
        "alter table agents add number bigint generated always as identity; select tenantry.protect('agents')",
        &["sequence.shared"],
    ),
    Plant::new(
        "a sequence beside the table",
        "create sequence numbers; alter table agents add number bigint default nextval('numbers')",
        &["sequence.shared"],
    ),
    Plant::new(
        "temporary tables",
        "grant temporary on database {db} to {app}",
        &["grant.temporary"],
    ),
    Plant::new(
        "temporary tables for everybody",
        "grant temporary on database {db} to public",
        &["grant.temporary"],
    ),
    Plant::new(
        "schemas",
        "grant create on database {db} to {app}",
        &["grant.create_in_database"],
    ),
    Plant::new(
        "tables in public",
        "grant create on schema public to {app}",
        &["grant.create_in_schema"],
    )
    .with_others(),
    Plant::by_superuser(
        "tables in public for everybody",
        "grant create on schema public to public",
        &["grant.create_in_schema"],
    ),
    Plant::new(
        "tables in another schema",
        "create schema extra; grant create on schema extra to {app}",
        &["grant.create_in_schema"],
    ),
    Plant::by_superuser(
        "a parameter of superusers",
        "grant set on parameter session_replication_role to {app}",
        &["grant.parameter"],
    ),
    Plant::by_superuser(
        "a function that reads files",
        "grant execute on function pg_read_file(text) to {app}",
        &["grant.server_function"],
    ),
    Plant::by_superuser(
        "a function that reads changes",
        "grant execute on function pg_ls_dir(text) to public",
        &["grant.server_function"],
    ),
    Plant::by_superuser(
        "values in statistics",
        "grant select on pg_statistic to {app}",
        &["grant.catalogue"],
    ),
    Plant::by_superuser(
        "a column of passwords",
        "grant select (rolpassword) on pg_authid to {app}",
        &["grant.catalogue"],
    ),
    Plant::new(
        "tables to come, for the app role",
        "alter default privileges in schema public grant select on tables to {app}",
        &["grant.default_privileges"],
    ),
    Plant::new(
        "tables to come, for everybody",
        "alter default privileges grant select on tables to public",
        &["grant.default_privileges"],
    ),
    Plant::new(
        "tables to come, for another role",
        "alter default privileges grant insert on tables to {other}",
        &["grant.default_privileges"],
    ),
    Plant::by_superuser(
        "a foreign server",
        "create foreign data wrapper nowhere; create server far foreign data wrapper nowhere; grant usage on foreign server far to {app}",
        &["grant.foreign_server"],
    ),
    Plant::by_superuser(
        "large objects of the app role",
        "select lo_create(424242); alter large object 424242 owner to {app}",
        &["large_object.of_app"],
    ),
    Plant::by_superuser(
        "large objects for everybody",
        "select lo_create(424242); grant select on large object 424242 to public",
        &["large_object.granted"],
    ),
    Plant::by_superuser(
        "large objects without rights",
        "set local lo_compat_privileges = on",
        &["large_object.unchecked"],
    )
    .unmended(),
];

pub(super) const OF_SERVER: &[Plant] = &[
    Plant::extension(
        "an extension to other servers",
        "dblink",
        &["extension.other_servers"],
    ),
    Plant::extension(
        "an extension that reads pages",
        "pageinspect",
        &["extension.files"],
    ),
    Plant::extension(
        "an extension with an untrusted language",
        "plpython3u",
        &["extension.untrusted_language"],
    ),
    Plant::extension(
        "an extension that shows statements",
        "pg_stat_statements",
        &["extension.statements"],
    ),
    Plant::extension("an extension that runs jobs", "pg_cron", &["extension.jobs"]),
    Plant::by_superuser(
        "a pgvector that leaks",
        "update pg_extension set extversion = '0.8.1' where extname = 'vector'",
        &["extension.known_leak"],
    )
    .unmended(),
    Plant::by_superuser(
        "an event trigger",
        "create function e() returns event_trigger language plpgsql as $$ begin end $$;
         alter function e owner to {admin}; create event trigger e on ddl_command_end execute function e()",
        &["event_trigger.there"],
    ),
    Plant::by_superuser(
        "a publication of everything",
        "create publication p for all tables",
        &["publication.all_tables"],
    ),
    Plant::by_superuser(
        "a publication of a table",
        "create publication p for table agents",
        &["publication.tenant_table"],
    ),
    Plant::by_superuser(
        "a publication of a schema",
        "create publication p for tables in schema public",
        &["publication.tenant_table"],
    ),
    Plant::by_superuser(
        "a publication of one client",
        "create publication p for table agents where (client_id = '00000000-0000-4000-8000-000000000001')",
        &["publication.row_filter"],
    ),
    Plant::by_superuser(
        "a subscription",
        "create subscription s connection 'host=/nowhere' publication p with (connect = false, slot_name = none)",
        &["subscription.there"],
    ),
];

pub(super) const OF_KERNEL: &[Plant] = &[
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

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Plant> {
    [
        OF_TABLES,
        OF_POLICIES,
        OF_KEYS,
        OF_CODE,
        OF_ROLES,
        OF_GRANTS,
        OF_SERVER,
        OF_KERNEL,
    ]
    .into_iter()
    .flatten()
}
