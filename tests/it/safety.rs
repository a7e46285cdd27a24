//! A pool database that would let one client see another's rows is not served.

mod role;
mod schema;

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientRecord, Error, ErrorKind, NewPool};
use uuid::Uuid;

use crate::sql::{connect, run, until};
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
