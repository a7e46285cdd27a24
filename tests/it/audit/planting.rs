//! What is planted, and the database that it is planted in.
#![expect(clippy::disallowed_methods, reason = "runs the SQL that mends")]

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{AuditFinding, AuditSeverity, IsolationAudit};
use uuid::Uuid;

use crate::sql::{connect, run};
use crate::support::HOST;

/// A weakness, and what an audit says of it.
#[derive(Debug)]
pub(super) struct Plant {
    pub(super) name: &'static str,
    pub(super) sql: Sql,
    pub(super) by_superuser: bool,
    /// The id that it is found as, and those of what comes with it.
    pub(super) expected: &'static [&'static str],
    /// Whether more is found with it, since it brings other powers along.
    pub(super) with_others: bool,
    /// Whether the SQL that mends it cannot be run here.
    pub(super) unmended: bool,
    /// The first major version of the server that has it.
    pub(super) since: u32,
}

#[derive(Debug)]
pub(super) enum Sql {
    Plain(&'static str),
    /// What `tenantry_scope` of the agents is made with in place of its own.
    Scope(&'static str),
    /// Noted as if it were installed: no server has all of them.
    Extension(&'static str),
}

impl Plant {
    pub(super) const fn new(
        name: &'static str,
        sql: &'static str,
        expected: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            sql: Sql::Plain(sql),
            by_superuser: false,
            expected,
            with_others: false,
            unmended: false,
            since: 15,
        }
    }

    pub(super) const fn by_superuser(
        name: &'static str,
        sql: &'static str,
        expected: &'static [&'static str],
    ) -> Self {
        let mut plant = Self::new(name, sql, expected);
        plant.by_superuser = true;
        plant
    }

    pub(super) const fn scope(
        name: &'static str,
        sql: &'static str,
        expected: &'static [&'static str],
    ) -> Self {
        let mut plant = Self::new(name, "", expected);
        plant.sql = Sql::Scope(sql);
        plant
    }

    pub(super) const fn extension(
        name: &'static str,
        extension: &'static str,
        expected: &'static [&'static str],
    ) -> Self {
        let mut plant = Self::by_superuser(name, "", expected);
        plant.sql = Sql::Extension(extension);
        plant.unmended = true;
        plant
    }

    pub(super) const fn with_others(mut self) -> Self {
        self.with_others = true;
        self
    }

    pub(super) const fn unmended(mut self) -> Self {
        self.unmended = true;
        self
    }

    pub(super) const fn since(mut self, version: u32) -> Self {
        self.since = version;
        self
    }

    fn text(&self) -> String {
        match self.sql {
            Sql::Plain(sql) => sql.to_owned(),
            Sql::Scope(rest) => {
                format!(
                    "drop policy tenantry_scope on agents; create policy tenantry_scope on agents as restrictive {rest}"
                )
            }
            Sql::Extension(name) => format!(
                "insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
                 values (4294000000, '{name}', 10, 11, false, '1.0')"
            ),
        }
    }
}

/// A pool database whose app role is its own, so that its mutations are nobody else's.
pub(super) struct Bed {
    pub(super) fixture: Fixture,
    /// As the superuser.
    pub(super) db: PgConnection,
    database: String,
    pub(super) app: String,
    other: String,
    pub(super) version: u32,
}

