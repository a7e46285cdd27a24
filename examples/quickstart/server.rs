//! What an operator sets up: two roles and three empty databases.
#![expect(clippy::disallowed_methods, reason = "creates roles and databases")]

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tenantry::testing::PgServer;
use uuid::Uuid;

use super::Outcome;

/// A server with roles and databases of this run's own.
pub(crate) struct Server {
    postgres: PgServer,
    /// The role of services: it owns nothing, so row-level security holds it.
    app: String,
    /// The role that owns the databases and migrates them.
    admin: String,
}

impl Server {
    const DATABASES: [&str; 3] = ["platform", "pool", "vast"];

    pub(crate) async fn shared() -> Outcome<Self> {
        let run = format!("quickstart_{:08x}", Uuid::new_v4().as_fields().0);
        Ok(Self {
            postgres: PgServer::shared().await?,
            app: format!("{run}_app"),
            admin: format!("{run}_admin"),
        })
    }

    pub(crate) async fn create_databases(&self) -> Outcome<()> {
        let Self { postgres, app, admin } = self;
        println!("On {:?}:\n", postgres.source());
        self.superuser("postgres", format!("create role {app} login password '{app}'"))
            .await?;
        self.superuser(
            "postgres",
            format!("create role {admin} login bypassrls password '{admin}'"),
        )
        .await?;
        for name in Self::DATABASES.map(|name| self.database(name)) {
            self.superuser("postgres", format!("create database {name} owner {admin}"))
                .await?;
            self.superuser(&name, "create extension vector".to_owned())
                .await?;
            println!("  created {name}");
        }
        Ok(())
    }

    pub(crate) async fn clean_up(&self) -> Outcome<()> {
        for name in Self::DATABASES.map(|name| self.database(name)) {
            self.superuser("postgres", format!("drop database if exists {name} with (force)"))
                .await?;
        }
        self.superuser(
            "postgres",
            format!("drop role if exists {}, {}", self.app, self.admin),
        )
        .await
    }

    async fn superuser(&self, database: &str, sql: String) -> Outcome<()> {
        let mut conn = PgConnection::connect(&self.postgres.url(database)).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut conn).await?;
        Ok(conn.close().await?)
    }

    pub(crate) fn app_role(&self) -> &str {
        &self.app
    }

    fn database(&self, name: &str) -> String {
        self.app.replace("app", name)
    }

    /// A URL for services.
    pub(crate) fn app_url(&self, database: &str) -> String {
        self.postgres
            .url_as(&self.app, &self.app, &self.database(database))
    }

    /// A URL for migrations.
    pub(crate) fn admin_url(&self, database: &str) -> String {
        self.postgres
            .url_as(&self.admin, &self.admin, &self.database(database))
    }
}
