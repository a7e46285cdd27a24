//! A pool database that would let one client see another's rows is not served.

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientRecord, Error, ErrorKind, NewPool};
use uuid::Uuid;

use crate::sql::{connect, one, refused, run, until};
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A pool database served by an app role of its own, so that its mutations are nobody else's.
struct Own {
    fixture: Fixture,
    /// As the superuser.
    db: PgConnection,
    database: String,
    app: String,
    /// Another role, for memberships.
    other: String,
    client: ClientRecord,
}

impl Own {
    async fn start() -> Result<Self, Box<dyn std::error::Error>> {
        let fixture = Fixture::start(&HOST).await?;
        let unique = Uuid::new_v4().simple().to_string();
        let (app, other) = (format!("safety_app_{unique}"), format!("safety_other_{unique}"));
        fixture.add_pool("own", 10).await?;
        let database = fixture.database("own");
        let mut db = connect(fixture.server().connect_options(&database)).await;
        run(&mut db, &format!("create role {app} login password 'x'")).await;
        let mut admin = connect(fixture.admin_options(&database)).await;
        run(
            &mut admin,
            &format!("select tenantry.configure('{app}'); {PROTECT_ALL}"),
        )
        .await;
        // The pools that the fixture knows take no clients: the next goes where the own role serves.
        let url = fixture.server().url_as(&app, "x", &database);
        fixture
            .platform()
            .register_pool(NewPool::new("own role", url, fixture.admin_url(&database)))
            .await?;
        let mut platform = connect(fixture.admin_options(&fixture.database("platform"))).await;
        run(
            &mut platform,
            "update platform.pools set active = name = 'own role'",
        )
        .await;
        let client = fixture.shared_client("acme").await?;
        Ok(Self {
            fixture,
            db,
            database,
            app,
            other,
            client,
        })
    }

    /// The SQL with the names of this fixture.
    fn named(&self, sql: &str) -> String {
        sql.replace("{app}", &self.app)
            .replace("{other}", &self.other)
            .replace("{db}", &format!("\"{}\"", self.database))
            .replace("{admin}", self.fixture.admin_role())
    }

    async fn apply(&mut self, sql: &str) {
        let sql = self.named(sql);
        run(&mut self.db, &sql).await;
    }

    /// What a manager that opens the database now finds wrong with it.
    async fn findings(&self, manager: &ClientConnectionManager) -> Vec<String> {
        match manager.tenant(self.client.id).await {
            Ok(_) => Vec::new(),
            Err(error) => findings_of(error),
        }
    }

    async fn close(mut self) {
        let server = self.fixture.server().clone();
        let sql = self.named("drop owned by {app}; drop role {app}");
        self.fixture.platform().close().await;
        run(&mut self.db, "reset role").await;
        drop(self.db);
        self.fixture.close().await;
        let mut db = connect(server.connect_options("postgres")).await;
        run(&mut db, &sql).await;
    }
}

fn findings_of(error: Error) -> Vec<String> {
    assert_eq!(error.kind(), ErrorKind::Installation);
    assert!(!error.is_retryable());
    let text = error.to_string();
    match error {
        Error::UnsafeDatabase { database, findings } => {
            assert!(database.starts_with("pool database own role ("), "{database}");
            assert!(findings.iter().all(|finding| text.contains(finding)), "{text}");
            findings
        }
        other => vec![format!("another error: {other:?}")],
    }
}

/// Grants the app role that was configured last what the host's migrations granted the one before.
const PROTECT_ALL: &str = "
    select tenantry.protect(c.oid) from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and exists (select from pg_policy p where p.polrelid = c.oid);
    select tenantry.share('models');";

