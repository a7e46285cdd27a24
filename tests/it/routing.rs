//! Where a client's statements go, what happens where they cannot, and what is open meanwhile.
#![expect(clippy::disallowed_methods, reason = "asks where a statement arrived")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use futures_util::poll;
use secrecy::{SecretBox, SecretString};
use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, ClientRecord, ClientRef, ClientStatus, ConnectionOptions, Directory,
    Error, ErrorKind, Isolation, Keyring, ManagerOptions, NewClient, NewPool, PlatformDirectory, PoolId,
    PoolRecord, Result, SealedFor, TenantDb, TransactionOptions,
};

use crate::sql::{PATIENCE, connect, one, run, until};
use crate::support::{HOST, embedding};

type Outcome = std::result::Result<(), Box<dyn std::error::Error>>;

/// A superuser's connection to a database that no test is about.
async fn watcher(fixture: &Fixture) -> PgConnection {
    connect(fixture.server().connect_options("postgres")).await
}

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

/// How many sessions of the app role the database has.
async fn sessions(watcher: &mut PgConnection, fixture: &Fixture, database: &str) -> i64 {
    one(watcher, &counted(fixture, database)).await
}

fn counted(fixture: &Fixture, database: &str) -> String {
    format!(
        "select count(*) from pg_stat_activity where datname = '{}' and usename = '{}'",
        fixture.database(database),
        fixture.app_role()
    )
}

/// Waits until the app role has left the database.
async fn deserted(watcher: &mut PgConnection, fixture: &Fixture, database: &str) {
    until(watcher, &format!("select ({}) = 0", counted(fixture, database))).await;
}

async fn connected(options: ManagerOptions) -> ClientConnectionManager {
    ClientConnectionManager::connect(options).await.unwrap()
}

/// The database that statements of the handle reach.
async fn reached(db: &TenantDb) -> Result<String> {
    let mut tx = db.begin().await?;
    let name = sqlx::query_scalar("select current_database()::text")
        .fetch_one(&mut tx)
        .await
        .unwrap();
    tx.commit().await?;
    Ok(name)
}

// Who is served.

#[tokio::test]
async fn every_name_of_a_client_leads_to_it_and_others_to_nobody() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let id = ClientId::new();
    let client = NewClient::new("Acme", "acme".parse()?, "adventurer")
        .id(id)
        .external_ref("CRM/42".parse()?)
        .domain("acme.example".parse()?);
    fixture.platform().create_client(client).await?;
    let names: [ClientRef; 4] = [
        id.into(),
        ClientRef::Slug("acme".parse()?),
        ClientRef::External("CRM/42".parse()?),
        ClientRef::Domain("acme.example".parse()?),
    ];
    for name in &names {
        let db = manager.tenant(name).await?;
        assert_eq!(db.client().id, id, "{name}");
        assert_eq!(db.query("agents").count().await?, 0, "{name}");
    }
    let strangers: [ClientRef; 5] = [
        ClientId::new().into(),
        ClientRef::Slug("acm".parse()?),
        ClientRef::External("crm/42".parse()?),
        ClientRef::External("acme".parse()?),
        ClientRef::Domain("www.acme.example".parse()?),
    ];
    for name in &strangers {
        let error = manager.tenant(name).await.unwrap_err();
        assert!(
            matches!(&error, Error::UnknownClient { client } if client == name),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Client);
        assert!(error.to_string().contains(&name.to_string()), "{error}");
    }
    // A deleted client is unknown by every name.
    let mut conn = platform_connection(&fixture).await;
    run(&mut conn, "update platform.clients set deleted_at = now()").await;
    let afresh = fixture.manager().await?;
    for name in &names {
        let error = afresh.tenant(name).await.unwrap_err();
        assert!(matches!(error, Error::UnknownClient { .. }), "{error:?}");
    }
    manager.close().await;
    afresh.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_is_not_active_is_not_served() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    for id in [
        fixture.shared_client("acme").await?.id,
        fixture.dedicated_client("vast").await?.id,
    ] {
        for status in [
            ClientStatus::Provisioning,
            ClientStatus::Suspended,
            ClientStatus::Archived,
        ] {
            fixture.platform().set_status(id, status).await?;
            let error = manager.tenant(id).await.unwrap_err();
            assert!(
                matches!(&error, Error::NotServed { client, status: found } if (*client, *found) == (id, status)),
                "{status}: {error:?}"
            );
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Client, false));
        }
        // The refusal is not remembered.
        fixture.platform().set_status(id, ClientStatus::Active).await?;
        assert_eq!(manager.tenant(id).await?.query("agents").count().await?, 0);
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_pool_that_takes_no_new_clients_serves_those_it_has() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    fixture.platform().set_pool_active(fixture.pool(), false).await?;
    let manager = fixture.manager().await?;
    assert_eq!(manager.tenant(acme.id).await?.query("agents").count().await?, 0);
    let bolt = NewClient::new("Bolt", "bolt".parse()?, "adventurer");
    let error = fixture.platform().create_client(bolt.clone()).await.unwrap_err();
    assert!(
        matches!(&error, Error::NoPoolWithRoom { slug } if slug == "bolt"),
        "{error:?}"
    );
    let nobody = manager
        .tenant(ClientRef::Slug("bolt".parse()?))
        .await
        .unwrap_err();
    assert!(matches!(nobody, Error::UnknownClient { .. }), "{nobody:?}");
    fixture.platform().set_pool_active(fixture.pool(), true).await?;
    let bolt = fixture.platform().create_client(bolt).await?;
    assert_eq!(manager.tenant(bolt.id).await?.query("agents").count().await?, 0);
    manager.close().await;
    Ok(())
}

