//! A key is replaced while clients are served.
#![expect(
    clippy::disallowed_methods,
    reason = "asks a dedicated pool for its session, and keeps a stock by hand"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join;
use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, CredentialKind, Error, Keyring, ManagerOptions, PlatformDirectory,
    Provider, ResealOptions, SealedFor, SecretError, TenantDb,
};

use super::{Outcome, directory, rotated, second};
use crate::sql::{PATIENCE, connect, one, rows, run, until};
use crate::support::HOST;

async fn platform_connection(fixture: &Fixture) -> PgConnection {
    connect(fixture.admin_options(&fixture.database("platform"))).await
}

/// Gives the client that many credentials, `key-1` and so on, each of its own name.
async fn give(platform: &PlatformDirectory, client: ClientId, credentials: usize) -> Outcome {
    for number in 0..credentials {
        let kind = format!("key-{number}").parse()?;
        let secret = format!("secret {number}").into();
        platform
            .set_credential(client, &Provider::OPENAI, &kind, &secret)
            .await?;
    }
    Ok(())
}

/// The session of a dedicated pool of one connection.
async fn backend(db: &TenantDb) -> i32 {
    let pool = db.pool().await.unwrap().unwrap();
    let mut conn = pool.acquire().await.unwrap();
    one(&mut conn, "select pg_backend_pid()").await
}

#[tokio::test]
async fn all_is_sealed_anew_while_it_is_served() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let vast = fixture.dedicated_client("vast").await?.id;
    let gone = fixture.dedicated_client("gone").await?.id;
    for client in [acme, vast, gone] {
        give(fixture.platform(), client, 3).await?;
    }
    let mut conn = platform_connection(&fixture).await;
    run(
        &mut conn,
        &format!("update platform.clients set deleted_at = now() where id = '{gone}'"),
    )
    .await;
    // A database that waits for a client is sealed for the client that it will be.
    let awaited = ClientId::new();
    for column in ["app_connection", "admin_connection"] {
        let for_ = SealedFor {
            owner: awaited.as_uuid(),
            column: &format!("clients.{column}"),
        };
        let sealed = fixture.keyring().seal(&"postgres://waiting".into(), for_)?;
        sqlx::query(AssertSqlSafe(format!(
            "insert into platform.stock (client_id, {column}) values ($1, $2)
             on conflict (client_id) do update set {column} = excluded.{column}"
        )))
        .bind(awaited)
        .bind(sealed)
        .execute(&mut conn)
        .await?;
    }
    let given = fixture.platform().credentials(acme).await?;
    let options = ManagerOptions::new(
        fixture.admin_url(&fixture.database("platform")),
        rotated(&fixture),
    );
    let manager = ClientConnectionManager::connect(
        options
            .record_ttl(Duration::from_nanos(1))
            .dedicated_pool(sqlx::postgres::PgPoolOptions::new().max_connections(1)),
    )
    .await?;
    let session = backend(&manager.tenant(vast).await?).await;

    let platform = directory(&fixture, rotated(&fixture)).await;
    assert_eq!(platform.sealed_by_key().await?, BTreeMap::from([(1, 18)]));
    let logged = "select count(*) from platform.audit_log";
    let before: i64 = one(&mut conn, logged).await;
    let done = platform.reseal(ResealOptions::default().batch(2)).await?;
    assert_eq!(
        (done.key_id, done.resealed, done.unopened, done.left),
        (2, 18, 0, 0)
    );
    assert_eq!(platform.sealed_by_key().await?, BTreeMap::from([(2, 18)]));
    assert_eq!(one::<i64>(&mut conn, logged).await, before + 18);
    // What was sealed anew was not changed.
    assert_eq!(platform.credentials(acme).await?, given);
    let again = platform.reseal(ResealOptions::default()).await?;
    assert_eq!((again.resealed, again.left), (0, 0));

    // The same pool, though the sealed URL is another.
    assert_eq!(backend(&manager.tenant(vast).await?).await, session);
    assert_eq!(manager.open_dedicated_pools(), 1);
    manager.close().await;

    // The old key is not needed any more, by anybody.
    let newer = Keyring::new(2, second());
    let options = ManagerOptions::new(fixture.admin_url(&fixture.database("platform")), newer.clone());
    let manager = ClientConnectionManager::connect(options).await?;
    for client in [acme, vast] {
        assert_eq!(manager.tenant(client).await?.query("agents").count().await?, 0);
    }
    manager.close().await;
    let platform = directory(&fixture, newer).await;
    platform.rotate_scope_key(fixture.pool()).await?;
    let opened = platform
        .credential(acme, &Provider::OPENAI, &"key-2".parse()?)
        .await?;
    assert_eq!(opened.expose_secret(), "secret 2");
    Ok(())
}

