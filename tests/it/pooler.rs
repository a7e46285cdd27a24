//! The transaction binding, behind a PgBouncer in transaction mode: one server connection serves client after
//! client, in the middle of a session that none of them owns.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "sends a host's own statements, in tasks of its own, and watches past row-level security"
)]

mod attacks;
mod mixed;

use sqlx::{Connection as _, PgConnection};
use std::time::Duration;
use tenantry::testing::Fixture;
use tenantry::{Binding, ClientConnectionManager, ConnectionOptions, NewPool, TenantDb, TenantTx};

use crate::pgbouncer::PgBouncer;
use crate::residue::{Pair, Processes};
use crate::sql::until;
use crate::support::{HOST, Reply, ask, ask_alone, fill};

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

/// A pool database that clients reach through a pooler alone.
struct Behind {
    fixture: Fixture,
    pooler: PgBouncer,
}

impl Behind {
    /// With so many server connections. `None` where the tests are to go without a pooler.
    async fn new(connections: usize) -> Result<Option<Self>, Failure> {
        let fixture = Fixture::start(&HOST).await?;
        let Some(pooler) = PgBouncer::before(&fixture, connections).await? else {
            return Ok(None);
        };
        // The same database once more: all clients are placed in the pool that is behind the pooler.
        let database = fixture.database("pool-1");
        fixture.platform().set_pool_active(fixture.pool(), false).await?;
        let app_url = pooler.url(&fixture.app_url(&database))?;
        let pool =
            NewPool::new("pooled", app_url, fixture.admin_url(&database)).binding(Binding::Transaction);
        fixture.platform().register_pool(pool).await?;
        Ok(Some(Self { fixture, pooler }))
    }

    /// A process with so many connections to the pooler.
    async fn process(&self, connections: u32) -> Result<ClientConnectionManager, Failure> {
        let options = ConnectionOptions::default().max_connections(connections);
        self.process_with(options).await
    }

    async fn process_with(&self, options: ConnectionOptions) -> Result<ClientConnectionManager, Failure> {
        let options = self.fixture.manager_options().pool_connections(options);
        Ok(ClientConnectionManager::connect(options).await?)
    }

    /// A new client with a row in every tenant table, in whose texts is its name.
    async fn client(&self, manager: &ClientConnectionManager, slug: &str) -> Result<TenantDb, Failure> {
        let client = self.fixture.shared_client(slug).await?;
        let db = manager.tenant(client.id).await?;
        fill(&db, slug).await?;
        Ok(db)
    }

    /// Sees the pool database past row-level security, and past the pooler.
    async fn admin(&self) -> sqlx::Result<PgConnection> {
        let database = self.fixture.database("pool-1");
        PgConnection::connect_with(&self.fixture.admin_options(&database)).await
    }

    async fn superuser(&self) -> sqlx::Result<PgConnection> {
        let database = self.fixture.database("pool-1");
        PgConnection::connect_with(&self.fixture.server().connect_options(&database)).await
    }

    async fn close(self) {
        drop(self.pooler);
        self.fixture.close().await;
    }
}

/// The transaction's server process.
async fn backend(tx: &mut TenantTx) -> Reply {
    ask(tx, "select pg_backend_pid()::text").await
}

#[tokio::test]
async fn the_next_transaction_finds_nothing_of_the_one_before() -> Outcome {
    for processes in [Processes::One, Processes::Two] {
        let Some(Behind { fixture, pooler }) = Behind::new(1).await? else {
            return Ok(());
        };
        Box::pin(Pair::on(fixture, processes).await?.finds_nothing()).await?;
        drop(pooler);
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_dies_in_a_transaction_leaves_nothing_bound() -> Outcome {
    let Some(behind) = Behind::new(1).await? else {
        return Ok(());
    };
    let manager = behind.process(1).await?;
    let (dying, next) = (
        behind.client(&manager, "dying").await?,
        behind.client(&manager, "next").await?,
    );
    let mut admin = behind.admin().await?;

    for round in 0..3 {
        // A process that ends: nobody rolls back, its socket closes.
        let (options, id) = (behind.fixture.manager_options(), dying.client().id);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let (manager, tx) = runtime.block_on(async {
                let manager = ClientConnectionManager::connect(options).await.unwrap();
                let mut tx = manager.tenant(id).await.unwrap().begin().await.unwrap();
                leave_much(&mut tx).await;
                (manager, tx)
            });
            drop(runtime);
            drop((tx, manager));
        })
        .join()
        .unwrap();
        finds_nothing(&next, &mut admin, &format!("a process that ended, {round}")).await?;

        // A task that is aborted while its transaction waits.
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let db = dying.clone();
        let task = tokio::spawn(async move {
            let mut tx = db.begin().await.unwrap();
            leave_much(&mut tx).await;
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        is_begun.await?;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        finds_nothing(&next, &mut admin, &format!("a task that was aborted, {round}")).await?;

        // The server process ends under it.
        let mut tx = dying.begin().await?;
        leave_much(&mut tx).await;
        let Reply::Rows(pid) = backend(&mut tx).await else {
            return Err("no backend".into());
        };
        let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1, 30000)")
            .bind(pid[0].parse::<i32>()?)
            .fetch_one(&mut behind.superuser().await?)
            .await?;
        assert!(ended);
        assert!(tx.commit().await.is_err());
        finds_nothing(
            &next,
            &mut admin,
            &format!("a server process that ended, {round}"),
        )
        .await?;
    }
    admin.close().await?;
    manager.close().await;
    behind.close().await;
    Ok(())
}

/// Rows, a setting and a lock, in a transaction that nobody ends.
async fn leave_much(tx: &mut TenantTx) {
    for sql in [
        "insert into agents (slug, name) values ('half-done', 'x') returning slug",
        "select set_config('app.note', 'hers', false)",
        "select pg_advisory_lock(4242)::text",
    ] {
        let left = ask(tx, sql).await;
        assert!(matches!(left, Reply::Rows(_)), "{sql}: {left:?}");
    }
}

async fn finds_nothing(next: &TenantDb, admin: &mut PgConnection, after: &str) -> Outcome {
    // A session that its pooler closes ends in its own time.
    until(
        admin,
        "select not exists (select from pg_locks where locktype = 'advisory' and objid = 4242
             and database = (select oid from pg_database where datname = current_database()))",
    )
    .await;
    assert_eq!(next.query("agents").count().await?, 1, "{after}");
    let mut tx = next.begin().await?;
    for (sql, expected) in [
        ("select slug from agents", "guide"),
        ("select name from agents", "agent of next"),
        ("select coalesce(current_setting('app.note', true), '')", ""),
    ] {
        assert_eq!(ask(&mut tx, sql).await, Reply::one(expected), "{after}: {sql}");
    }
    tx.commit().await?;
    let half_done: i64 = sqlx::query_scalar("select count(*) from agents where slug = 'half-done'")
        .fetch_one(admin)
        .await?;
    assert_eq!(half_done, 0, "{after}");
    Ok(())
}

