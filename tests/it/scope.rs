//! Two clients of one pool, and one with a database of its own.
#![expect(clippy::disallowed_methods, reason = "a host's own statements")]

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ConnectionOptions, Error, Order};

use crate::sql::{connect, until};
use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn the_same_lines_run_on_a_pool_and_on_a_dedicated_database() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let clients = [
        fixture.shared_client("acme").await?,
        fixture.shared_client("bolt").await?,
        fixture.dedicated_client("vast").await?,
    ];
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        for slug in ["guide", "scout"] {
            db.insert("agents")
                .set("slug", slug)
                .set("name", format!("{slug} of {}", client.slug))
                .execute()
                .await?;
        }
    }
    for client in &clients {
        let db = manager.tenant(client.id).await?;
        let names: Vec<(String,)> = db
            .query("agents")
            .columns(["name"])
            .order_by("slug", Order::Asc)
            .fetch_all()
            .await?;
        assert_eq!(
            names,
            [
                (format!("guide of {}", client.slug),),
                (format!("scout of {}", client.slug),)
            ]
        );
        assert_eq!(
            db.update("agents")
                .set("name", "x")
                .eq("slug", "guide")
                .execute()
                .await?,
            1
        );
        assert_eq!(db.delete("agents").eq("slug", "guide").execute().await?, 1);
        assert_eq!(db.query("agents").count().await?, 1);
        let error = db.query("agent").count().await.unwrap_err();
        assert!(
            matches!(&error, Error::UnknownTable { nearest_name: Some(n), .. } if n == "agents"),
            "{error}"
        );

        let mut tx = db.begin().await?;
        sqlx::query("update agents set name = $1")
            .bind("y")
            .execute(&mut tx)
            .await?;
        assert_eq!(tx.query("agents").eq("name", "y").count().await?, 1);
        tx.commit().await?;
        assert_eq!(db.query("agents").eq("name", "y").count().await?, 1);
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn the_sql_of_a_query_is_told_without_its_values() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let acme = manager.tenant(fixture.shared_client("acme").await?.id).await?;
    let vast = manager.tenant(fixture.dedicated_client("vast").await?.id).await?;
    for (db, read, written) in [
        (
            &acme,
            "client_id = $1 and slug = $2",
            "client_id = $2 and slug = $3",
        ),
        (&vast, "slug = $1", "slug = $2"),
    ] {
        let query = db.query("agents").columns(["name"]).eq("slug", "guide");
        assert_eq!(
            query.to_sql().await?,
            format!("select name from public.agents where {read}")
        );
        let update = db.update("agents").set("name", "secret").eq("slug", "guide");
        assert_eq!(
            update.to_sql().await?,
            format!("update public.agents set name = $1 where {written}")
        );
        assert_eq!(update.execute().await?, 0);
        let error = db.query("agents").columns(["nam"]).to_sql().await.unwrap_err();
        assert!(matches!(error, Error::UnknownColumn { .. }), "{error}");
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_session_that_was_bound_before_a_change_of_placement_is_bound_again() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let acme = fixture.shared_client("acme").await?;
    let db = manager.tenant(acme.id).await?;
    assert_eq!(db.query("agents").count().await?, 0);
    let pool = fixture.database("pool-1");
    let mut admin = PgConnection::connect_with(&fixture.admin_options(&pool)).await?;
    sqlx::query("select tenantry.place($1, 'active', $2)")
        .bind(acme.id)
        .bind(acme.epoch)
        .execute(&mut admin)
        .await?;
    db.insert("agents")
        .set("slug", "guide")
        .set("name", "Guide")
        .execute()
        .await?;
    assert_eq!(db.query("agents").count().await?, 1);
    let statistics = db.pool_statistics().unwrap();
    assert_eq!((statistics.binds, statistics.broken), (2, 0), "{statistics:?}");
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_session_that_ran_statements_of_the_host_is_bound_anew() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let manager = fixture.manager().await?;
    let acme = fixture.shared_client("acme").await?;
    let db = manager.tenant(acme.id).await?;
    // Unbound behind the library's back: what it took for bound would run a statement that binds it as it likes.
    let mut tx = db.begin().await?;
    sqlx::query("select tenantry.hello()").execute(&mut tx).await?;
    tx.rollback().await?;
    let before = db.pool_statistics().unwrap();
    assert_eq!((before.idle, before.bound), (1, 0), "{before:?}");
    assert_eq!(db.query("agents").count().await?, 0);
    let after = db.pool_statistics().unwrap();
    assert_eq!(
        (after.binds, after.hits),
        (before.binds + 1, before.hits),
        "{after:?}"
    );
    // A commit is checked by the kernel to be of the client still.
    let mut tx = db.begin().await?;
    sqlx::query("select 1").execute(&mut tx).await?;
    tx.commit().await?;
    let committed = db.pool_statistics().unwrap();
    assert_eq!((committed.idle, committed.bound), (1, 1), "{committed:?}");
    assert_eq!(db.query("agents").count().await?, 0);
    let again = db.pool_statistics().unwrap();
    assert_eq!(
        (again.binds, again.hits),
        (after.binds, after.hits + 2),
        "{again:?}"
    );
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn connections_that_nobody_uses_are_closed_but_for_the_least_number() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    // Which keeps a connection for a while that the client was set up on.
    fixture.platform().close().await;
    let options = ConnectionOptions::default()
        .min_connections(2)
        .idle_timeout(Duration::from_millis(100));
    let options = fixture.manager_options().pool_connections(options);
    let manager = ClientConnectionManager::connect(options).await?;
    let mut superuser = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    let open = |number: u32| {
        format!(
            "select count(*) = {number} from pg_stat_activity
             where datname = current_database() and application_name = 'tenantry'"
        )
    };
    let db = manager.tenant(acme.id).await?;
    until(&mut superuser, &open(2)).await;
    let mut used = Vec::new();
    for _ in 0..4 {
        used.push(db.begin().await?);
    }
    until(&mut superuser, &open(4)).await;
    for tx in used {
        tx.commit().await?;
    }
    // Nobody asks for anything any more.
    until(&mut superuser, &open(2)).await;
    manager.close().await;
    until(&mut superuser, &open(0)).await;
    fixture.close().await;
    Ok(())
}