// Where the platform is not in order.

/// A directory of the host's own that has lost what the platform's rules would have kept.
#[derive(Debug)]
struct Forgetful(PlatformDirectory);

#[async_trait]
impl Directory for Forgetful {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        let mut record = self.0.client(client).await?;
        if let Some(record) = &mut record {
            record.connection = None;
        }
        Ok(record)
    }

    async fn pool(&self, _: PoolId) -> Result<Option<PoolRecord>> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_missing_credential_or_pool_is_named() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let acme = fixture.shared_client("acme").await?.id;
    let directory = Arc::new(Forgetful(fixture.platform().clone()));
    let manager = ClientConnectionManager::with_directory(directory, fixture.manager_options());
    for (client, owner, what) in [
        (vast, format!("client {vast}"), "clients.app_connection"),
        (acme, format!("pool {}", fixture.pool()), "record"),
    ] {
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::MissingCredential { owner: o, what: w } if *o == owner && w == what),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Installation);
    }
    manager.close().await;
    Ok(())
}

fn keyring(byte: u8) -> Keyring {
    Keyring::new(1, SecretBox::new(Box::new([byte; 32])))
}

#[tokio::test]
async fn a_manager_with_another_key_opens_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let acme = fixture.shared_client("acme").await?.id;
    let platform = fixture.admin_url(&fixture.database("platform"));
    let manager = connected(ManagerOptions::new(platform, keyring(9))).await;
    for (client, owner) in [
        (vast, format!("client {vast}")),
        (acme, format!("pool {}", fixture.pool())),
    ] {
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(&error, Error::WrongKey { owner: o, .. } if *o == owner),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Installation);
    }
    let mut watcher = watcher(&fixture).await;
    assert_eq!(sessions(&mut watcher, &fixture, "pool-1").await, 0);
    assert_eq!(sessions(&mut watcher, &fixture, "vast").await, 0);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_affects_its_own_clients_alone() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let near = [
        fixture.shared_client("acme").await?.id,
        fixture.dedicated_client("vast").await?.id,
    ];
    // A port that nobody listens on, a socket that is not there, a database that is not.
    let gone = fixture.app_url(&fixture.database("gone"));
    let urls = [
        "postgres://app:planted@127.0.0.1:1/x",
        "postgres://app:planted@localhost/x?host=/nowhere",
        gone.as_str(),
    ];
    let mut far = Vec::new();
    for (number, url) in urls.into_iter().enumerate() {
        let client = NewClient::new("Far", format!("far-{number}").parse()?, "champion").dedicated(url, url);
        let id = platform.create_client(client).await?.id;
        far.push((id, format!("dedicated database of client {id}")));

        platform.set_pool_active(fixture.pool(), false).await?;
        let admin = fixture.admin_url(&fixture.database("pool-1"));
        let name = format!("lost-{number}");
        let pool = platform.register_pool(NewPool::new(&name, url, admin)).await?;
        let id = fixture.shared_client(&name).await?.id;
        far.push((id, format!("pool database {name} ({pool})")));
        platform.set_pool_active(pool, false).await?;
    }
    let manager = connected(
        fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().connect_timeout(Duration::from_secs(1)))
            .dedicated_pool(PgPoolOptions::new().acquire_timeout(Duration::from_secs(1))),
    )
    .await;
    let ask = async |id| manager.tenant(id).await?.query("agents").count().await;
    let (unreachable, reachable) = tokio::join!(
        join_all(far.iter().map(|(id, _)| ask(*id))),
        join_all(near.iter().map(|id| ask(*id)))
    );
    for (outcome, (_, named)) in unreachable.into_iter().zip(&far) {
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, Error::Unreachable { database, .. } if database == named),
            "{named}: {error:?}"
        );
        assert!(error.is_retryable());
        assert!(!format!("{error} {error:?}").contains("planted"), "{error:?}");
    }
    for outcome in reachable {
        assert_eq!(outcome?, 0);
    }
    // What failed holds no room.
    assert_eq!(manager.open_dedicated_pools(), 1);
    manager.close().await;
    Ok(())
}