#[tokio::test]
async fn a_value_that_moves_while_values_are_counted_is_counted_once() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event_type = 'Lock'
        and datname = current_database() and query ~ 'from platform.stock')";

    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let mut conn = platform_connection(&fixture).await;
    run(
        &mut conn,
        "insert into platform.clients (name, slug, tier) values ('Vast', 'vast', 'champion');
         insert into platform.stock (client_id, app_connection) select c.id, p.app_connection
         from platform.clients c, platform.pools p where c.slug = 'vast'",
    )
    .await;
    let before = platform.sealed_by_key().await?;
    // Clients were counted, and the stock is not yet.
    let mut taker = platform_connection(&fixture).await;
    run(&mut taker, "begin; lock table platform.stock").await;
    let mut counting = Box::pin(platform.sealed_by_key());
    tokio::select! {
        counted = &mut counting => panic!("not held up: {counted:?}"),
        () = until(&mut conn, WAITING) => {}
    }
    run(
        &mut taker,
        "update platform.clients c set app_connection = s.app_connection from platform.stock s where s.client_id = c.id;
         delete from platform.stock; commit",
    )
    .await;
    assert_eq!(counting.await?, before);
    assert_eq!(platform.sealed_by_key().await?, before);
    Ok(())
}

#[tokio::test]
async fn whoever_places_clients_meanwhile_is_waited_for_without_a_lock_in_its_way() -> Outcome {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event = 'advisory'
        and datname = current_database())";

    let fixture = Fixture::start(&HOST).await?;
    let platform = directory(&fixture, rotated(&fixture)).await;
    let mut watcher = platform_connection(&fixture).await;
    let mut placing = platform_connection(&fixture).await;
    run(&mut placing, "begin; select platform.lock_placement()").await;
    let mut reseal = Box::pin(platform.reseal(ResealOptions::default()));
    tokio::select! {
        done = &mut reseal => panic!("not held up: {done:?}"),
        () = until(&mut watcher, WAITING) => {}
    }
    // With a lock on the pool's row, each would wait for the other.
    run(
        &mut placing,
        "update platform.pools set capacity = capacity + 1; commit",
    )
    .await;
    assert_eq!(reseal.await?.left, 0);
    Ok(())
}

#[tokio::test]
async fn what_does_not_open_is_named_and_the_rest_goes_on() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    give(fixture.platform(), acme, 2).await?;
    let mut conn = platform_connection(&fixture).await;
    // Copied to another client, and sealed with a key that nobody has.
    run(
        &mut conn,
        &format!(
            "insert into platform.client_credentials (client_id, provider, kind, sealed)
             select '{bolt}', provider, kind, sealed from platform.client_credentials where kind = 'key-0';
             insert into platform.client_credentials (client_id, provider, kind, sealed)
             values ('{bolt}', 'openai', 'key-9', decode('5401' || '00000009' || repeat('ab', 60), 'hex'))"
        ),
    )
    .await;
    let platform = directory(&fixture, rotated(&fixture)).await;
    let done = platform
        .reseal(ResealOptions::default().batch(1).max_named(10))
        .await?;
    assert_eq!((done.resealed, done.unopened, done.left), (5, 2, 2));
    let named: Vec<_> = done
        .named
        .iter()
        .map(|value| (value.owner, value.column.as_str(), value.reason))
        .collect();
    let column = "client_credentials.sealed/openai/key-";
    assert_eq!(
        named,
        [
            (
                bolt.as_uuid(),
                &*format!("{column}0"),
                SecretError::Refused { key_id: 1 }
            ),
            (
                bolt.as_uuid(),
                &*format!("{column}9"),
                SecretError::UnknownKey { key_id: 9 }
            ),
        ]
    );
    assert_eq!(
        platform.sealed_by_key().await?,
        BTreeMap::from([(1, 1), (2, 5), (9, 1)])
    );
    let none = platform.reseal(ResealOptions::default().max_named(1)).await?;
    assert_eq!((none.unopened, none.named.len()), (2, 1));

    // A column of another version's is not passed over: its keys could be taken away.
    run(
        &mut conn,
        "alter table platform.tiers add column licence platform.sealed",
    )
    .await;
    for error in [
        platform.sealed_by_key().await.unwrap_err(),
        platform.reseal(ResealOptions::default()).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, Error::Invalid { what, .. } if what == "sealed column tiers.licence"),
            "{error:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn several_share_the_work_and_a_row_in_use_is_left_for_later() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    give(fixture.platform(), acme, 40).await?;
    let mut conn = platform_connection(&fixture).await;
    run(
        &mut conn,
        "begin; select from platform.client_credentials where kind = 'key-7' for update",
    )
    .await;
    let one_at_a_time = ResealOptions::default().batch(1);
    let (first, second) = (
        directory(&fixture, rotated(&fixture)).await,
        directory(&fixture, rotated(&fixture)).await,
    );
    // Whoever waits for the row waits for ever.
    let both = join(first.reseal(one_at_a_time), second.reseal(one_at_a_time));
    let (first, second) = tokio::time::timeout(PATIENCE, both).await?;
    let (first, second) = (first?, second?);
    assert_eq!(first.resealed + second.resealed, 42, "{first:?} {second:?}");
    assert_eq!(first.left.min(second.left), 1);
    run(&mut conn, "rollback").await;
    // Each was sealed anew once.
    let most: i64 = one(
        &mut conn,
        "select max(times) from (select count(*) as times from platform.audit_log
         where action = 'client_credentials.update' group by after ->> 'kind') t",
    )
    .await;
    assert_eq!(most, 1);
    let platform = directory(&fixture, rotated(&fixture)).await;
    let rest = platform.reseal(one_at_a_time).await?;
    assert_eq!((rest.resealed, rest.left), (1, 0));
    Ok(())
}

