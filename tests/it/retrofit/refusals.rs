//! Going back is refused where it would lose something, and then nothing was changed.

use tenantry::{Error, RetrofitError, RetrofitState};

use super::{Outcome, Stage};
use crate::sql::run;

#[tokio::test]
async fn rows_of_another_client_are_not_lost_by_going_back() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let retrofit = stage.retrofit();
    retrofit.start().await?;
    retrofit.protect().await?;
    retrofit.finish().await?;
    let manager = stage.fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    db.insert("runs").set("name", "mine").execute().await?;
    let before = stage.schema().await;

    let refused = retrofit.rollback().await;
    assert!(
        matches!(&refused, Err(Error::Retrofit { source: RetrofitError::WouldLose { rows }, .. })
            if rows == &[format!("public.runs has 1 rows of client {acme}")]),
        "{refused:?}"
    );
    assert_eq!(stage.schema().await, before);
    assert_eq!(
        retrofit.status().await?.map(|status| status.state),
        Some(RetrofitState::Finished)
    );
    db.insert("runs").set("name", "still").execute().await?;
    db.delete("runs").all().execute().await?;
    retrofit.rollback().await?;
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn keys_of_before_that_do_not_hold_any_more_are_named() -> Outcome {
    let stage = Stage::start().await;
    let acme = stage.fixture.shared_client("acme").await?.id;
    let mut admin = stage.admin().await;
    run(
        &mut admin,
        "insert into runs (name, tenant) values ('a', 'acme'), ('b', 'house')",
    )
    .await;
    let rule = tenantry::Assign::from_column("tenant", [("acme", acme), ("house", stage.house)]);
    let retrofit = stage.retrofit().table("public.runs", rule);
    retrofit.start().await?;
    retrofit.protect().await?;
    let manager = stage.fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    // Its own name by now, which another has as well.
    db.update("runs").set("name", "b").all().execute().await?;
    let before = stage.schema().await;
    let refused = retrofit.rollback().await;
    assert!(
        matches!(&refused, Err(Error::Retrofit { source: RetrofitError::NotUnique { table, key }, .. })
            if table == "public.runs" && key == "runs_name_key"),
        "{refused:?}"
    );
    assert_eq!(stage.schema().await, before);
    db.update("runs").set("name", "a").all().execute().await?;
    run(
        &mut stage.old().await,
        "insert into runs (name, tenant) values ('c', 'house')",
    )
    .await;
    assert_eq!(retrofit.rollback().await?.state, RetrofitState::RolledBack);
    manager.close().await;
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn what_is_not_possible_now_is_said() -> Outcome {
    let stage = Stage::start().await;
    let retrofit = stage.retrofit();
    for outcome in [retrofit.resume().await, retrofit.rollback().await] {
        assert!(matches!(
            outcome,
            Err(Error::Retrofit {
                source: RetrofitError::NotUnderWay,
                ..
            })
        ));
    }
    retrofit.start().await?;
    for outcome in [retrofit.start().await, retrofit.finish().await] {
        assert!(
            matches!(
                outcome,
                Err(Error::Retrofit {
                    source: RetrofitError::UnderWay { .. } | RetrofitError::OutOfState { .. },
                    ..
                })
            ),
            "{outcome:?}"
        );
    }
    retrofit.rollback().await?;
    assert!(retrofit.protect().await.is_err());
    stage.close().await;
    Ok(())
}
