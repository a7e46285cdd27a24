//! Tables, partitions and what is shared.

use super::Plant;

/// Planted by the admin role: a migration that went wrong.
pub(in crate::audit) const ALL: &[Plant] = &[
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
