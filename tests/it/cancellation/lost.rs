//! Connections that are killed or reset, and a server that is.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests that end the sessions of others in SQL"
)]

use sqlx::{Connection as _, Executor as _, PgConnection};
use tenantry::testing::{Fixture, PgServer};
use tenantry::{Error, ErrorKind};
use tokio::time::timeout;

use super::{Home, Outcome, ROLLED_BACK, STUCK, Stage, on_both_homes};
use crate::support::{HOST, Reply, ask};

on_both_homes![
    a_connection_that_is_killed_or_reset_is_replaced,
    a_server_that_is_killed_and_restarted_is_served_from_again,
];

async fn a_connection_that_is_killed_or_reset_is_replaced(home: Home) -> Outcome {
    let stage = Stage::new(home).await?;
    let db = stage.dropper().await?;
    let server = stage.fixture.server().connect_options("postgres");
    let mut superuser = PgConnection::connect_with(&server).await?;
    let mut kill = async |pid: &str| {
        sqlx::query("select pg_terminate_backend($1::int, 30000)")
            .bind(pid.parse::<i32>().unwrap())
            .execute(&mut superuser)
            .await
    };
    let pid = async || match ask(&mut db.begin().await?, "select pg_backend_pid()::text").await {
        Reply::Rows(rows) => Ok::<_, Error>(rows[0].clone()),
        refused @ Reply::Refused(_) => panic!("{refused:?}"),
    };

    // Idle: nobody sees it.
    kill(&pid().await?).await?;
    assert_eq!(db.query("agents").count().await?, 1);
    kill(&pid().await?).await?;
    stage
        .next_user_is_unharmed(&stage.manager, "an idle connection was killed")
        .await?;
    stage.proxy().reset_all();
    if home == Home::Pool {
        // Sent at once, the connection being bound to its client: nobody knows whether the write was done.
        let next = stage.manager.tenant(stage.next.id).await?;
        let insert = next.insert("agents").set("slug", "reset").set("name", "x");
        let answered = insert.execute().await;
        let written = next.query("agents").eq("slug", "reset").count().await?;
        match answered {
            Ok(rows) => assert_eq!((rows, written), (1, 1)),
            Err(error) => assert_eq!((error.kind(), written), (ErrorKind::Ambiguous, 0), "{error:?}"),
        }
        // A read is sent again, on a new connection.
        stage.proxy().reset_all();
        assert_eq!(next.query("agents").eq("slug", "reset").count().await?, written);
        stage.proxy().reset_all();
        let mut tx = next.begin().await?;
        assert_eq!(tx.query("agents").eq("slug", "reset").count().await?, written);
        tx.rollback().await?;
        stage.proxy().reset_all();
        assert_eq!(db.query("agents").count().await?, 1);
        stage.proxy().reset_all();
    }
    stage
        .next_user_is_unharmed(&stage.manager, "an idle connection was reset")
        .await?;

    // In use: the transaction fails, and its end says so.
    for ending in ["kill", "reset"] {
        let mut tx = db.begin().await?;
        let Reply::Rows(rows) = ask(&mut tx, "select pg_backend_pid()::text").await else {
            panic!("no pid");
        };
        assert_eq!(
            tx.update("agents")
                .set("name", ROLLED_BACK)
                .all()
                .execute()
                .await?,
            1
        );
        if ending == "kill" {
            kill(&rows[0]).await?;
        } else {
            stage.proxy().reset_all();
        }
        let lost = tx.commit().await.unwrap_err();
        assert!(matches!(lost, Error::CommitUnknown { .. }), "{ending}: {lost:?}");
        assert_eq!(lost.kind(), ErrorKind::Ambiguous);
        stage.next_user_is_unharmed(&stage.manager, ending).await?;
        assert_eq!(
            db.query("agents").eq("name", ROLLED_BACK).count().await?,
            0,
            "{ending}"
        );
    }
    superuser.close().await?;
    stage.close().await
}

async fn a_server_that_is_killed_and_restarted_is_served_from_again(home: Home) -> Outcome {
    let server = PgServer::private().await?;
    let stage = Stage::on(home, Fixture::on(server.clone(), &HOST, 10, None).await?, 2).await?;
    // What a server for tests commits is on no disk yet.
    let mut superuser = PgConnection::connect_with(&server.connect_options("postgres")).await?;
    superuser.execute("checkpoint").await?;
    superuser.close().await?;
    let db = stage.dropper().await?;
    let mut tx = db.begin().await?;
    assert_eq!(
        tx.update("agents")
            .set("name", ROLLED_BACK)
            .all()
            .execute()
            .await?,
        1
    );
    server.kill().await?;
    let error = tx.query("agents").count().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Ambiguous, "{error:?}");
    drop(tx);
    if home == Home::Pool {
        let error = db.begin().await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.is_retryable());
    }
    server.restart().await?;
    assert_eq!(
        timeout(STUCK, db.query("agents").eq("name", ROLLED_BACK).count()).await??,
        0
    );
    stage.next_user_is_unharmed(&stage.manager, "a restart").await?;
    stage.close().await?;
    server.stop().await?;
    Ok(())
}
