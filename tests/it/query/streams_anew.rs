//! Streams whose connection or place is not what it was.

use futures_util::TryStreamExt as _;
use tenantry::testing::Fixture;
use tenantry::{Error, TenantDb};

use super::{LIBRARY, Outcome};
use crate::sql::{connect, run};

async fn names(db: &TenantDb) -> tenantry::Result<Vec<String>> {
    let names = db.query("authors").columns(["name"]).fetch::<(String,)>();
    names.map_ok(|(name,)| name).try_collect().await
}

async fn add_author(db: &TenantDb, name: &'static str) -> tenantry::Result<u64> {
    db.insert("authors")
        .set("id", 1_i64)
        .set("slug", "ada")
        .set("name", name)
        .execute()
        .await
}

#[tokio::test]
async fn a_stream_goes_where_its_client_is_now() -> Outcome {
    let fixture = Fixture::start(&LIBRARY).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let manager = fixture.manager().await?;
    let client = fixture.shared_client("acme").await?;
    let db = manager.tenant(client.id).await?;
    add_author(&db, "here").await?;
    assert_eq!(names(&db).await?, ["here"]);

    let mut here = connect(fixture.admin_options(&fixture.database("pool-1"))).await;
    let mut there = connect(fixture.admin_options(&fixture.database("pool-2"))).await;
    let mut platform = connect(fixture.admin_options(&fixture.database("platform"))).await;
    run(
        &mut there,
        &format!("select tenantry.place('{}', 'active', 2)", client.id),
    )
    .await;
    let moved = format!(
        "update platform.clients set pool_id = '{second}', epoch = 2 where id = '{}'",
        client.id
    );
    run(&mut platform, &moved).await;
    run(
        &mut here,
        &format!("select tenantry.place('{}', 'moved', 1)", client.id),
    )
    .await;
    let insert = "insert into authors (client_id, id, slug, name) values";
    run(
        &mut there,
        &format!("{insert} ('{}', 1, 'ada', 'there')", client.id),
    )
    .await;

    assert_eq!(names(&db).await?, ["there"]);
    assert_eq!(
        names(&db).await?,
        ["there"],
        "and by the handle that has the old route still"
    );
    assert_eq!(names(&manager.tenant(client.id).await?).await?, ["there"]);
    run(
        &mut there,
        &format!("select tenantry.place('{}', 'moved', 2)", client.id),
    )
    .await;
    let error = names(&db).await.unwrap_err();
    assert!(matches!(error, Error::Moved { .. }), "{error:?}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_stream_binds_anew_and_replaces_a_dead_connection_before_the_first_row() -> Outcome {
    let fixture = Fixture::start(&LIBRARY).await?;
    let manager = fixture.manager().await?;
    for client in [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ] {
        let db = manager.tenant(client.id).await?;
        add_author(&db, "ada").await?;
        let name = if client.slug.as_str() == "acme" {
            "pool-1"
        } else {
            "vast"
        };
        let database = fixture.database(name);
        let mut superuser = connect(fixture.server().connect_options(&database)).await;
        for round in 0..3 {
            assert_eq!(names(&db).await?, ["ada"], "{round}");
            let kill = "select pg_terminate_backend(pid, 30000) from pg_stat_activity
                        where datname = current_database() and usename = 'tenantry_fixture_app'";
            run(&mut superuser, kill).await;
            assert_eq!(names(&db).await?, ["ada"], "{round}");
            if name == "pool-1" {
                // What was bound before is bound no more.
                for state in ["fenced", "active"] {
                    run(
                        &mut superuser,
                        &format!("update tenantry.placement set state = '{state}'"),
                    )
                    .await;
                }
            }
            assert_eq!(names(&db).await?, ["ada"], "{round}");
        }
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}
