//! All databases at one version: what runs where, who waits, what is left by failures and crashes, and the way back.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share panic like tests"
)]

mod crash;
mod drift;
mod failures;
mod journey;
mod locks;
mod minimum;
mod rings;
mod roll_back;

use futures_util::StreamExt;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgConnection, SqlSafeStr as _};
use tenantry::testing::Fixture;
use tenantry::{ClientId, Fleet, FleetEvent, FleetEvents, FleetOptions, FleetOwner, FleetReport};

use crate::sql::{connect, one, rows, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What a host has from the start: its tables, and a table that counts what its migrations do.
const BASE: &str = "
    create table notes (
        client_id uuid not null,
        id uuid not null default gen_random_uuid(),
        body text not null,
        primary key (client_id, id));
    select tenantry.protect('notes');
    create table ran (client_id uuid, version bigint not null);";

/// A migration of a test: its version, what it does, and what takes it back.
#[derive(Clone, Copy)]
struct Step {
    version: i64,
    up: &'static str,
    down: Option<&'static str>,
    no_tx: bool,
}

const fn step(version: i64, up: &'static str) -> Step {
    Step {
        version,
        up,
        down: None,
        no_tx: false,
    }
}

impl Step {
    const fn down(mut self, down: &'static str) -> Self {
        self.down = Some(down);
        self
    }

    const fn without_transaction(mut self) -> Self {
        self.no_tx = true;
        self
    }
}

const COLOUR: Step = step(
    2,
    "alter table notes add column colour text; insert into ran (version) values (2);",
)
.down("alter table notes drop column colour; delete from ran where version = 2;");

const SHAPE: Step = step(
    3,
    "alter table notes add column shape text; insert into ran (version) values (3);",
)
.down("alter table notes drop column shape; delete from ran where version = 3;");

/// The host's migrations: the base and these. It lives as long as the process, as a program's own does.
fn host(steps: &[Step]) -> &'static Migrator {
    let base = step(1, BASE).down("drop table ran; drop table notes;");
    let mut migrations = Vec::new();
    for step in std::iter::once(&base).chain(steps) {
        let kind = if step.down.is_some() {
            MigrationType::ReversibleUp
        } else {
            MigrationType::Simple
        };
        let name = format!("step {}", step.version);
        migrations.push(Migration::new(
            step.version,
            name.clone().into(),
            kind,
            step.up.into_sql_str(),
            step.no_tx,
        ));
        if let Some(down) = step.down {
            let kind = MigrationType::ReversibleDown;
            migrations.push(Migration::new(
                step.version,
                name.into(),
                kind,
                down.into_sql_str(),
                step.no_tx,
            ));
        }
    }
    Box::leak(Box::new(Migrator::with_migrations(migrations)))
}

/// A platform of two pools, and of two clients with databases of their own, at the base.
struct Stage {
    fixture: Fixture,
}

/// The names of its databases, in the order that the fleet is listed in.
const ALL: [&str; 4] = ["pool-1", "pool-2", "ant", "bee"];

impl Stage {
    async fn start() -> Self {
        let fixture = Fixture::start(host(&[])).await.unwrap();
        fixture.add_pool("pool-2", 10).await.unwrap();
        for slug in ["ant", "bee"] {
            fixture.dedicated_client(slug).await.unwrap();
        }
        Self { fixture }
    }

    fn fleet(&self, host: &'static Migrator) -> Fleet {
        Fleet::new(self.fixture.platform().acting_as("deploy"), host)
    }

    /// The fleet, whose options are these.
    fn fleet_with(&self, host: &'static Migrator, options: FleetOptions) -> Fleet {
        self.fleet(host).options(options)
    }

    async fn platform(&self) -> PgConnection {
        connect(self.fixture.admin_options(&self.fixture.database("platform"))).await
    }

    async fn database(&self, name: &str) -> PgConnection {
        connect(self.fixture.admin_options(&self.fixture.database(name))).await
    }

    async fn superuser(&self) -> PgConnection {
        connect(self.fixture.server().connect_options("postgres")).await
    }

    /// The versions that a database has, and how often each of those that count ran there.
    async fn versions(&self, name: &str) -> Vec<i64> {
        let mut conn = self.database(name).await;
        let ran: Vec<(i64, i64)> = rows(
            &mut conn,
            "select version, count(*) from ran group by 1 having count(*) <> 1",
        )
        .await;
        assert_eq!(ran, [], "{name}: each once");
        let versions: Vec<(i64,)> = rows(
            &mut conn,
            "select version from _sqlx_migrations where success order by 1",
        )
        .await;
        versions.into_iter().map(|(version,)| version).collect()
    }

    /// Whose database it is.
    async fn owner(&self, name: &str) -> FleetOwner {
        let status = self.fleet(host(&[])).status().await.unwrap();
        let found = status
            .databases
            .iter()
            .find(|database| database.database.name == name);
        found.unwrap().database.of
    }

    /// The client whose own database it is.
    async fn client(&self, slug: &str) -> ClientId {
        match self.owner(slug).await {
            FleetOwner::Client(id) => id,
            FleetOwner::Pool(id) => panic!("{slug} is pool {id}"),
        }
    }

    /// What the log says of the host's migrations of a database, in order.
    async fn log(&self, name: &str) -> Vec<(i64, String, Option<String>, bool)> {
        let sql = format!(
            "select version, direction, actor, failure is null from platform.fleet_log
             where database_name = '{name}' and migrations = 'host' order by id"
        );
        rows(&mut self.platform().await, &sql).await
    }

    /// Lets nobody into the data databases, but those who are.
    async fn shut(&self, names: &[&str], shut: bool) {
        let mut superuser = self.superuser().await;
        for name in names {
            let name = self.fixture.database(name);
            let sql = format!("alter database \"{name}\" with allow_connections {}", !shut);
            run(&mut superuser, &sql).await;
        }
    }

    /// Ends the sessions of the fleet in its databases, as a killed process would.
    async fn kill(&self) {
        let mut superuser = self.superuser().await;
        let prefix = self.fixture.database("");
        let sql = format!(
            "select count(pg_terminate_backend(pid, 10000)) from pg_stat_activity
             where application_name = 'tenantry fleet' and starts_with(datname, '{prefix}')"
        );
        one::<i64>(&mut superuser, &sql).await;
    }

    async fn close(self) {
        self.fixture.close().await;
    }
}

fn names<'a>(databases: impl IntoIterator<Item = &'a tenantry::FleetDatabase>) -> Vec<&'a str> {
    let mut names: Vec<_> = databases
        .into_iter()
        .map(|database| database.name.as_str())
        .collect();
    names.sort_unstable();
    names
}

/// All events of a run, and its report.
async fn told(mut events: FleetEvents) -> tenantry::Result<(Vec<FleetEvent>, FleetReport)> {
    let mut all = Vec::new();
    while let Some(event) = events.next().await {
        match event? {
            FleetEvent::Ended(report) => return Ok((all, report)),
            event => all.push(event),
        }
    }
    panic!("it ended without a report: {all:?}");
}