impl Bed {
    pub(super) async fn start() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let unique = Uuid::new_v4().simple().to_string();
        let (app, other) = (format!("audit_app_{unique}"), format!("audit_other_{unique}"));
        let database = fixture.database("pool-1");
        let mut db = connect(fixture.server().connect_options(&database)).await;
        run(&mut db, &format!("create role {app} login; create role {other}")).await;
        let mut admin = connect(fixture.admin_options(&database)).await;
        let anew = format!(
            "revoke all on all tables in schema public, tenantry from {old};
             revoke all on all functions in schema tenantry from {old};
             revoke all on schema tenantry from {old};
             select tenantry.configure('{app}');
             select tenantry.protect(c.oid) from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
               and exists (select from pg_policy p where p.polrelid = c.oid);
             select tenantry.share('models');",
            old = fixture.app_role()
        );
        run(&mut admin, &anew).await;
        let version: i32 =
            crate::sql::one(&mut db, "select current_setting('server_version_num')::int4").await;
        Self {
            fixture,
            db,
            database,
            app,
            other,
            version: u32::try_from(version).unwrap() / 10_000,
        }
    }

    /// The SQL with the names of this bed.
    pub(super) fn named(&self, sql: &str) -> String {
        sql.replace("{app}", &self.app)
            .replace("{other}", &self.other)
            .replace("{db}", &format!("\"{}\"", self.database))
            .replace("{admin}", self.fixture.admin_role())
            .replace("{superuser}", "current_user")
    }

    /// What is found once the SQL was run, and what is left after the SQL that mends it, where that is run. All of it is
    /// rolled back.
    pub(super) async fn planted(&mut self, sql: &str, by_superuser: bool, mends: bool) -> Planted {
        let sql = self.named(sql);
        let as_admin = format!("set local role {}", self.fixture.admin_role());
        let mut tx = self.db.begin().await.unwrap();
        if !by_superuser {
            run(&mut tx, &as_admin).await;
        }
        run(&mut tx, &sql).await;
        run(&mut tx, &as_admin).await;
        let report = IsolationAudit::of_connection(&mut tx, self.app.as_str())
            .run()
            .await
            .unwrap();
        let found: Vec<AuditFinding> = report.findings().cloned().collect();
        let mut left = Vec::new();
        if mends {
            run(&mut tx, "reset role; set local row_security = on").await;
            // A superuser makes what the admin role would: it is to own it, too.
            let script = report.mend_sql().replace("concurrently ", "");
            if let Err(error) = tx.execute(sqlx::raw_sql(AssertSqlSafe(script.clone()))).await {
                tx.rollback().await.unwrap();
                return Planted {
                    found,
                    left: Vec::new(),
                    failed: Some(format!("{error}\n{script}")),
                };
            }
            run(&mut tx, &as_admin).await;
            let report = IsolationAudit::of_connection(&mut tx, self.app.as_str())
                .run()
                .await
                .unwrap();
            left = report.findings().cloned().collect();
        }
        tx.rollback().await.unwrap();
        Planted {
            found,
            left,
            failed: None,
        }
    }

    pub(super) async fn plant(&mut self, plant: &Plant) -> Planted {
        let mends = !plant.unmended && !plant.with_others;
        self.planted(&plant.text(), plant.by_superuser, mends).await
    }

    pub(super) async fn close(mut self) {
        let server = self.fixture.server().clone();
        let sql = self.named("drop owned by {app}, {other}; drop role {app}, {other}");
        run(&mut self.db, &sql).await;
        drop(self.db);
        self.fixture.close().await;
        drop(server);
    }
}

/// What an audit said of it.
pub(super) struct Planted {
    pub(super) found: Vec<AuditFinding>,
    pub(super) left: Vec<AuditFinding>,
    /// Why the SQL that mends it could not be run.
    failed: Option<String>,
}

impl Planted {
    pub(super) fn ids(&self) -> Vec<&'static str> {
        ids(&self.found)
    }

    /// What was to be mended and is still there.
    pub(super) fn unmended(&self) -> Vec<String> {
        // What comes with no SQL of its own stays.
        let by_hand: Vec<&str> = self
            .found
            .iter()
            .filter(|finding| finding.mend.is_none())
            .map(|finding| finding.id)
            .collect();
        let left = self
            .left
            .iter()
            .filter(|finding| !by_hand.contains(&finding.id) && finding.severity > AuditSeverity::Info);
        left.map(ToString::to_string).chain(self.failed.clone()).collect()
    }
}

pub(super) fn ids(found: &[AuditFinding]) -> Vec<&'static str> {
    let mut ids: Vec<&str> = found.iter().map(|finding| finding.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
