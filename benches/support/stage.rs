#![expect(
    clippy::disallowed_methods,
    reason = "prepares a database that is written to by hand"
)]

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tenantry::testing::{DelayProxy, Fixture, PgServer};
use tenantry::{ClientConnectionManager, ClientRecord, ConnectionOptions, ManagerOptions, TenantDb};
use tokio::runtime::Runtime;

use super::contestant::{AGENTS, Contestant};

static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

/// What is between the benches and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// A Unix socket.
    Local,
    /// A proxy that adds half a millisecond each way.
    Delayed,
}

impl Network {
    pub(crate) const BOTH: [Self; 2] = [Self::Local, Self::Delayed];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Delayed => "0.5 ms each way",
        }
    }

    const fn delay(self) -> Duration {
        match self {
            Self::Local => Duration::ZERO,
            Self::Delayed => Duration::from_micros(500),
        }
    }
}

/// The databases, the clients and every contestant.
pub(crate) struct Stage {
    pub(crate) fixture: Fixture,
    /// The name of the database that is written to by hand.
    pub(crate) hand: String,
    pub(crate) manager: ClientConnectionManager,
    /// Two clients of the pool, one of a database of its own; each has some hundred agents.
    pub(crate) acme: ClientRecord,
    pub(crate) bolt: ClientRecord,
    pub(crate) vast: ClientRecord,
    /// The crate, on the pool database.
    pub(crate) pool: Arc<Contestant>,
    /// Begin, `set_config`, statement, commit, on a pool of sqlx with its defaults.
    pub(crate) scoped: Arc<Contestant>,
    /// The same, without the ping of every connection that is acquired.
    pub(crate) scoped_unpinged: Arc<Contestant>,
    /// No safety at all, on a pool of sqlx with its defaults.
    pub(crate) unsafe_: Arc<Contestant>,
    /// The same, without the ping.
    pub(crate) unsafe_unpinged: Arc<Contestant>,
    /// The crate, on the dedicated database.
    pub(crate) dedicated: Arc<Contestant>,
    /// Raw sqlx on the same database, with the options that the crate has by default.
    pub(crate) raw: Arc<Contestant>,
}

/// As a service has it; the statements run in tasks of it.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

impl Stage {
    pub(crate) async fn set(network: Network) -> Self {
        let server = PgServer::shared().await.unwrap();
        let proxy = match network {
            Network::Local => None,
            Network::Delayed => {
                let proxy = DelayProxy::start(&server.connect_options("postgres")).await;
                Some(Arc::new(proxy.unwrap()))
            }
        };
        let fixture = Fixture::on(server, &HOST, CAPACITY, proxy).await.unwrap();
        let manager = ClientConnectionManager::connect(manager_options(&fixture))
            .await
            .unwrap();
        let acme = fixture.shared_client("acme").await.unwrap();
        let bolt = fixture.shared_client("bolt").await.unwrap();
        let vast = fixture.dedicated_client("vast").await.unwrap();
        for client in [&acme, &bolt, &vast] {
            add_agents(&manager.tenant(client.id).await.unwrap()).await;
        }
        let hand = database_by_hand(&fixture, &acme).await;
        let own = fixture.database("vast");

        let scoped = |prefix, ping| {
            let pool = PgPoolOptions::new()
                .test_before_acquire(ping)
                .connect_lazy_with(through(&fixture, &hand, false));
            Arc::new(Contestant::scoped(prefix, pool, acme.id.as_uuid()))
        };
        let unscoped = |prefix, ping| {
            let pool = PgPoolOptions::new()
                .test_before_acquire(ping)
                .connect_lazy_with(through(&fixture, &hand, true));
            Arc::new(Contestant::unscoped(prefix, pool, acme.id.as_uuid()))
        };
        let stage = Self {
            pool: Arc::new(Contestant::tenantry("p", manager.tenant(acme.id).await.unwrap())),
            scoped: scoped("s", true),
            scoped_unpinged: scoped("t", false),
            unsafe_: unscoped("u", true),
            unsafe_unpinged: unscoped("v", false),
            dedicated: Arc::new(Contestant::tenantry("d", manager.tenant(vast.id).await.unwrap())),
            raw: Arc::new(Contestant::plain(
                "r",
                PgPoolOptions::new()
                    .max_connections(5)
                    .connect_lazy_with(through(&fixture, &own, false)),
            )),
            acme,
            bolt,
            vast,
            manager,
            hand,
            fixture,
        };
        if let Some(proxy) = stage.fixture.proxy() {
            proxy.set_delay(network.delay());
        }
        stage
    }