// Opening.

#[tokio::test]
async fn a_database_is_opened_once_under_concurrency() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut clients = vec![fixture.dedicated_client("vast").await?];
    for number in 0..4 {
        clients.push(fixture.shared_client(&format!("acme-{number}")).await?);
    }
    let mut watcher = watcher(&fixture).await;
    let databases = [fixture.database("pool-1"), fixture.database("vast")];
    let quiet = format!(
        "select not exists (select from pg_stat_activity where datname in ('{}', '{}'))",
        databases[0], databases[1]
    );
    // Sessions are counted when they have ended.
    until(&mut watcher, &quiet).await;
    let mut began = async || {
        let mut counts = Vec::new();
        for database in &databases {
            let sql = format!("select sessions from pg_stat_database where datname = '{database}'");
            counts.push(one::<i64>(&mut watcher, &sql).await);
        }
        counts
    };
    let before = began().await;
    let manager = connected(
        fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().max_connections(2))
            .dedicated_pool(PgPoolOptions::new().max_connections(2)),
    )
    .await;
    let asked = join_all((0..100).map(|number| {
        let (manager, client) = (&manager, &clients[number % clients.len()]);
        async move {
            let name = match number % 2 {
                0 => ClientRef::Id(client.id),
                _ => ClientRef::Slug(client.slug.clone()),
            };
            manager.tenant(name).await?.query("agents").count().await
        }
    }))
    .await;
    for outcome in asked {
        assert_eq!(outcome?, 0);
    }
    assert_eq!(manager.open_dedicated_pools(), 1);
    manager.close().await;
    drop(manager);
    let mut watcher = connect(fixture.server().connect_options("postgres")).await;
    until(&mut watcher, &quiet).await;
    let after = began().await;
    // A pool database is found safe by a session of its own.
    let most = [3, 2];
    for (database, (most, (before, after))) in databases
        .iter()
        .zip(most.into_iter().zip(before.iter().zip(&after)))
    {
        let opened = after - before;
        assert!((1..=most).contains(&opened), "{database}: {opened} sessions");
    }
    Ok(())
}

#[tokio::test]
async fn all_names_of_a_client_share_one_pool() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let vast = fixture.dedicated_client("vast").await?;
    let manager = connected(
        fixture
            .manager_options()
            .dedicated_pool(PgPoolOptions::new().max_connections(1)),
    )
    .await;
    let by_id = manager.tenant(vast.id).await?;
    let by_slug = manager.tenant(vast.slug.clone()).await?;
    assert_eq!(manager.open_dedicated_pools(), 0, "opened before its first use");
    for db in [&by_id, &by_slug] {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    assert_eq!(manager.open_dedicated_pools(), 1);
    let mut watcher = watcher(&fixture).await;
    assert_eq!(sessions(&mut watcher, &fixture, "vast").await, 1);
    manager.close().await;
    Ok(())
}