/// Makes whoever writes the credential wait for the advisory lock 77, before the row is its own.
const WAIT_AT_KEY_5: &str = "
    create function pg_temp_wait() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock(77); return new; end $$;
    create trigger a_wait before update on platform.client_credentials
        for each row when (new.kind = 'key-5') execute function pg_temp_wait()";

/// Whether somebody waits for it.
const WAITING: &str =
    "select exists (select from pg_locks where locktype = 'advisory' and objid = 77 and not granted
     and database = (select oid from pg_database where datname = current_database()))";

#[tokio::test]
async fn who_is_dropped_midway_undoes_no_batch_and_the_next_goes_on() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    give(fixture.platform(), acme, 10).await?;
    let mut conn = platform_connection(&fixture).await;
    run(&mut conn, WAIT_AT_KEY_5).await;
    run(&mut conn, "select pg_advisory_lock(77)").await;
    let platform = directory(&fixture, rotated(&fixture)).await;
    {
        let reseal = platform.reseal(ResealOptions::default().batch(2));
        tokio::select! {
            done = reseal => panic!("not held up: {done:?}"),
            () = until(&mut conn, WAITING) => {}
        }
    }
    // Five pairs of the credentials: the third, with 4 and 5, was being sealed.
    let counts = platform.sealed_by_key().await?;
    assert_eq!(counts, BTreeMap::from([(1, 6), (2, 7)]));
    run(&mut conn, "select pg_advisory_unlock(77)").await;
    // What was dropped is undone, and its locks are gone.
    until(
        &mut conn,
        "select count(*) = 10 from (select from platform.client_credentials for update skip locked) l",
    )
    .await;
    let done = platform.reseal(ResealOptions::default().batch(2)).await?;
    assert_eq!((done.resealed, done.left), (6, 0));
    Ok(())
}

#[tokio::test]
async fn a_secret_set_meanwhile_is_not_lost() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    give(fixture.platform(), acme, 6).await?;
    let mut conn = platform_connection(&fixture).await;
    run(&mut conn, WAIT_AT_KEY_5).await;
    run(&mut conn, "select pg_advisory_lock(77)").await;
    let platform = directory(&fixture, rotated(&fixture)).await;
    let (openai, kind): (_, CredentialKind) = (Provider::OPENAI, "key-5".parse()?);
    let setting = async {
        until(&mut conn, WAITING).await;
        let setting = async {
            platform
                .set_credential(acme, &openai, &kind, &"set meanwhile".into())
                .await
        };
        let released = async {
            // Both wait now: for the row, or for the same lock as the other.
            until(
                &mut conn,
                "select count(*) = 2 from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'",
            )
            .await;
            run(&mut conn, "select pg_advisory_unlock(77)").await;
        };
        tokio::join!(setting, released).0
    };
    let (done, set) = tokio::join!(platform.reseal(ResealOptions::default()), setting);
    set?;
    assert_eq!(done?.left, 0);
    let opened = platform.credential(acme, &openai, &kind).await?;
    assert_eq!(opened.expose_secret(), "set meanwhile");
    let kinds: Vec<(String,)> = rows(
        &mut conn,
        "select kind from platform.client_credentials where set_at > created_at",
    )
    .await;
    assert_eq!(kinds, [("key-5".to_owned(),)]);
    Ok(())
}