const SHOWN: &str = "select concat_ws(' ', current_setting('search_path'), current_setting('row_security'),
    current_setting('transaction_isolation'), current_setting('transaction_read_only'),
    current_setting('statement_timeout'), current_setting('plan_cache_mode'),
    current_setting('application_name'), current_setting('timezone'), current_setting('datestyle'),
    current_setting('client_encoding'))";

#[tokio::test]
async fn the_settings_of_the_pool_are_in_force_whatever_the_server_connection_has() -> Outcome {
    let Some(behind) = Behind::new(1).await? else {
        return Ok(());
    };
    let options = ConnectionOptions::default()
        .max_connections(2)
        .statement_timeout(Duration::from_millis(4321));
    let manager = behind.process_with(options).await?;
    let (acme, bolt) = (
        behind.client(&manager, "acme").await?,
        behind.client(&manager, "bolt").await?,
    );
    let expected = Reply::one("public on read committed off 4321ms auto tenantry UTC ISO, MDY UTF8");
    assert_eq!(ask_alone(&acme, SHOWN).await?, expected);

    // What the role stores for itself is what a new server connection begins with, and what RESET goes back to.
    let mut superuser = behind.superuser().await?;
    for setting in [
        "search_path = evil, public",
        "row_security = off",
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "statement_timeout = 12345",
        "plan_cache_mode = force_generic_plan",
        "application_name = evil",
        "timezone = 'Pacific/Apia'",
        "datestyle = 'German'",
    ] {
        let store = format!(
            "alter role {} in database \"{}\" set {setting}",
            behind.fixture.app_role(),
            behind.fixture.database("pool-1")
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(store))
            .execute(&mut superuser)
            .await?;
    }
    sqlx::query(
        "select pg_terminate_backend(pid, 30000) from pg_stat_activity
         where usename = $1 and datname = current_database()",
    )
    .bind(behind.fixture.app_role())
    .execute(&mut superuser)
    .await?;
    for round in 0..3 {
        for db in [&acme, &bolt] {
            let mut tx = db.begin().await?;
            assert_eq!(ask(&mut tx, SHOWN).await, expected, "{round}");
            // The transaction's own, and gone with it.
            for change in [
                "select set_config('statement_timeout', '60000', true)",
                "select set_config('timezone', 'Asia/Tokyo', false)",
                "select set_config('application_name', 'hers', false)",
            ] {
                assert!(matches!(ask(&mut tx, change).await, Reply::Rows(_)), "{round}");
            }
            if round == 1 {
                tx.rollback().await?;
            } else {
                tx.commit().await?;
            }
            assert_eq!(db.query("agents").count().await?, 1, "{round}");
        }
    }
    superuser.close().await?;
    manager.close().await;
    behind.close().await;
    Ok(())
}

#[tokio::test]
async fn a_statement_by_itself_ends_at_the_statement_timeout() -> Outcome {
    let Some(behind) = Behind::new(2).await? else {
        return Ok(());
    };
    let options = ConnectionOptions::default().statement_timeout(Duration::from_secs(2));
    let manager = behind.process_with(options).await?;
    let acme = behind.client(&manager, "acme").await?;
    let mut admin = behind.admin().await?;
    let mut lock = admin.begin().await?;
    sqlx::query("lock table agents in access exclusive mode")
        .execute(&mut *lock)
        .await?;
    let error = acme.query("agents").count().await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("57014"), "{error:?}");
    lock.rollback().await?;
    assert_eq!(acme.query("agents").count().await?, 1);
    admin.close().await?;
    manager.close().await;
    behind.close().await;
    Ok(())
}

#[tokio::test]
async fn the_first_statement_of_a_connection_may_answer_with_any_type() -> Outcome {
    let Some(behind) = Behind::new(1).await? else {
        return Ok(());
    };
    let manager = behind.process(1).await?;
    let acme = behind.client(&manager, "acme").await?.client().id;
    manager.close().await;
    for statement in [
        "embedding",
        "array[embedding]",
        "embedding::halfvec(1024)",
        "to_tsvector('simple', content)",
    ] {
        // sqlx has seen none of its types.
        let manager = behind.process(1).await?;
        let mut tx = manager.tenant(acme).await?.begin().await?;
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {statement} from document_chunks"
        )))
        .fetch_all(&mut tx)
        .await?;
        assert_eq!(rows.len(), 1, "{statement}");
        tx.commit().await?;
        manager.close().await;
    }
    behind.close().await;
    Ok(())
}
