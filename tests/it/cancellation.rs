//! Futures dropped at every point where they wait, tasks that end early, and connections that are lost: the
//! next user of the connection is unharmed.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "watches past row-level security, and is of tests alone"
)]

mod dropped;
mod lost;

use std::future::Future;
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tenantry::testing::{DelayProxy, Fixture};
use tenantry::{Binding, ClientConnectionManager, ClientRecord, ConnectionOptions, NewPool, TenantDb};
use tokio::time::timeout;
use uuid::Uuid;

use crate::pgbouncer::{PgBouncer, password};
use crate::support::{HOST, fill};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Nothing here waits this long unless it is stuck.
const STUCK: Duration = Duration::from_mins(1);

/// What the agents are called in transactions that nobody commits.
const ROLLED_BACK: &str = "rolled back";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    Pool,
    /// A pool database behind a transaction pooler, with the proxy before that.
    Pooler,
    Dedicated,
}

/// A database behind a proxy, with one connection for all; who drops futures, and who comes next.
struct Stage {
    fixture: Fixture,
    /// The pooler, and the proxy before it.
    pooler: Option<(PgBouncer, DelayProxy)>,
    manager: ClientConnectionManager,
    home: Home,
    dropper: ClientRecord,
    next: ClientRecord,
    /// To the database of both, past the proxy and row-level security.
    admin: PgPool,
}

impl Stage {
    async fn new(home: Home) -> Result<Self, Box<dyn std::error::Error>> {
        Self::on(home, Fixture::start_proxied(&HOST).await?, 1).await
    }

    async fn on(home: Home, fixture: Fixture, connections: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let pooler = match home {
            Home::Pooler => Some(register_pooler(&fixture, connections).await?),
            _ => None,
        };
        // Nobody but the client uses a dedicated database, so it comes next itself.
        let (dropper, next, database) = match home {
            Home::Pool | Home::Pooler => {
                let next = fixture.shared_client("next").await?;
                (fixture.shared_client("dropper").await?, next, "pool-1")
            }
            Home::Dedicated => {
                let client = fixture.dedicated_client("dropper").await?;
                (client.clone(), client, "dropper")
            }
        };
        let manager = manager(&fixture, connections).await?;
        let admin = PgPoolOptions::new()
            .connect_with(fixture.admin_options(&fixture.database(database)))
            .await?;
        fill(&manager.tenant(dropper.id).await?, &dropper.slug.to_string()).await?;
        if home != Home::Dedicated {
            fill(&manager.tenant(next.id).await?, &next.slug.to_string()).await?;
        }
        Ok(Self {
            fixture,
            pooler,
            manager,
            home,
            dropper,
            next,
            admin,
        })
    }

    fn proxy(&self) -> &DelayProxy {
        match &self.pooler {
            Some((_, proxy)) => proxy,
            None => self.fixture.proxy().expect("the fixture is proxied"),
        }
    }

    async fn dropper(&self) -> tenantry::Result<TenantDb> {
        self.manager.tenant(self.dropper.id).await
    }

    /// The next user of the one connection writes, which must last, and reads, which must be its own.
    async fn next_user_is_unharmed(&self, manager: &ClientConnectionManager, after: &str) -> Outcome {
        let next = self.next.id;
        let slug = format!("n{}", Uuid::new_v4().simple());
        let work = async {
            let db = manager.tenant(next).await?;
            let insert = db.insert("agents").set("slug", slug.as_str()).set("name", "x");
            assert_eq!(insert.execute().await?, 1, "{after}");
            // Seen by its own connection alone, were it written inside somebody's open transaction.
            let owner: Option<Uuid> =
                sqlx::query_scalar("delete from agents where slug = $1 returning client_id")
                    .bind(&slug)
                    .fetch_optional(&self.admin)
                    .await?;
            assert_eq!(
                owner,
                Some(next.as_uuid()),
                "{after}: the next user's write lasts"
            );

            let mut tx = db.begin().await?;
            let foreign: i64 = sqlx::query_scalar("select count(*) from agents where client_id <> $1")
                .bind(next)
                .fetch_one(&mut tx)
                .await?;
            tx.commit().await?;
            assert_eq!(foreign, 0, "{after}: rows of another client are seen");
            let committed: i64 = sqlx::query_scalar("select count(*) from agents where name = $1")
                .bind(ROLLED_BACK)
                .fetch_one(&self.admin)
                .await?;
            assert_eq!(committed, 0, "{after}: the next user committed what was dropped");
            Ok::<_, Box<dyn std::error::Error>>(())
        };
        timeout(STUCK, work)
            .await
            .map_err(|_| format!("{after}: the next user is stuck"))?
            .map_err(|error| format!("{after}: {error:?}"))?;
        self.no_transaction_stays_open(after).await
    }

