//! Processes with stale routes write while their client is moved to and fro: nothing lands where it left.
#![expect(
    clippy::disallowed_methods,
    reason = "a host's own statements, and an operator's"
)]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{SecretBox, SecretString};
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ConnectionOptions, Following, Isolation, Keyring, ManagerOptions,
    NewClient, NewPool, PlatformDirectory, PoolId, TenantDb, TransactionOptions,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::private_server::{helper_of, this_program};
use crate::sql::{PATIENCE, connect, rows, run};
use crate::support::HOST;

const PLATFORM: &str = "TENANTRY_TEST_PLATFORM";
const CLIENT: &str = "TENANTRY_TEST_CLIENT";

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Autocommit,
    In(Isolation),
}

const WAYS: [Way; 4] = [
    Way::Autocommit,
    Way::In(Isolation::ReadCommitted),
    Way::In(Isolation::RepeatableRead),
    Way::In(Isolation::Serializable),
];

fn keyring() -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([7; 32])))
}

/// Two pool databases and a client that is in one of them at a time.
struct Town {
    fixture: Fixture,
    platform: PlatformDirectory,
    pools: [PoolId; 2],
    client: ClientId,
    admins: [PgConnection; 2],
    catalogue: PgConnection,
    epoch: i64,
}

impl Town {
    async fn found() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        fixture.add_pool("pool-2", 10).await.unwrap();
        let databases = ["pool-1", "pool-2"].map(|name| fixture.database(name));
        let platform_database = fixture.database("platform");
        let mut catalogue = connect(fixture.admin_options(&platform_database)).await;
        run(&mut catalogue, "update platform.pools set active = false").await;
        // Sealed with a key that the other processes have as well.
        let url = SecretString::from(fixture.admin_url(&platform_database));
        let platform = PlatformDirectory::connect(&url, keyring()).await.unwrap();
        let mut pools = [PoolId::new(); 2];
        for (number, database) in databases.iter().enumerate() {
            let pool = NewPool::new(
                format!("town-{number}"),
                fixture.app_url(database),
                fixture.admin_url(database),
            );
            pools[number] = platform.register_pool(pool).await.unwrap();
        }
        let mover = NewClient::new("Mover", "mover".parse().unwrap(), "adventurer");
        let client = platform.create_client(mover).await.unwrap();
        Self {
            admins: [
                connect(fixture.admin_options(&databases[0])).await,
                connect(fixture.admin_options(&databases[1])).await,
            ],
            fixture,
            platform,
            pools,
            client: client.id,
            catalogue,
            epoch: client.epoch,
        }
    }

    /// Moves the client from where it is, by the locks that a relocation uses. Rows stay where they were written.
    async fn flip(&mut self, from: usize) {
        let (client, to) = (self.client, 1 - from);
        let place =
            |state: &str, epoch: i64| format!("select tenantry.place('{client}', '{state}', {epoch})");
        // Half of the time writers are held off first; the other half, the flip is all they see.
        if self.epoch % 4 < 2 {
            run(&mut self.admins[from], &place("fenced", self.epoch)).await;
        }
        run(&mut self.admins[from], &place("moved", self.epoch)).await;
        self.epoch += 1;
        run(&mut self.admins[to], &place("active", self.epoch)).await;
        let update = format!(
            "update platform.clients set pool_id = '{}', epoch = {} where id = '{client}'",
            self.pools[to], self.epoch
        );
        run(&mut self.catalogue, &update).await;
    }

    async fn slugs(&mut self, at: usize) -> Vec<String> {
        let found: Vec<(String,)> = rows(&mut self.admins[at], "select slug from agents").await;
        found.into_iter().map(|(slug,)| slug).collect()
    }

    async fn close(self) {
        self.platform.close().await;
        self.fixture.close().await;
    }
}

/// Another process that writes until it is let go.
struct Writer {
    child: Child,
}

impl Writer {
    /// What it wrote comes through the channel, a row at a time: who, and by which way.
    fn start(
        town: &Town,
        number: usize,
        wrote: mpsc::UnboundedSender<(usize, Result<usize, String>)>,
    ) -> Self {
        let mut child = helper_of(module_path!(), &this_program())
            .env(
                PLATFORM,
                town.fixture.admin_url(&town.fixture.database("platform")),
            )
            .env(CLIENT, town.client.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in answers.lines().map_while(Result::ok) {
                let said = match line.split_once(' ') {
                    Some(("wrote", way)) => Ok(way.parse().unwrap()),
                    Some(("failed", why)) => Err(why.to_owned()),
                    _ => continue,
                };
                if wrote.send((number, said)).is_err() {
                    return;
                }
            }
        });
        Self { child }
    }

    fn let_go(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: a process that has one handle and goes on with it, wherever its client is.
#[tokio::test]
#[ignore = "the other process of another test"]
async fn helper_process() {
    let (Ok(platform), Ok(client)) = (std::env::var(PLATFORM), std::env::var(CLIENT)) else {
        return;
    };
    let let_go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&let_go);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let options = ManagerOptions::new(platform, keyring())
        .record_ttl(Duration::from_hours(1))
        // Nobody tells it that the client has left.
        .following(Following::default().polling().poll_every(Duration::from_hours(1)))
        .pool_connections(ConnectionOptions::default().max_connections(3));
    let manager = ClientConnectionManager::connect(options).await.unwrap();
    let client = ClientId::from(client.parse::<uuid::Uuid>().unwrap());
    let db = manager.tenant(client).await.unwrap();
    let process = std::process::id();
    let mut written = 0;
    while !let_go.load(Ordering::Relaxed) {
        for (number, way) in WAYS.into_iter().enumerate() {
            written += 1;
            match write(&db, way, &format!("{process}-{written}")).await {
                // A line of its own, whatever the runner has printed before it.
                Ok(()) => println!("\nwrote {number}"),
                Err(error) if error.is_retryable() => {}
                Err(error) => println!("\nfailed {way:?}: {error:?}"),
            }
        }
    }
    manager.close().await;
}