    /// A manager with such connections to the pool database. Close it before the stage is struck.
    pub(crate) async fn manager_with(&self, connections: ConnectionOptions) -> ClientConnectionManager {
        let options = manager_options(&self.fixture).pool_connections(connections);
        ClientConnectionManager::connect(options).await.unwrap()
    }

    /// How the database that is written to by hand is connected to, as a role that no policy binds.
    pub(crate) fn unscoped_options(&self) -> PgConnectOptions {
        through(&self.fixture, &self.hand, true)
    }

    /// The database that is written to by hand, as the role that its policies bind.
    pub(crate) fn hand_pool(&self) -> PgPool {
        PgPoolOptions::new().connect_lazy_with(through(&self.fixture, &self.hand, false))
    }

    /// The dedicated database, past the crate.
    pub(crate) fn raw_pool(&self) -> PgPool {
        let own = self.fixture.database("vast");
        PgPoolOptions::new().connect_lazy_with(through(&self.fixture, &own, false))
    }

    pub(crate) async fn strike(self) {
        if let Some(proxy) = self.fixture.proxy() {
            proxy.set_delay(Duration::ZERO);
        }
        self.manager.close().await;
        self.fixture.close().await;
    }
}

/// Clients that the pool database takes.
const CAPACITY: i32 = 2_000;

fn manager_options(fixture: &Fixture) -> ManagerOptions {
    fixture.manager_options().record_ttl(Duration::from_hours(1))
}

/// How a database is connected to: through the proxy where there is one, as the app role or as its owner, whom
/// no policy binds.
fn through(fixture: &Fixture, database: &str, owner: bool) -> PgConnectOptions {
    let options = if owner {
        fixture.admin_options(database)
    } else {
        fixture.app_options(database)
    };
    match fixture.proxy() {
        Some(proxy) => proxy.options(options),
        None => options,
    }
}

async fn add_agents(db: &TenantDb) {
    db.insert("agents")
        .rows(0..AGENTS, |row, number| {
            row.set("slug", format!("agent-{number}"))
                .set("name", format!("Agent {number}"))
                .set(
                    "description",
                    "Answers what it is asked, and says so where it cannot.",
                );
        })
        .execute()
        .await
        .unwrap();
}

/// A database with the same table under the policy that is usually written by hand. Returns its name.
async fn database_by_hand(fixture: &Fixture, client: &ClientRecord) -> String {
    const SLUG: &str = "by-hand";
    fixture.legacy_client(SLUG, SCHEMA).await.unwrap();
    let database = fixture.database(SLUG);
    let mut admin = PgConnection::connect_with(&fixture.admin_options(&database))
        .await
        .unwrap();
    let rest = format!(
        "grant select on models to {app};
         grant select, insert, update, delete on agents, documents to {app};
         insert into agents (client_id, slug, name, description)
         select client, 'agent-' || number, 'Agent ' || number, 'Answers what it is asked, and says so where it cannot.'
         from generate_series(0, {AGENTS} - 1) number, unnest(array['{client}', gen_random_uuid()]::uuid[]) client;",
        app = fixture.app_role(),
        client = client.id,
    );
    sqlx::raw_sql(AssertSqlSafe(rest))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    database
}

const SCHEMA: &str = "
create table models (id text primary key, provider text not null, context_tokens integer not null);
create table agents (
    client_id     uuid        not null,
    id            uuid        not null default gen_random_uuid(),
    slug          text        not null check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name          text        not null check (btrim(name) <> ''),
    description   text        not null default '',
    system_prompt text        not null default '',
    model_id      text        references models (id),
    settings      jsonb       not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    primary key (client_id, id),
    unique (client_id, slug)
);
create index agents_by_age on agents (client_id, created_at, id);
create table documents (
    client_id  uuid        not null,
    id         uuid        not null default gen_random_uuid(),
    title      text        not null,
    source     text,
    content    text        not null default '',
    metadata   jsonb       not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (client_id, id)
);
create index documents_by_age on documents (client_id, created_at, id);
alter table documents enable row level security;
alter table documents force row level security;
create policy by_client on documents
    using (client_id = nullif(current_setting('app.client', true), '')::uuid)
    with check (client_id = nullif(current_setting('app.client', true), '')::uuid);
alter table agents enable row level security;
alter table agents force row level security;
create policy by_client on agents
    using (client_id = nullif(current_setting('app.client', true), '')::uuid)
    with check (client_id = nullif(current_setting('app.client', true), '')::uuid);
";