    /// Connections that were closed end on the server a little later.
    async fn no_transaction_stays_open(&self, after: &str) -> Outcome {
        let open = "select count(*) from pg_stat_activity
                    where datname = current_database() and usename = $1 and state like 'idle in transaction%'";
        let ended = async {
            loop {
                let open: i64 = sqlx::query_scalar(open)
                    .bind(self.fixture.app_role())
                    .fetch_one(&self.admin)
                    .await?;
                if open == 0 {
                    return Ok::<_, sqlx::Error>(());
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(STUCK, ended)
            .await
            .map_err(|_| format!("{after}: a transaction stays open"))??;
        Ok(())
    }

    async fn close(self) -> Outcome {
        self.admin.close().await;
        timeout(STUCK, self.manager.close()).await?;
        drop(self.pooler);
        self.fixture.close().await;
        Ok(())
    }
}

/// Places clients behind a pooler with as many connections to the server, and behind a proxy.
async fn register_pooler(
    fixture: &Fixture,
    connections: u32,
) -> Result<(PgBouncer, DelayProxy), Box<dyn std::error::Error>> {
    let database = fixture.database("pool-1");
    fixture.platform().set_pool_active(fixture.pool(), false).await?;
    let pooler = PgBouncer::before(fixture, usize::try_from(connections)?).await?;
    let pooler = pooler.ok_or("there is no pgbouncer")?;
    let direct = fixture.server().url_as(
        fixture.app_role(),
        &password(&fixture.app_url(&database))?,
        &database,
    );
    let (proxy, app_url) = pooler.proxied(&direct).await?;
    let pool = NewPool::new("pooled", app_url, fixture.admin_url(&database)).binding(Binding::Transaction);
    fixture.platform().register_pool(pool).await?;
    Ok((pooler, proxy))
}

async fn manager(
    fixture: &Fixture,
    connections: u32,
) -> Result<ClientConnectionManager, Box<dyn std::error::Error>> {
    let options = fixture
        .manager_options()
        .pool_connections(
            ConnectionOptions::default()
                .max_connections(connections)
                .max_client_share(connections),
        )
        .dedicated_pool(PgPoolOptions::new().max_connections(connections));
    Ok(ClientConnectionManager::connect(options).await?)
}

/// What is held is let go only when the next has begun, so that it queues up behind.
async fn released_beside<T>(proxy: &DelayProxy, next: impl Future<Output = T>) -> T {
    let release = async {
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        proxy.resume_requests();
        proxy.resume();
    };
    tokio::join!(next, release).0
}

/// Also where the statements of one connection run in whatever session a pooler has.
macro_rules! on_all_homes {
    ($($test:ident),+ $(,)?) => {
        super::on_both_homes![$($test),+];
        mod behind_a_pooler {
            $(#[tokio::test]
            async fn $test() -> super::Outcome {
                if crate::pgbouncer::PgBouncer::is_left_out() {
                    return Ok(());
                }
                super::$test(super::Home::Pooler).await
            })+
        }
    };
}
use on_all_homes;

macro_rules! on_both_homes {
    ($($test:ident),+ $(,)?) => {
        mod on_a_pool_database {
            $(#[tokio::test]
            async fn $test() -> super::Outcome {
                super::$test(super::Home::Pool).await
            })+
        }
        mod on_a_dedicated_database {
            $(#[tokio::test]
            async fn $test() -> super::Outcome {
                super::$test(super::Home::Dedicated).await
            })+
        }
    };
}
use on_both_homes;