// Bounded.

#[tokio::test]
async fn the_least_recently_used_pool_makes_room_and_opens_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = connected(fixture.manager_options().max_dedicated_pools(2)).await;
    let mut watcher = watcher(&fixture).await;
    let mut dbs = Vec::new();
    for slug in ["a", "b", "c"] {
        let client = fixture.dedicated_client(slug).await?;
        dbs.push(manager.tenant(client.id).await?);
    }
    // Used in this order; then who has a pool open, of a, b and c.
    for (used, open) in [
        (0, "a"),
        (1, "ab"),
        (0, "ab"),
        (2, "ac"),
        (1, "bc"),
        (0, "ab"),
        (1, "ab"),
        (2, "bc"),
    ] {
        assert_eq!(dbs[used].query("agents").count().await?, 0);
        assert_eq!(manager.open_dedicated_pools(), open.len());
        for slug in ["a", "b", "c"] {
            if open.contains(slug) {
                assert!(
                    sessions(&mut watcher, &fixture, slug).await > 0,
                    "{slug} of {open}"
                );
            } else {
                deserted(&mut watcher, &fixture, slug).await;
            }
        }
    }
    manager.close().await;
    assert_eq!(manager.open_dedicated_pools(), 0);
    Ok(())
}

#[tokio::test]
async fn a_pool_in_use_is_never_closed_and_others_wait_for_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (a, b) = (
        fixture.dedicated_client("a").await?,
        fixture.dedicated_client("b").await?,
    );
    let wait = Duration::from_millis(150);
    let impatient = connected(
        fixture
            .manager_options()
            .max_dedicated_pools(1)
            .dedicated_wait(wait),
    )
    .await;
    let (a_db, b_db) = (impatient.tenant(a.id).await?, impatient.tenant(b.id).await?);
    let busy = async |what: &str| {
        let begin = Instant::now();
        let error = b_db.query("agents").count().await.unwrap_err();
        assert!(begin.elapsed() >= wait, "{what}");
        assert!(
            matches!(&error, Error::Busy { client, waited, .. } if (*client, *waited) == (b.id, wait)),
            "{what}: {error:?}"
        );
        assert!(error.is_retryable() && error.to_string().contains(&b.id.to_string()));
    };
    let mut tx = a_db.begin().await?;
    busy("a transaction").await;
    // It was not disturbed.
    tx.insert("agents")
        .set("slug", "x")
        .set("name", "X")
        .execute()
        .await?;
    tx.commit().await?;
    let pool = a_db.pool().await?.unwrap();
    busy("a pool that is held").await;
    assert!(!pool.is_closed());
    drop(pool);
    assert_eq!(b_db.query("agents").count().await?, 0);
    assert_eq!(a_db.query("agents").count().await?, 1);
    impatient.close().await;

    // Who waits goes on as soon as it is free: after a commit, a drop, and by a held pool.
    let patient = connected(
        fixture
            .manager_options()
            .max_dedicated_pools(1)
            .dedicated_wait(PATIENCE),
    )
    .await;
    let (a_db, b_db) = (patient.tenant(a.id).await?, patient.tenant(b.id).await?);
    for release in ["commit", "rollback", "drop", "pool"] {
        let tx = a_db.begin().await?;
        let pool = a_db.pool().await?;
        let waiting = b_db.query("agents").count();
        tokio::pin!(waiting);
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(patient.open_dedicated_pools(), 1);
        if release == "pool" {
            drop(tx);
            drop(pool);
        } else {
            drop(pool);
            assert!(poll!(&mut waiting).is_pending(), "{release}");
            match release {
                "commit" => tx.commit().await?,
                "rollback" => tx.rollback().await?,
                _ => drop(tx),
            }
        }
        assert_eq!(waiting.await?, 0, "{release}");
    }
    patient.close().await;
    Ok(())
}

// Stale routes.

/// A client by a keyring of the test's own, with two databases to be in.
struct Movable {
    fixture: Fixture,
    keyring: Keyring,
    client: ClientId,
    databases: [String; 2],
}

