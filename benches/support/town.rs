#![expect(
    clippy::disallowed_methods,
    reason = "prepares databases as an operator would"
)]

use std::process::{Command, Stdio};
use std::time::Duration;

use secrecy::{SecretBox, SecretString};
use sqlx::migrate::Migrator;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection};
use tenantry::testing::{Fixture, PgServer};
use tenantry::{
    ClientConnectionManager, ClientId, ClientKey, ConnectionOptions, Keyring, ManagerOptions, NewClient,
    NewPool, PlatformDirectory, PoolId,
};

pub(crate) static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

pub(crate) const HOUR: Duration = Duration::from_hours(1);

/// What the parts of a process of this bench's are read from.
const ROLE: &str = "TENANTRY_BENCH_ROLE";
const PLATFORM: &str = "TENANTRY_BENCH_PLATFORM";
const CLIENTS: &str = "TENANTRY_BENCH_CLIENTS";

/// Two pools that a client moves between, and a client with a database of its own, sealed with a key that other
/// processes have as well.
pub(crate) struct Town {
    pub(crate) fixture: Fixture,
    pub(crate) platform: PlatformDirectory,
    pub(crate) pools: [PoolId; 2],
    pub(crate) acme: ClientId,
    pub(crate) bolt: ClientId,
    pub(crate) vast: ClientId,
}

impl Town {
    pub(crate) async fn found() -> Self {
        let server = PgServer::shared().await.unwrap();
        let fixture = Fixture::on(server, &HOST, 10, None).await.unwrap();
        fixture.add_pool("pool-2", 10).await.unwrap();
        fixture.dedicated_client("vast").await.unwrap();
        let platform_database = fixture.database("platform");
        run(
            &mut admin(&fixture, "platform").await,
            "update platform.pools set active = false; update platform.clients set deleted_at = now()",
        )
        .await;
        let url = SecretString::from(fixture.admin_url(&platform_database));
        let platform = PlatformDirectory::connect(&url, keyring()).await.unwrap();
        let mut pools = [PoolId::new(); 2];
        for (number, name) in ["pool-1", "pool-2"].into_iter().enumerate() {
            let database = fixture.database(name);
            let pool = NewPool::new(
                format!("town-{number}"),
                fixture.app_url(&database),
                fixture.admin_url(&database),
            );
            pools[number] = platform.register_pool(pool).await.unwrap();
        }
        let client = async |slug: &str, tier: &str| {
            let new = NewClient::new(slug, slug.parse().unwrap(), tier)
                .external_ref(format!("krn:{slug}:client:prod-001").parse().unwrap())
                .domain(format!("data.{slug}.example").parse().unwrap());
            let new = if tier == "adventurer" {
                new
            } else {
                let database = fixture.database(slug);
                new.dedicated(fixture.app_url(&database), fixture.admin_url(&database))
            };
            let id = platform.create_client(new).await.unwrap().id;
            let key = ClientKey::new("agent", &format!("guide-of-{slug}")).unwrap();
            platform.add_key(id, &key).await.unwrap();
            id
        };
        Self {
            acme: client("acme", "adventurer").await,
            bolt: client("bolt", "adventurer").await,
            vast: client("vast", "champion").await,
            platform,
            pools,
            fixture,
        }
    }

    pub(crate) async fn manager(&self) -> ClientConnectionManager {
        manager(&self.fixture.admin_url(&self.fixture.database("platform"))).await
    }

    /// This program again, in that part.
    pub(crate) fn command(&self, role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env(ROLE, role)
            .env(
                PLATFORM,
                self.fixture.admin_url(&self.fixture.database("platform")),
            )
            .env(CLIENTS, format!("{} {}", self.acme, self.vast))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }

    pub(crate) async fn close(self) {
        self.platform.close().await;
        self.fixture.close().await;
    }
}

/// What another process of this bench is to do.
pub(crate) struct Part {
    pub(crate) role: String,
    pub(crate) platform: String,
    /// One of a pool, and one with a database of its own.
    pub(crate) clients: [ClientId; 2],
}

impl Part {
    /// `None` in the process that was started by hand.
    pub(crate) fn assigned() -> Option<Self> {
        let role = std::env::var(ROLE).ok()?;
        let clients = std::env::var(CLIENTS).unwrap();
        let (acme, vast) = clients.split_once(' ').unwrap();
        Some(Self {
            role,
            platform: std::env::var(PLATFORM).unwrap(),
            clients: [acme, vast].map(|id| id.parse::<Uuid>().unwrap().into()),
        })
    }
}

pub(crate) fn keyring() -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([7; 32])))
}

/// Trusts what it knows for so long that nothing but hearing of a change has it look again.
pub(crate) fn trusting(platform: &str) -> ManagerOptions {
    ManagerOptions::new(platform.to_owned(), keyring())
        .record_ttl(HOUR)
        .unknown_ttl(HOUR)
        .max_staleness(HOUR)
        .pool_connections(ConnectionOptions::default().max_connections(3))
}

pub(crate) async fn manager(platform: &str) -> ClientConnectionManager {
    let manager = ClientConnectionManager::connect(trusting(platform))
        .await
        .unwrap();
    manager.hears_changes().await;
    manager
}

pub(crate) async fn admin(fixture: &Fixture, database: &str) -> PgConnection {
    let options = fixture.admin_options(&fixture.database(database));
    options.connect().await.unwrap()
}

pub(crate) async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(conn)
        .await
        .unwrap();
}

/// Of seconds; 0.5 is the median.
pub(crate) fn quantile(of: &mut [f64], at: f64) -> f64 {
    of.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let index = ((of.len() as f64 - 1.0) * at).round() as usize;
    of[index]
}
