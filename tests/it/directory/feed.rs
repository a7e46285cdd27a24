//! What a directory tells of changes, as it is notified of them or reads them from its log.

use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::SecretString;
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{Change, Changes, ClientId, ClientUpdate, Directory as _, Following, PlatformDirectory};

use super::{HOUR, Outcome, operator, platform};
use crate::sql::{PATIENCE, run, until};
use crate::support::HOST;

/// A role of the test's own, which listens as any does, and speaks as the test has it.
pub(super) struct Muffled {
    role: String,
    superuser: PgConnection,
}

impl Muffled {
    /// With that text for `pg_notify`: a statement of SQL, with the channel and the payload for its parameters.
    pub(super) async fn speaking(fixture: &Fixture, pg_notify: &str) -> Self {
        let role = fixture.database("muffled");
        let mut superuser = operator(fixture).await;
        run(
            &mut superuser,
            &format!(
                "create role {role} login password 'muffled' in role {admin};
                 create schema {role}; grant usage on schema {role} to public;
                 create function {role}.pg_notify(text, text) returns void language sql as '{pg_notify}';
                 alter role {role} set search_path = {role}, pg_catalog",
                admin = fixture.admin_role()
            ),
        )
        .await;
        Self { role, superuser }
    }

    pub(super) async fn directory(&self, fixture: &Fixture, following: Following) -> PlatformDirectory {
        let database = fixture.database("platform");
        let url = SecretString::from(fixture.server().url_as(&self.role, "muffled", &database));
        PlatformDirectory::connect(&url, fixture.keyring())
            .await
            .unwrap()
            .following(following)
    }

    pub(super) async fn end(mut self, directory: PlatformDirectory) {
        directory.close().await;
        let role = self.role;
        let sql = format!("drop schema {role} cascade; drop role {role}");
        run(&mut self.superuser, &sql).await;
    }
}

/// Whether somebody who speaks waits for the advisory lock 78, which the superuser holds.
const WAITING: &str =
    "select exists (select from pg_locks where locktype = 'advisory' and objid = 78 and not granted
     and database = (select oid from pg_database where datname = current_database()))";

/// Speaks once the superuser lets it.
const AFTER_A_WHILE: &str = "select pg_advisory_xact_lock(78); select pg_catalog.pg_notify($1, $2)";

/// The log is read often, and nothing is tried out while the test runs.
fn polling() -> Following {
    Following::default()
        .polling()
        .poll_every(Duration::from_millis(5))
}

async fn changes(directory: &PlatformDirectory) -> Changes {
    directory.changes().await.unwrap().unwrap()
}

async fn next(changes: &mut Changes) -> Change {
    let next = tokio::time::timeout(PATIENCE, changes.next()).await;
    next.unwrap().unwrap().unwrap()
}

/// Reads until nothing is left of what was there before: the log tells again what is younger than the oldest
/// transaction of the server, which can be another test's.
async fn up_to_now(fixture: &Fixture, changes: &mut Changes) {
    let nobody = ClientId::new();
    let entry =
        format!("insert into platform.audit_log (client_id, action) values ('{nobody}', 'clients.update')");
    run(&mut platform(fixture).await, &entry).await;
    while next(changes).await != Change::Client(nobody) {}
}

async fn rename(fixture: &Fixture, client: ClientId, name: &str) {
    let update = ClientUpdate::default().name(name);
    fixture.platform().update_client(client, &update).await.unwrap();
}

#[tokio::test]
async fn the_log_tells_each_change_once_however_late_it_commits() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (acme, bolt, cove) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
        fixture.shared_client("cove").await?.id,
    );
    let directory = fixture.platform().clone().following(polling());
    let mut told = changes(&directory).await;
    up_to_now(&fixture, &mut told).await;
    // It has the smallest number in the log, and commits last.
    let mut slow = platform(&fixture).await;
    let late = format!("begin; update platform.clients set name = 'Late' where id = '{acme}'");
    run(&mut slow, &late).await;
    for client in [bolt, cove] {
        rename(&fixture, client, "Early").await;
        assert_eq!(next(&mut told).await, Change::Client(client));
    }
    run(&mut slow, "commit").await;
    assert_eq!(next(&mut told).await, Change::Client(acme));
    Ok(())
}

