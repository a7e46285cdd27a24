//! The same tables in a pool database of three clients and in two databases of one client's own.

use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientRecord, ConnectionOptions, TenantDb};
use uuid::Uuid;

use super::Outcome;
use super::random::Random;
use super::schema::{Form, Rows, Schema, quoted};
use crate::sql::{connect, rows, run};
use crate::support::HOST;

/// Databases with the rows of a model.
pub(super) struct Stage {
    pub(super) seed: u64,
    pub(super) schema: Schema,
    /// By client.
    pub(super) rows: Vec<Rows>,
    pub(super) homes: Vec<Home>,
    fixture: Fixture,
    manager: ClientConnectionManager,
    clients: Vec<ClientRecord>,
    admin: PgConnection,
}

/// Where rows of a client are.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) name: &'static str,
    pub(super) db: TenantDb,
    pub(super) client: usize,
}

/// Statements at a time.
pub(super) const CONNECTIONS: usize = 4;

impl Stage {
    pub(super) async fn new(seed: u64) -> Result<Self, Box<dyn std::error::Error>> {
        let mut random = Random::new(seed, u64::MAX);
        let schema = Schema::random(&mut random);
        let first = schema.rows(&mut random, None);
        let second = schema.rows(&mut random, Some(&first[0]));
        let third = schema.rows(&mut random, Some(&first[0]));
        let all = vec![first, second, third];

        let fixture = Fixture::start(&HOST).await?;
        let app = fixture.app_role();
        let mut clients = Vec::new();
        for slug in ["one", "two", "three"] {
            clients.push(fixture.shared_client(slug).await?);
        }
        let mut admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        run(&mut admin, &schema.ddl(Form::Kernel, app)).await;
        for (at, (client, rows)) in clients.iter().zip(&all).enumerate() {
            run(
                &mut admin,
                &schema.inserts(Form::Kernel, client.id.as_uuid(), rows, at == 0),
            )
            .await;
        }
        let dedicated = fixture.dedicated_client("dedicated").await?;
        let mut own = connect(fixture.admin_options(&fixture.database("dedicated"))).await;
        run(&mut own, &schema.ddl(Form::Kernel, app)).await;
        run(
            &mut own,
            &schema.inserts(Form::Kernel, dedicated.id.as_uuid(), &all[0], true),
        )
        .await;
        // The fixture takes text that lives as long as the process.
        let legacy =
            schema.ddl(Form::Legacy, app) + &schema.inserts(Form::Legacy, Uuid::nil(), &all[0], true);
        let legacy = format!("{legacy}\ngrant usage on schema public to {app};");
        let legacy = fixture.legacy_client("legacy", legacy.leak()).await?;

        let connections = u32::try_from(CONNECTIONS)?;
        let options = fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().max_connections(connections));
        let manager = ClientConnectionManager::connect(options).await?;
        let mut homes = Vec::new();
        for (name, client, id) in [
            ("pool", 0, clients[0].id),
            ("pool", 1, clients[1].id),
            ("pool", 2, clients[2].id),
            ("dedicated", 0, dedicated.id),
            ("legacy", 0, legacy.id),
        ] {
            let db = manager.tenant(id).await?;
            homes.push(Home { name, db, client });
        }
        Ok(Self {
            seed,
            schema,
            rows: all,
            homes,
            fixture,
            manager,
            clients,
            admin,
        })
    }

    /// Takes row-level security away from the pool database, so that the scope of each statement is all there is.
    pub(super) async fn drop_policies(&mut self) {
        for table in self.schema.tables.iter().filter(|table| !table.is_shared) {
            let sql = format!("drop policy tenantry_scope on {}", quoted(&table.name));
            run(&mut self.admin, &sql).await;
        }
    }

    /// What is needed to have the same again.
    pub(super) fn replay(&self, case: u64) -> String {
        let mut text = format!(
            "TENANTRY_MODEL_SEED={} makes the same tables and rows; this was case {case}\n{}",
            self.seed,
            self.schema.ddl(Form::Kernel, "app")
        );
        for (client, rows) in self.clients.iter().zip(&self.rows) {
            text += &self.schema.inserts(Form::Kernel, client.id.as_uuid(), rows, true);
        }
        text
    }

    /// The homes of a client.
    pub(super) fn homes_of(&self, client: usize) -> Vec<Home> {
        let homes = self.homes.iter().filter(|home| home.client == client);
        homes.cloned().collect()
    }

    /// All rows of a table in the pool database, past row-level security, and those of the model.
    pub(super) async fn pool_rows(&mut self, table: usize) -> (Vec<String>, Vec<String>) {
        let table_of = &self.schema.tables[table];
        let name = quoted(&table_of.name);
        let found = rows::<(String,)>(
            &mut self.admin,
            &format!("select r::text from {name} r order by 1"),
        )
        .await;
        let mut expected = Vec::new();
        for (client, rows) in self.clients.iter().zip(&self.rows) {
            if table_of.is_shared && !expected.is_empty() {
                break;
            }
            expected.extend(rows[table].iter().map(|row| {
                let cells = row.iter().zip(&table_of.columns);
                let cells: Vec<_> = cells.map(|(cell, column)| cell.literal(column.kind)).collect();
                let client = if table_of.is_shared {
                    String::new()
                } else {
                    format!("'{}'::uuid, ", client.id)
                };
                format!("({client}{})", cells.join(", "))
            }));
        }
        if expected.is_empty() {
            return (found.into_iter().map(|row| row.0).collect(), Vec::new());
        }
        // The database spells them.
        let spelt = format!(
            "select r::text from (values {}) r order by 1",
            expected.join(", ")
        );
        let expected = rows::<(String,)>(&mut self.admin, &spelt).await;
        let only = |rows: Vec<(String,)>| rows.into_iter().map(|row| row.0).collect();
        (only(found), only(expected))
    }

    pub(super) async fn close(self) -> Outcome {
        drop(self.homes);
        drop(self.admin);
        self.manager.close().await;
        self.fixture.close().await;
        Ok(())
    }
}
