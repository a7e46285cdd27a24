//! A client from its creation on: how it is set up, whatever interrupts that, and what is told of it.
#![expect(
    clippy::disallowed_methods,
    reason = "looks at the databases behind the library"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod activity;
mod alone;
mod databases;
mod events;
mod interrupted;
mod provisioning;
mod stock;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ClientSetup, DatabaseProvisioner, HookError, NewClient, Provisioning,
    ServerDatabases, TenantTx,
};

use crate::sql::connect;
use crate::support::HOST;

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// A platform whose dedicated databases are made on the test server.
struct Platform {
    fixture: Fixture,
    manager: ClientConnectionManager,
    databases: ServerDatabases,
}

impl Platform {
    async fn start() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let manager = fixture.manager().await.unwrap();
        // Names of its own: the server is that of other tests as well.
        let unique = fixture.database("x").split('_').nth(1).unwrap()[..8].to_owned();
        let databases = ServerDatabases::new(fixture.server().url("postgres"))
            .prefix(format!("t{unique}_"))
            .extensions(["vector"]);
        Self {
            fixture,
            manager,
            databases,
        }
    }

    fn provisioning(&self) -> Provisioning {
        Provisioning::new(self.fixture.platform().clone(), self.manager.clone(), &HOST)
            .databases(self.databases.clone())
    }

    async fn catalogue(&self) -> PgConnection {
        connect(self.fixture.admin_options(&self.fixture.database("platform"))).await
    }

    /// The databases that were made.
    async fn made(&self) -> Vec<String> {
        let mut server = connect(self.fixture.server().connect_options("postgres")).await;
        let prefix = self.databases_prefix();
        let sql = format!(
            "select datname::text from pg_database where starts_with(datname, '{prefix}') order by 1"
        );
        let rows: Vec<(String,)> = crate::sql::rows(&mut server, &sql).await;
        rows.into_iter().map(|(name,)| name).collect()
    }

    fn databases_prefix(&self) -> String {
        let unique = self.fixture.database("x").split('_').nth(1).unwrap()[..8].to_owned();
        format!("t{unique}_")
    }

    /// Ends it, with all databases that were made.
    async fn close(self) {
        self.manager.close().await;
        for name in self.made().await {
            let id = name.rsplit('_').next().unwrap().parse::<uuid::Uuid>().unwrap();
            self.databases.remove(ClientId::from(id)).await.unwrap();
        }
        assert_eq!(self.made().await, Vec::<String>::new());
        let mut server = connect(self.fixture.server().connect_options("postgres")).await;
        let prefix = self.databases_prefix();
        let roles = format!("select count(*) from pg_roles where starts_with(rolname, '{prefix}')");
        assert_eq!(crate::sql::one::<i64>(&mut server, &roles).await, 0);
        self.fixture.close().await;
    }
}

fn shared(slug: &str) -> NewClient {
    NewClient::new(slug, slug.parse().unwrap(), "adventurer")
}

fn dedicated(slug: &str) -> NewClient {
    NewClient::new(slug, slug.parse().unwrap(), "champion")
}

/// Adds an agent of that name, and fails as often as it is told to.
#[derive(Clone, Debug)]
struct Welcome {
    agent: &'static str,
    failures: Arc<AtomicU32>,
    runs: Arc<AtomicU32>,
}

impl Welcome {
    fn new(agent: &'static str) -> Self {
        Self {
            agent,
            failures: Arc::default(),
            runs: Arc::default(),
        }
    }

    fn failing(self, times: u32) -> Self {
        self.failures.store(times, Ordering::Relaxed);
        self
    }
}

#[async_trait]
impl ClientSetup for Welcome {
    fn name(&self) -> &str {
        self.agent
    }

    async fn set_up(&self, tx: &mut TenantTx) -> std::result::Result<(), HookError> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        tx.insert("agents")
            .set("slug", self.agent)
            .set("name", self.agent)
            .execute()
            .await?;
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.fetch_sub(1, Ordering::Relaxed);
            return Err("the mail server is down".into());
        }
        Ok(())
    }
}
