//! Databases that are made on a server.

use secrecy::ExposeSecret as _;
use tenantry::{ClientId, DatabaseProvisioner as _};

use super::{Outcome, Platform};
use crate::sql::{connect, one, run, until};

#[tokio::test]
async fn a_database_is_made_once_by_one_at_a_time_however_often_it_is_asked_for() -> Outcome {
    let platform = Platform::start().await;
    let id = ClientId::new();
    let name = format!("{}{}", platform.databases_prefix(), id.as_uuid().simple());
    let mut server = connect(platform.fixture.server().connect_options("postgres")).await;
    let mut other = connect(platform.fixture.server().connect_options("postgres")).await;
    let key = format!("hashtextextended('{name}', 1413828180)");
    // The session of one that was killed, which is still at it.
    run(&mut other, &format!("select pg_advisory_lock({key})")).await;
    let waiting = format!(
        "select exists (select from pg_locks where locktype = 'advisory' and not granted
                        and (classid::int8 << 32 | objid::int8) = {key})"
    );
    let mut making = Box::pin(platform.databases.create(id));
    tokio::select! {
        made = &mut making => panic!("not held up: {:?}", made.map(drop)),
        () = until(&mut server, &waiting) => {}
    }
    let roles = format!("select count(*) from pg_roles where starts_with(rolname, '{name}')");
    assert_eq!(one::<i64>(&mut server, &roles).await, 0);
    run(&mut other, &format!("select pg_advisory_unlock({key})")).await;
    making.await.unwrap();

    // Again, as where the answer was lost: the same database, by URLs that are good.
    let urls = platform.databases.create(id).await.unwrap();
    assert_eq!(platform.made().await, [name]);
    let mut admin = connect(urls.admin.expose_secret().parse()?).await;
    let owner =
        "select pg_get_userbyid(datdba) = session_user from pg_database where datname = current_database()";
    assert!(one::<bool>(&mut admin, owner).await);
    for _ in 0..2 {
        platform.databases.remove(id).await.unwrap();
    }
    platform.close().await;
    Ok(())
}

#[tokio::test]
async fn extensions_are_made_once_where_one_that_was_given_up_is_still_at_it() -> Outcome {
    let platform = Platform::start().await;
    let id = ClientId::new();
    let name = format!("{}{}", platform.databases_prefix(), id.as_uuid().simple());
    let without = platform.databases.clone().extensions([""; 0]);
    without.create(id).await.unwrap();
    // As a session that nobody waits for any more goes on.
    let mut left = connect(platform.fixture.server().connect_options(&name)).await;
    run(
        &mut left,
        &format!("select pg_advisory_lock(hashtextextended('{name}', 1413828180))"),
    )
    .await;
    run(&mut left, "begin; create extension vector").await;
    let mut watcher = connect(platform.fixture.server().connect_options(&name)).await;
    let waiting = "select exists (select from pg_stat_activity where datname = current_database()
                   and pid <> pg_backend_pid() and wait_event_type = 'Lock')";
    let mut making = Box::pin(platform.databases.create(id));
    tokio::select! {
        made = &mut making => panic!("not held up: {:?}", made.map(drop)),
        () = until(&mut watcher, waiting) => {}
    }
    run(&mut left, "commit").await;
    drop(left);
    making.await.unwrap();
    platform.databases.remove(id).await.unwrap();
    platform.close().await;
    Ok(())
}
