//! What clients take up: by statistics, by counting, and where there is room.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod counts;
mod estimates;
mod report;

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;
use tenantry::testing::Fixture;
use tenantry::{ClientId, FootprintOptions, Footprints};

use crate::sql::{connect, run};

static HOST: Migrator = sqlx::migrate!("tests/it/footprint/migrations");

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// A pool whose clients are of very different sizes.
struct Town {
    fixture: Fixture,
    /// The admin role of the pool database.
    admin: PgConnection,
    /// The largest first.
    clients: Vec<ClientId>,
}

/// The rows in `notes` of the three large clients; each of the others has as many as the last.
const NOTES: [u32; 4] = [20_000, 8_000, 3_000, 20];

impl Town {
    async fn start() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let admin = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
        Self {
            fixture,
            admin,
            clients: Vec::new(),
        }
    }

    /// So many clients, and their rows in `notes` and, a tenth of them each, in `parts` and `spans`.
    async fn settled(clients: usize) -> Self {
        let mut town = Self::start().await;
        for n in 0..clients {
            let client = town.fixture.shared_client(&format!("client-{n}")).await.unwrap();
            town.clients.push(client.id);
        }
        for (n, client) in town.clients.clone().into_iter().enumerate() {
            town.fill(client, NOTES[n.min(3)]).await;
        }
        town
    }

    async fn fill(&mut self, client: ClientId, rows: u32) {
        let sql = format!(
            "insert into notes (client_id, id, body, updated_at)
             select '{client}', n, repeat('x', 100), '2026-01-01'::timestamptz + n * interval '1 second'
             from generate_series(1, {rows}) n;
             insert into parts (client_id, id, \"the body\")
             select '{client}', n, repeat('y', 50) from generate_series(1, {rows} / 10) n;
             insert into spans (client_id, id) select '{client}', n from generate_series(1, {rows} / 10) n"
        );
        run(&mut self.admin, &sql).await;
    }

    async fn analyze(&mut self) {
        run(&mut self.admin, "analyze notes; analyze parts; analyze spans").await;
    }

    fn footprints(&self) -> Footprints {
        Footprints::new(self.fixture.platform().clone()).options(options())
    }
}

fn options() -> FootprintOptions {
    FootprintOptions::default().latest_by("updated_at")
}

/// The moment of the last row of so many in `notes`.
fn last_of(rows: u32) -> std::time::SystemTime {
    // 2026-01-01 in UTC.
    std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + u64::from(rows))
}
