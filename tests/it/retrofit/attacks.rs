//! Another client, before and after.

use tenantry::Error;

use super::{Outcome, Stage};
use crate::sql::{connect, refused, run};
use crate::support::{Reply, ask, ask_alone};

#[tokio::test]
async fn another_client_sees_nothing_and_the_same_names_are_its_own() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let mut old = stage.old().await;
    run(
        &mut old,
        "insert into runs (name) values ('first'); insert into documents (run_id, filename, email) values (1, 'a', 'a')",
    )
    .await;
    // Before: whoever has the rights of the old application sees and writes everything.
    run(&mut old, "update documents set done = 1 where email = 'a'").await;
    let mut app = connect(stage.fixture.app_options(&stage.database())).await;
    let reads = "select * from documents";
    assert_eq!(refused(&mut app, reads).await.code, "42501");

    let retrofit = stage.retrofit();
    retrofit.start().await?;
    assert_eq!(refused(&mut app, reads).await.code, "42501");
    retrofit.protect().await?;
    retrofit.finish().await?;
    // The app role itself, bound to nobody.
    assert_eq!(refused(&mut app, reads).await.code, "55000");

    let manager = stage.fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    assert_eq!(db.query("documents").count().await?, 0);
    db.insert("documents")
        .set("filename", "a")
        .set("email", "a")
        .execute()
        .await?;
    let again = db
        .insert("documents")
        .set("filename", "a")
        .set("email", "a")
        .execute()
        .await;
    assert!(matches!(again, Err(Error::Constraint { .. })), "{again:?}");
    let count = Reply::one("1");
    assert_eq!(
        ask_alone(&db, "select count(*)::text from documents").await?,
        count
    );
    for sql in [
        format!(
            "insert into documents (client_id, filename, email) values ('{}', 'x', 'x')",
            stage.house
        ),
        format!("update documents set client_id = '{}'", stage.house),
        "insert into documents (run_id, filename, email) values (1, 'x', 'x')".to_owned(),
        "insert into lines (document_id, number) values (1, 1)".to_owned(),
        "truncate documents".to_owned(),
    ] {
        let mut tx = db.begin().await?;
        let mut reply = ask(&mut tx, sql.as_str()).await;
        if matches!(reply, Reply::Rows(_)) {
            reply = ask(&mut tx, "set constraints all immediate").await;
        }
        assert!(matches!(reply, Reply::Refused(_)), "{sql}: {reply:?}");
        tx.rollback().await.ok();
    }
    assert_eq!(db.delete("documents").all().execute().await?, 1);
    assert_eq!(stage.count("select count(*) from documents").await, 1);
    manager.close().await;
    stage.close().await;
    Ok(())
}