impl Movable {
    async fn start() -> std::result::Result<Self, Box<dyn std::error::Error>> {
        const SCHEMA: &str = "create table here (id int); grant select on here to tenantry_fixture_app; grant usage on schema public to public";
        let fixture = Fixture::start(&HOST).await?;
        assert_eq!(fixture.app_role(), "tenantry_fixture_app");
        for slug in ["one", "two"] {
            fixture.legacy_client(slug, SCHEMA).await?;
        }
        let databases = [fixture.database("one"), fixture.database("two")];
        let keyring = keyring(5);
        let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
        let platform = PlatformDirectory::connect(&url, keyring.clone()).await?;
        let client = NewClient::new("Movable", "movable".parse()?, "champion")
            .dedicated(fixture.app_url(&databases[0]), fixture.admin_url(&databases[0]));
        let client = platform.create_client(client).await?.id;
        platform.close().await;
        Ok(Self {
            fixture,
            keyring,
            client,
            databases,
        })
    }

    fn options(&self) -> ManagerOptions {
        let url = self.fixture.admin_url(&self.fixture.database("platform"));
        ManagerOptions::new(url, self.keyring.clone())
    }

    async fn change_credential(&self) -> Outcome {
        let sealed = self.keyring.seal(
            &self.fixture.app_url(&self.databases[1]).into(),
            SealedFor {
                owner: self.client.as_uuid(),
                column: "clients.app_connection",
            },
        )?;
        let mut conn = platform_connection(&self.fixture).await;
        sqlx::query("update platform.clients set app_connection = $1 where id = $2")
            .bind(sealed)
            .bind(self.client)
            .execute(&mut conn)
            .await?;
        Ok(())
    }