#[tokio::test]
async fn both_ways_tell_what_a_change_is_of() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let mut conn = platform(&fixture).await;
    for following in [Following::default(), polling()] {
        let directory = fixture.platform().clone().following(following);
        let mut told = changes(&directory).await;
        if following == polling() {
            up_to_now(&fixture, &mut told).await;
        }
        for (sql, change) in [
            (
                format!("update platform.clients set name = name || '!' where id = '{acme}'"),
                Change::Client(acme),
            ),
            (
                format!(
                    "insert into platform.client_keys values ('agent', gen_random_uuid()::text, '{acme}')"
                ),
                Change::Client(acme),
            ),
            (
                format!(
                    "insert into platform.client_credentials (client_id, provider, sealed)
                     values ('{acme}', gen_random_uuid()::text, decode('5401' || repeat('ab', 60), 'hex'))"
                ),
                Change::Client(acme),
            ),
            (
                "update platform.pools set capacity = capacity + 1".to_owned(),
                Change::Pool(fixture.pool()),
            ),
            (
                "update platform.tiers set grace_days = grace_days + 1 where name = 'champion'".to_owned(),
                Change::Tier("champion".into()),
            ),
        ] {
            run(&mut conn, &sql).await;
            assert_eq!(next(&mut told).await, change, "{following:?}: {sql}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn more_in_the_log_than_is_read_at_once_is_a_change_of_everything() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let directory = fixture.platform().clone().following(polling());
    let mut told = changes(&directory).await;
    up_to_now(&fixture, &mut told).await;
    let many = "insert into platform.audit_log (client_id, action)
                select gen_random_uuid(), 'clients.update' from generate_series(1, 10001)";
    run(&mut platform(&fixture).await, many).await;
    assert_eq!(next(&mut told).await, Change::Everything);
    // They are read again for as long as a transaction goes on that was there before them, and all that came since.
    let after = loop {
        rename(&fixture, acme, "Acme").await;
        rename(&fixture, acme, "Acme again").await;
        let next = next(&mut told).await;
        if next != Change::Everything {
            break next;
        }
    };
    assert_eq!(after, Change::Client(acme));
    Ok(())
}

#[tokio::test]
async fn where_the_words_of_others_do_not_arrive_the_log_is_read() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let following = Following::default()
        .check_every(Duration::from_millis(200))
        .poll_every(Duration::from_millis(5));
    // As behind a transaction pooler: what a connection says while it listens, it hears, and nothing else.
    let own_words = "select pg_catalog.pg_notify($1, $2) where exists (select from pg_listening_channels())";
    let mut superuser = operator(&fixture).await;
    run(
        &mut superuser,
        "alter table platform.clients disable trigger notify",
    )
    .await;
    for speech in ["select", own_words] {
        let muffled = Muffled::speaking(&fixture, speech).await;
        let directory = muffled.directory(&fixture, following).await;
        let mut told = changes(&directory).await;
        up_to_now(&fixture, &mut told).await;
        rename(&fixture, acme, speech).await;
        assert_eq!(next(&mut told).await, Change::Client(acme));
        drop(told);
        muffled.end(directory).await;
    }
    Ok(())
}

#[tokio::test]
async fn it_is_tried_again_to_listen_after_a_while() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let muffled = Muffled::speaking(&fixture, "select").await;
    let following = Following::default()
        .check_every(Duration::from_millis(50))
        .poll_every(Duration::from_millis(5));
    let directory = muffled.directory(&fixture, following).await;
    let mut told = changes(&directory).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    // Its end has whoever follows ask for another.
    let next = tokio::time::timeout(PATIENCE, told.next()).await?;
    assert!(next.is_none(), "{next:?}");
    drop(told);
    muffled.end(directory).await;
    Ok(())
}

#[tokio::test]
async fn what_changes_while_it_is_tried_out_whether_it_hears_is_told() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let muffled = Muffled::speaking(&fixture, AFTER_A_WHILE).await;
    let directory = muffled
        .directory(&fixture, Following::default().check_every(HOUR))
        .await;
    let mut superuser = operator(&fixture).await;
    run(&mut superuser, "select pg_advisory_lock(78)").await;
    let mut told = {
        let mut listening = Box::pin(directory.changes());
        tokio::select! {
            told = &mut listening => panic!("not held up: {:?}", told.map(drop)),
            () = until(&mut superuser, WAITING) => {}
        }
        rename(&fixture, acme, "Acme").await;
        run(&mut superuser, "select pg_advisory_unlock(78)").await;
        listening.await?.unwrap()
    };
    assert_eq!(next(&mut told).await, Change::Client(acme));
    drop(told);
    muffled.end(directory).await;
    Ok(())
}

#[tokio::test]
async fn who_may_not_speak_reads_the_log_and_who_was_cut_off_tries_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let muffled = Muffled::speaking(&fixture, AFTER_A_WHILE).await;
    let following = Following::default()
        .check_every(HOUR)
        .poll_every(Duration::from_millis(5));
    let directory = muffled.directory(&fixture, following).await;
    let mut superuser = operator(&fixture).await;
    // Cut off in the middle of it, the log would be read instead for a minute.
    run(&mut superuser, "select pg_advisory_lock(78)").await;
    {
        let mut listening = Box::pin(directory.changes());
        tokio::select! {
            told = &mut listening => panic!("not held up: {:?}", told.map(drop)),
            () = until(&mut superuser, WAITING) => {}
        }
        let cut_off = "select pg_terminate_backend(pid) from pg_locks
                       where locktype = 'advisory' and objid = 78 and not granted
                         and database = (select oid from pg_database where datname = current_database())";
        run(&mut superuser, cut_off).await;
        let failed = listening.await.map(drop).unwrap_err();
        assert_eq!(failed.sqlstate().as_deref(), Some("57P01"), "{failed:?}");
    }
    run(&mut superuser, "select pg_advisory_unlock(78)").await;

    let deny = format!(
        "revoke all on function {}.pg_notify(text, text) from public",
        muffled.role
    );
    run(&mut superuser, &deny).await;
    let mut told = changes(&directory).await;
    up_to_now(&fixture, &mut told).await;
    rename(&fixture, acme, "Acme").await;
    assert_eq!(next(&mut told).await, Change::Client(acme));
    drop(told);
    muffled.end(directory).await;
    Ok(())
}