async fn write(db: &TenantDb, way: Way, slug: &str) -> tenantry::Result<()> {
    match way {
        Way::Autocommit => {
            let agent = db.insert("agents").set("slug", slug).set("name", "x");
            agent.execute().await.map(drop)
        }
        Way::In(isolation) => {
            let options = TransactionOptions::default().isolation(isolation);
            let mut tx = db.begin_with(options).await?;
            sqlx::query("insert into agents (slug, name) values ($1, 'x')")
                .bind(slug)
                .execute(&mut tx)
                .await
                .map_err(|error| tenantry::Error::from_sqlx(db.client().id, error))?;
            tx.commit().await
        }
    }
}

/// Moves the client so often, with writers in other processes, and returns how many rows landed where it had left
/// and how many were written at all.
async fn strays(town: &mut Town, flips: usize) -> (usize, usize) {
    let (wrote, mut written) = mpsc::unbounded_channel();
    let writers: Vec<Writer> = (0..2)
        .map(|number| Writer::start(town, number, wrote.clone()))
        .collect();
    drop(wrote);
    let (mut strays, mut total) = (0, 0);
    // How many rows were in each database when the client left it.
    let mut left = [0; 2];
    for flip in 0..=flips {
        // What they wrote before the flip may be heard after it: every writer is heard in every way, and again.
        for _ in 0..2 {
            while let Ok((_, said)) = written.try_recv() {
                said.unwrap();
                total += 1;
            }
            let mut silent: HashSet<(usize, usize)> = (0..writers.len())
                .flat_map(|writer| (0..WAYS.len()).map(move |way| (writer, way)))
                .collect();
            while !silent.is_empty() {
                let (writer, said) = timeout(PATIENCE, written.recv()).await.unwrap().unwrap();
                silent.remove(&(writer, said.unwrap()));
                total += 1;
            }
        }
        if flip == flips {
            break;
        }
        let from = flip % 2;
        strays += town.slugs(1 - from).await.len() - left[1 - from];
        town.flip(from).await;
        left[from] = town.slugs(from).await.len();
    }
    for writer in writers {
        writer.let_go();
    }
    while let Some((_, said)) = written.recv().await {
        said.unwrap();
        total += 1;
    }
    let last = 1 - flips % 2;
    strays += town.slugs(last).await.len() - left[last];
    (strays, total)
}

#[tokio::test]
async fn no_write_of_any_process_lands_where_the_client_has_left() {
    let mut town = Town::found().await;
    let flips = if std::env::var_os("TENANTRY_LONG").is_some() {
        500
    } else {
        16
    };
    let (strays, written) = strays(&mut town, flips).await;
    assert_eq!(strays, 0);
    // What was acknowledged is there once, and what was refused is not.
    let mut slugs = town.slugs(0).await;
    slugs.extend(town.slugs(1).await);
    assert_eq!(slugs.len(), written);
    assert_eq!(slugs.iter().collect::<HashSet<_>>().len(), written);
    town.close().await;
}

#[tokio::test]
async fn without_the_fence_writes_land_where_the_client_has_left() {
    let mut town = Town::found().await;
    for admin in &mut town.admins {
        run(
            admin,
            "create or replace function tenantry.current_client() returns uuid
             language sql volatile parallel restricted security definer set search_path = pg_catalog, pg_temp
             return (select client_id from tenantry.placement);
             create or replace function tenantry.leave(p_ticket text) returns void language sql return null;
             do $do$ begin
                 execute replace(replace(replace(pg_get_functiondef('tenantry.enter(text)'::regprocedure),
                     $$v_epoch <> ('x' || substr(p_ticket, 41, 16))::bit(64)::bigint$$, 'false'),
                     $$v_state in ('incoming', 'standby', 'moved')$$, 'false'),
                     $$v_state = 'fenced'$$, 'false');
             end $do$",
        )
        .await;
    }
    let (strays, _) = strays(&mut town, 1).await;
    assert!(strays > 0);
    town.close().await;
}