    /// Asks until the client is found in the second database.
    async fn found_in_the_second(&self, manager: &ClientConnectionManager) -> TenantDb {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let db = manager.tenant(self.client).await.unwrap();
            if reached(&db).await.unwrap() == self.databases[1] {
                return db;
            }
            assert!(Instant::now() < deadline, "the change is not seen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_changed_credential_is_seen_when_the_route_has_ended() -> Outcome {
    let movable = Movable::start().await?;
    let quick = connected(movable.options().record_ttl(Duration::from_millis(100))).await;
    let slow = connected(movable.options()).await;
    for manager in [&quick, &slow] {
        let db = manager.tenant(movable.client).await?;
        assert_eq!(reached(&db).await?, movable.databases[0]);
    }
    movable.change_credential().await?;
    movable.found_in_the_second(&quick).await;
    // The old pool is not kept beside the new one.
    assert_eq!(quick.open_dedicated_pools(), 1);
    assert_eq!(
        reached(&slow.tenant(movable.client).await?).await?,
        movable.databases[0]
    );
    quick.close().await;
    slow.close().await;
    Ok(())
}

#[tokio::test]
async fn closing_closes_the_pool_of_a_handle_from_before_a_changed_credential() -> Outcome {
    let movable = Movable::start().await?;
    let manager = connected(movable.options().record_ttl(Duration::from_millis(100))).await;
    let old = manager.tenant(movable.client).await?;
    assert_eq!(reached(&old).await?, movable.databases[0]);
    movable.change_credential().await?;
    let new = movable.found_in_the_second(&manager).await;
    // Who still holds the old handle goes on where it was, within the bound.
    assert_eq!(reached(&old).await?, movable.databases[0]);
    assert_eq!(manager.open_dedicated_pools(), 2);
    manager.close().await;
    for db in [&old, &new] {
        assert!(matches!(reached(db).await, Err(Error::Closed)));
    }
    assert_eq!(manager.open_dedicated_pools(), 0);
    let mut watcher = watcher(&movable.fixture).await;
    for database in ["one", "two"] {
        deserted(&mut watcher, &movable.fixture, database).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_pool_of_an_old_handle_makes_room_like_any_other() -> Outcome {
    let movable = Movable::start().await?;
    let manager = connected(
        movable
            .options()
            .record_ttl(Duration::from_millis(100))
            .max_dedicated_pools(1)
            .dedicated_wait(Duration::from_millis(200)),
    )
    .await;
    let old = manager.tenant(movable.client).await?;
    assert_eq!(reached(&old).await?, movable.databases[0]);
    movable.change_credential().await?;
    let new = movable.found_in_the_second(&manager).await;
    for _ in 0..2 {
        assert_eq!(reached(&old).await?, movable.databases[0]);
        assert_eq!(reached(&new).await?, movable.databases[1]);
    }
    manager.close().await;
    Ok(())
}

/// Moves a client to the second pool in both databases, as far as routes are concerned.
async fn moved(fixture: &Fixture, client: ClientId, to: PoolId) {
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let mut platform = platform_connection(fixture).await;
    run(
        &mut there,
        &format!("select tenantry.place('{client}', 'active', 2)"),
    )
    .await;
    run(
        &mut platform,
        &format!("update platform.clients set pool_id = '{to}', epoch = 2 where id = '{client}'"),
    )
    .await;
    run(
        &mut here,
        &format!("select tenantry.place('{client}', 'moved', 1)"),
    )
    .await;
}

#[tokio::test]
async fn a_client_that_moved_is_followed_by_whoever_has_a_stale_route() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    for by in ["a read", "a write", "a call", "a transaction", "a snapshot"] {
        let client = fixture.shared_client(&by.replace(' ', "-")).await?;
        let db = manager.tenant(client.id).await?;
        let by_slug = manager.tenant(client.slug.clone()).await?;
        assert_eq!(reached(&db).await?, fixture.database("pool-1"));
        moved(&fixture, client.id, second).await;
        run(
            &mut there,
            &format!(
                "insert into agents (client_id, slug, name) values ('{}', 'guide', 'there')",
                client.id
            ),
        )
        .await;
        for db in [&db, &by_slug] {
            let names: Vec<(String,)> = match by {
                "a read" => db.query("agents").columns(["name"]).fetch_all().await?,
                "a write" => {
                    let update = db.update("agents").set("name", "there").eq("slug", "guide");
                    update.returning(["name"]).fetch_all().await?
                }
                "a call" => {
                    let call = db.rpc("match_documents").arg("p_query_embedding", embedding());
                    assert!(call.fetch_all::<(uuid::Uuid,)>().await?.is_empty());
                    db.query("agents").columns(["name"]).fetch_all().await?
                }
                _ => {
                    let options = match by {
                        "a snapshot" => TransactionOptions::default()
                            .isolation(Isolation::Serializable)
                            .read_only(),
                        _ => TransactionOptions::default(),
                    };
                    let mut tx = db.begin_with(options).await?;
                    let names = sqlx::query_as("select name from agents")
                        .fetch_all(&mut tx)
                        .await?;
                    tx.commit().await?;
                    names
                }
            };
            assert_eq!(names, [("there".to_owned(),)], "{by}");
        }
        // Long before the time that routes are remembered: by the name that was used, and by others.
        for name in [ClientRef::Id(client.id), ClientRef::Slug(client.slug.clone())] {
            let again = manager.tenant(name).await?;
            assert_eq!(reached(&again).await?, fixture.database("pool-2"), "{by}");
        }
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_moved_who_knows_where_is_an_error_to_be_retried() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let db = manager.tenant(client.id).await?;
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let moved = format!("select tenantry.place('{}', 'moved', 1)", client.id);
    run(&mut here, &moved).await;
    let agent = db.insert("agents").set("slug", "x").set("name", "X");
    for error in [
        db.query("agents").count().await.map(drop).unwrap_err(),
        agent.execute().await.map(drop).unwrap_err(),
        db.begin().await.map(drop).unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Moved { client: found } if *found == client.id) && error.is_retryable(),
            "{error:?}"
        );
    }
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn a_route_that_went_stale_inside_a_transaction_is_resolved_anew_as_well() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let mut tx = manager.tenant(client.id).await?.begin().await?;
    // Past the lock, as a placement that was restored from a backup would be.
    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    run(&mut here, "update tenantry.placement set state = 'moved'").await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    run(
        &mut there,
        &format!("select tenantry.place('{}', 'active', 2)", client.id),
    )
    .await;
    let mut platform = platform_connection(&fixture).await;
    run(
        &mut platform,
        &format!("update platform.clients set pool_id = '{second}', epoch = 2"),
    )
    .await;
    let error = tx.query("agents").count().await.unwrap_err();
    assert!(matches!(error, Error::Moved { .. }), "{error:?}");
    drop(tx);
    let again = manager.tenant(client.id).await?;
    assert_eq!(reached(&again).await?, fixture.database("pool-2"));
    manager.close().await;
    Ok(())
}

// The end.

#[tokio::test]
async fn closing_waits_for_transactions_and_then_everything_is_closed() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
        fixture.dedicated_client("huge").await?,
    ];
    let idle = fixture.dedicated_client("idle").await?;
    let mut open = Vec::new();
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        let mut tx = db.begin().await?;
        tx.insert("agents")
            .set("slug", "x")
            .set("name", "X")
            .execute()
            .await?;
        open.push((db, tx));
    }
    let idle_db = manager.tenant(idle.id).await?;
    assert_eq!(idle_db.query("agents").count().await?, 0);

    let closing = manager.clone();
    let close = closing.close();
    tokio::pin!(close);
    assert!(poll!(&mut close).is_pending());
    // New work is refused at once, whoever asks and wherever.
    let refused = async |db: &TenantDb| {
        let refusals = async {
            assert!(matches!(manager.tenant(db.client().id).await, Err(Error::Closed)));
            assert!(matches!(db.query("agents").count().await, Err(Error::Closed)));
            assert!(matches!(db.begin().await, Err(Error::Closed)));
        };
        tokio::time::timeout(Duration::from_secs(5), refusals).await
    };
    for (db, _) in &open {
        assert!(refused(db).await.is_ok(), "{:?} waits", db.client().slug);
    }
    assert!(refused(&idle_db).await.is_ok(), "an idle one waits");
    // Transactions in flight go on, and each of them is waited for.
    let mut dbs = Vec::new();
    for (db, mut tx) in open {
        assert!(poll!(&mut close).is_pending());
        assert_eq!(tx.query("agents").count().await?, 1);
        tx.commit().await?;
        dbs.push(db);
    }
    tokio::time::timeout(PATIENCE, close).await?;

    let mut watcher = watcher(&fixture).await;
    for database in ["pool-1", "vast", "huge", "idle"] {
        deserted(&mut watcher, &fixture, database).await;
    }
    for db in &dbs {
        assert!(matches!(db.query("agents").count().await, Err(Error::Closed)));
        assert!(matches!(db.begin().await, Err(Error::Closed)));
        assert!(!matches!(db.pool().await, Ok(Some(_))));
    }
    let error = manager.tenant(clients[0].id).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Usage, false));
    assert_eq!(manager.open_dedicated_pools(), 0);
    // Again is nothing, and what was committed is there.
    manager.close().await;
    let again = fixture.manager().await?;
    for client in &clients {
        assert_eq!(again.tenant(client.id).await?.query("agents").count().await?, 1);
    }
    again.close().await;
    Ok(())
}

#[tokio::test]
async fn a_manager_that_is_dropped_leaves_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ];
    let mut watcher = watcher(&fixture).await;
    let platform = fixture.database("platform");
    let of_platform = format!("select count(*) from pg_stat_activity where datname = '{platform}'");
    let before: i64 = one(&mut watcher, &of_platform).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let tasks_before = tasks();

    let manager = fixture.manager().await?;
    let mut dbs = Vec::new();
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        assert_eq!(db.query("agents").count().await?, 0);
        dbs.push(db);
    }
    assert!(one::<i64>(&mut watcher, &of_platform).await > before);
    drop(manager);
    // A handle works for as long as it is held.
    for db in &dbs {
        assert_eq!(db.query("agents").count().await?, 0);
    }
    drop(dbs);
    for database in ["pool-1", "vast"] {
        deserted(&mut watcher, &fixture, database).await;
    }
    until(&mut watcher, &format!("select ({of_platform}) <= {before}")).await;
    let deadline = Instant::now() + PATIENCE;
    while tasks() > tasks_before {
        assert!(
            Instant::now() < deadline,
            "{} tasks, {tasks_before} before",
            tasks()
        );
        tokio::task::yield_now().await;
    }
    Ok(())
}