/// What is done to the database, how it is undone, and what is then found.
type Case = (&'static str, &'static str, &'static str);

const ATTRIBUTES: &[Case] = &[
    (
        "alter role {app} superuser",
        "alter role {app} nosuperuser",
        "the app role {app} is a superuser",
    ),
    (
        "alter role {app} bypassrls",
        "alter role {app} nobypassrls",
        "the app role {app} has BYPASSRLS",
    ),
    (
        "alter role {app} createrole",
        "alter role {app} nocreaterole",
        "the app role {app} has CREATEROLE, and can grant itself others",
    ),
    (
        "alter role {app} replication",
        "alter role {app} noreplication",
        "the app role {app} has REPLICATION, and can stream every row",
    ),
];

const OWNERSHIP: &[Case] = &[
    (
        "alter database {db} owner to {app}",
        "alter database {db} owner to {admin};
         revoke temporary, create on database {db} from {app}; grant connect on database {db} to {app}",
        "the app role {app} owns the database",
    ),
    (
        "create schema own authorization {app}",
        "drop schema own",
        "the app role {app} owns the schema own",
    ),
    (
        "create table own (id int); alter table own owner to {app}",
        "drop table own",
        "the app role {app} owns the table public.own",
    ),
    (
        "create view own with (security_invoker) as select 1 as one; alter view own owner to {app}",
        "drop view own",
        "the app role {app} owns the table public.own",
    ),
    (
        "create table tenantry.own (id int); alter table tenantry.own owner to {app}",
        "drop table tenantry.own",
        "the app role {app} owns a table of the kernel",
    ),
];

/// The same through a role that it is a member of.
const MEMBERSHIP: &[Case] = &[
    (
        "alter role {other} superuser",
        "",
        "the app role {app}, through {other}, is a superuser",
    ),
    (
        "alter role {other} bypassrls",
        "",
        "the app role {app}, through {other}, has BYPASSRLS",
    ),
    (
        "alter role {other} createrole",
        "",
        "the app role {app}, through {other}, has CREATEROLE, and can grant itself others",
    ),
    (
        "alter role {other} replication",
        "",
        "the app role {app}, through {other}, has REPLICATION, and can stream every row",
    ),
    (
        "alter database {db} owner to {other}",
        "alter database {db} owner to {admin}",
        "the app role {app}, through {other}, owns the database",
    ),
    (
        "create schema own authorization {other}",
        "drop schema own",
        "the app role {app}, through {other}, owns the schema own",
    ),
    (
        "create table own (id int); alter table own owner to {other}",
        "drop table own",
        "the app role {app}, through {other}, owns the table public.own",
    ),
    (
        "create table tenantry.own (id int); alter table tenantry.own owner to {other}",
        "drop table tenantry.own",
        "the app role {app}, through {other}, owns a table of the kernel",
    ),
    (
        "grant pg_read_all_data to {other}",
        "",
        "the app role {app}, through pg_read_all_data, reads or writes past the grants",
    ),
    (
        "grant select on tenantry.scope_keys to {other}",
        "revoke select on tenantry.scope_keys from {other}",
        "the app role may read the kernel table scope_keys",
    ),
    (
        "grant insert on models to {other}",
        "revoke insert on models from {other}",
        "the shared table public.models can be written by the app role",
    ),
    (
        "grant select on document_chunks_0 to {other}",
        "revoke select on document_chunks_0 from {other}",
        "table public.document_chunks_0 has no tenant policy as tenantry.protect makes it",
    ),
    (
        "create table own (id int); grant select on own to {other}",
        "drop table own",
        "table public.own has no row-level security",
    ),
    (
        "grant truncate on agents to {other}",
        "revoke truncate on agents from {other}",
        "the app role has TRUNCATE, REFERENCES or TRIGGER on public.agents",
    ),
    (
        "grant temporary on database {db} to {other}",
        "revoke temporary on database {db} from {other}",
        "the app role may create temporary tables",
    ),
    (
        "grant create on schema public to {other}",
        "revoke create on schema public from {other}",
        "the app role may create objects in the schema public",
    ),
    (
        "grant create on database {db} to {other}",
        "revoke create on database {db} from {other}",
        "the app role may create schemas and extensions",
    ),
    (
        "create materialized view own as select * from agents; grant select on own to {other}",
        "drop materialized view own",
        "materialized view public.own is past row-level security",
    ),
];

const PREDEFINED: &[Case] = &[
    (
        "grant pg_read_all_data to {app}",
        "revoke pg_read_all_data from {app}",
        "the app role {app}, through pg_read_all_data, reads or writes past the grants",
    ),
    (
        "grant pg_write_all_data to {app}",
        "revoke pg_write_all_data from {app}",
        "the app role {app}, through pg_write_all_data, reads or writes past the grants",
    ),
    (
        "grant pg_read_server_files to {app}",
        "revoke pg_read_server_files from {app}",
        "the app role {app}, through pg_read_server_files, reads or writes past the grants",
    ),
    (
        "grant pg_write_server_files to {app}",
        "revoke pg_write_server_files from {app}",
        "the app role {app}, through pg_write_server_files, reads or writes past the grants",
    ),
    (
        "grant pg_execute_server_program to {app}",
        "revoke pg_execute_server_program from {app}",
        "the app role {app}, through pg_execute_server_program, reads or writes past the grants",
    ),
];

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

const RIGHTS: &[Case] = &[
    (
        "grant temporary on database {db} to {app}",
        "revoke temporary on database {db} from {app}",
        "the app role may create temporary tables",
    ),
    (
        "grant temporary on database {db} to public",
        "revoke temporary on database {db} from public",
        "the app role may create temporary tables",
    ),
    (
        "grant create on database {db} to {app}",
        "revoke create on database {db} from {app}",
        "the app role may create schemas and extensions",
    ),
    (
        "grant create on schema public to {app}",
        "revoke create on schema public from {app}",
        "the app role may create objects in the schema public",
    ),
    (
        "grant create on schema tenantry to public",
        "revoke create on schema tenantry from public",
        "the app role may create objects in the schema tenantry",
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

/// Each mutation is found as what it is, and is gone when it is undone.
async fn each_is_refused(
    own: &mut Own,
    cases: impl IntoIterator<Item = (String, String, String)>,
) -> Outcome {
    let mut wrong = Vec::new();
    for (mutation, undo, expected) in cases {
        own.apply(&mutation).await;
        let manager = own.fixture.manager().await?;
        let findings = own.findings(&manager).await;
        manager.close().await;
        let expected = own.named(&expected);
        // Some powers bring others with them.
        let alone = findings.len() == 1
            || ["superuser", "owner to", "authorization", "_all_data"]
                .iter()
                .any(|power| mutation.contains(power));
        if !findings.contains(&expected) || !alone {
            wrong.push(format!(
                "{mutation}\n  expected {expected:?}\n  found    {findings:?}"
            ));
        }
        own.apply(&undo).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Nothing of them is left.
    let manager = own.fixture.manager().await?;
    let db = manager.tenant(own.client.id).await?;
    db.insert("agents")
        .set("slug", Uuid::new_v4().to_string())
        .set("name", "Guide")
        .execute()
        .await?;
    assert!(db.query("agents").count().await? >= 1);
    manager.close().await;
    Ok(())
}

fn all(cases: &[Case]) -> Vec<(String, String, String)> {
    cases
        .iter()
        .map(|(mutation, undo, finding)| ((*mutation).to_owned(), (*undo).to_owned(), (*finding).to_owned()))
        .collect()
}

#[tokio::test]
async fn a_correct_database_is_served() -> Outcome {
    let mut own = Own::start().await?;
    // Views as they should be, and tables that the app role does not reach, are no finding.
    own.apply(
        "create view own with (security_invoker) as select * from agents; grant select on own to {app};
         create view also_own with (security_invoker = on) as select * from agents; grant select on also_own to {app};
         create table plain (id int); create materialized view counted as select count(*) from agents;
         create role {other}; grant {other} to {app}",
    )
    .await;
    each_is_refused(&mut own, []).await?;
    own.apply("drop role {other}").await;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_app_role_with_power_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    each_is_refused(
        &mut own,
        [ATTRIBUTES, OWNERSHIP, PREDEFINED, RIGHTS]
            .into_iter()
            .flat_map(all),
    )
    .await?;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_app_role_that_inherits_power_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    let cases = all(MEMBERSHIP).into_iter().map(|(mutation, undo, finding)| {
        (
            format!("create role {{other}}; grant {{other}} to {{app}}; {mutation}"),
            format!("{undo}; drop role {{other}}"),
            finding,
        )
    });
    each_is_refused(&mut own, cases).await?;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_app_role_that_can_take_power_by_set_role_is_refused() -> Outcome {
    let mut own = Own::start().await?;
    own.apply("alter role {app} noinherit").await;
    let cases = all(MEMBERSHIP).into_iter().map(|(mutation, undo, finding)| {
        (
            format!("create role {{other}}; grant {{other}} to {{app}}; {mutation}"),
            format!("{undo}; drop role {{other}}"),
            finding,
        )
    });
    each_is_refused(&mut own, cases).await?;

    // A member that may only pass the role on gives it to itself.
    if one::<i32>(&mut own.db, "select current_setting('server_version_num')::int").await >= 160_000 {
        let case = (
            "create role {other} bypassrls; grant {other} to {app} with admin true, inherit false, set false",
            "drop role {other}",
            "the app role {app}, through {other}, has BYPASSRLS",
        );
        each_is_refused(&mut own, all(&[case])).await?;
    }

    // It is no theory: what it does not inherit it takes.
    own.apply("create role {other}; grant {other} to {app}; grant insert on models to {other}")
        .await;
    let mut app = connect(
        own.fixture
            .server()
            .connect_options(&own.database)
            .username(&own.app)
            .password("x"),
    )
    .await;
    let insert = "insert into models values ('own', 'own', 1)";
    assert_eq!(refused(&mut app, insert).await.code, "42501");
    run(&mut app, &own.named("set role {other}")).await;
    run(&mut app, insert).await;
    drop(app);
    own.apply("drop owned by {other}; drop role {other}").await;
    own.close().await;
    Ok(())
}

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

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() -> Outcome {
    let mut own = Own::start().await?;
    own.apply(
        "alter role {app} createrole; grant truncate on documents to {app};
         alter table agents no force row level security",
    )
    .await;
    let manager = own.fixture.manager().await?;
    let mut findings = own.findings(&manager).await;
    findings.sort();
    assert_eq!(
        findings,
        [
            "table public.agents does not force row-level security".to_owned(),
            "the app role has TRUNCATE, REFERENCES or TRIGGER on public.documents".to_owned(),
            own.named("the app role {app} has CREATEROLE, and can grant itself others"),
        ]
    );
    manager.close().await;
    own.close().await;
    Ok(())
}

#[tokio::test]
async fn an_unsafe_pool_does_not_affect_the_clients_of_others() -> Outcome {
    let mut own = Own::start().await?;
    let platform = own.fixture.platform();
    platform.set_pool_active(own.fixture.pool(), true).await?;
    let safe = own.fixture.shared_client("safe").await?;
    let dedicated = own.fixture.dedicated_client("vast").await?;
    own.apply("alter role {app} bypassrls").await;
    let manager = own.fixture.manager().await?;
    let (refused, safe_db, dedicated_db) = tokio::join!(
        manager.tenant(own.client.id),
        manager.tenant(safe.id),
        manager.tenant(dedicated.id)
    );
    assert_eq!(
        findings_of(refused.unwrap_err()),
        [own.named("the app role {app} has BYPASSRLS")]
    );
    for db in [safe_db?, dedicated_db?] {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    // No connection of it was kept.
    let gone = own.named("select not exists (select from pg_stat_activity where usename = '{app}')");
    until(&mut own.db, &gone).await;
    // That it failed is not remembered.
    own.apply("alter role {app} nobypassrls").await;
    assert_eq!(
        manager
            .tenant(own.client.id)
            .await?
            .query("agents")
            .count()
            .await?,
        0
    );
    manager.close().await;
    own.close().await;
    Ok(())
}
