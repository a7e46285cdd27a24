#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "writes past the builder, in a function that the tests share and that panics like them"
)]

use futures_util::future::join_all;
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, Directory as _, Error, Isolation, Limit, Limits, NewClient, TenantDb,
    TierCatalog, TransactionOptions,
};
use uuid::Uuid;

use super::Outcome;
use crate::support::HOST;

const DOCUMENTS: Limit = Limit::MAX_DOCUMENTS;

/// A process that counts documents.
async fn process(fixture: &Fixture) -> tenantry::Result<ClientConnectionManager> {
    ClientConnectionManager::connect(fixture.manager_options().counts("documents", DOCUMENTS)).await
}

/// Adds one document, in one way or another.
async fn add(db: &TenantDb, way: usize) -> tenantry::Result<u64> {
    let title = format!("document {way}");
    match way % 4 {
        0 => db.insert("documents").set("title", title).execute().await,
        1 => {
            let upsert = db
                .insert("documents")
                .set("id", Uuid::new_v4())
                .set("title", title);
            upsert.on_conflict_update(["id"], ["title"]).execute().await
        }
        2 => {
            let mut tx = db.begin().await?;
            let record = serde_json::json!({ "title": title });
            let added = tx.insert("public.documents").record(&record).execute().await?;
            tx.commit().await?;
            Ok(added)
        }
        _ => {
            let mut tx = db.begin().await?;
            tx.reserve(DOCUMENTS, 1).await?;
            let insert = sqlx::query("insert into documents (title) values ($1)").bind(title);
            let added = insert.execute(&mut tx).await;
            let added = added.map_err(|error| Error::from_sqlx(db.client().id, error))?;
            tx.commit().await?;
            Ok(added.rows_affected())
        }
    }
}

fn is_reached<T>(result: &tenantry::Result<T>) -> bool {
    matches!(result, Err(Error::LimitReached { .. }))
}

async fn exactly(fixture: &Fixture, client: tenantry::ClientId) -> Outcome {
    let limits = Limits::default().with(DOCUMENTS, Some(20));
    fixture.platform().set_limits(client, &limits).await?;
    let processes = [process(fixture).await?, process(fixture).await?];
    let dbs = [
        processes[0].tenant(client).await?,
        processes[1].tenant(client).await?,
    ];
    let outcomes = join_all((0..64).map(|way| add(&dbs[way / 4 % 2], way))).await;
    let (added, refused): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.is_ok());
    assert!(refused.iter().all(|outcome| is_reached(outcome)), "{refused:?}");
    assert_eq!((added.len(), dbs[0].query("documents").count().await?), (20, 20));

    // Many rows are all added or none, by whatever statement many rows take.
    let limits = Limits::default().with(DOCUMENTS, Some(1_500));
    fixture.platform().set_limits(client, &limits).await?;
    let load = |db: &TenantDb| {
        let rows = db.insert("documents").rows(0..1_000, |row, number| {
            row.set("title", format!("document {number}"));
        });
        rows.execute()
    };
    let loaded = join_all([0, 1, 0].into_iter().map(|at| load(&dbs[at]))).await;
    let refused = loaded.iter().filter(|loaded| is_reached(loaded)).count();
    assert_eq!(refused, 2, "{loaded:?}");
    let mut tx = dbs[1].begin().await?;
    let rows = tx.insert("documents").rows(0..1_000, |row, number| {
        row.set("title", format!("document {number}"));
    });
    let refused = rows.execute().await.unwrap_err();
    assert!(
        matches!(
            &refused,
            Error::LimitReached {
                allowed: 1_500,
                used: 1_020,
                ..
            }
        ),
        "{refused:?}"
    );
    // Nothing was sent, so the transaction goes on.
    tx.insert("documents").set("title", "one more").execute().await?;
    tx.commit().await?;
    assert_eq!(dbs[0].query("documents").count().await?, 1_021);
    for process in processes {
        process.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn creators_at_once_in_two_processes_end_at_exactly_the_limit_on_a_pool() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let client = fixture.shared_client("acme").await?;
    exactly(&fixture, client.id).await?;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn creators_at_once_in_two_processes_end_at_exactly_the_limit_on_a_dedicated_database() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let client = fixture.dedicated_client("vast").await?;
    exactly(&fixture, client.id).await?;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn an_upsert_at_the_limit_changes_what_is_there_and_adds_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let process = process(&fixture).await?;
    for client in [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ] {
        let limits = Limits::default().with(DOCUMENTS, Some(2));
        fixture.platform().set_limits(client.id, &limits).await?;
        let db = process.tenant(client.id).await?;
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let upsert = |ids: Vec<Uuid>| {
            let rows = db.insert("documents").rows(ids, |row, id| {
                row.set("id", id).set("title", "changed");
            });
            rows.on_conflict_update(["id"], ["title"]).execute()
        };
        assert_eq!(upsert(vec![first, second]).await?, 2);
        assert_eq!(upsert(vec![second, first]).await?, 2);
        let refused = upsert(vec![first, Uuid::new_v4()]).await.unwrap_err();
        assert!(
            matches!(
                refused,
                Error::LimitReached {
                    allowed: 2,
                    used: 2,
                    lifted_by: None,
                    ..
                }
            ),
            "{refused:?}"
        );
        // Inside a transaction it fails that, as a constraint would: what came before goes with it.
        let mut tx = db.begin().await?;
        tx.insert("agents")
            .set("slug", "guide")
            .set("name", "Guide")
            .execute()
            .await?;
        let third = tx
            .insert("documents")
            .set("id", Uuid::new_v4())
            .set("title", "third");
        let refused = third.on_conflict_do_nothing(["id"]).execute().await;
        assert!(is_reached(&refused), "{refused:?}");
        assert!(tx.commit().await.is_err());
        assert_eq!(db.query("agents").count().await?, 0);
        let there = db
            .query("documents")
            .columns(["id"])
            .order_by("id", tenantry::Order::Asc);
        let mut ids = [first, second];
        ids.sort();
        assert_eq!(there.fetch_scalars::<Uuid>().await?, ids);

        // A limit that fell below what is there refuses more, and changes still pass.
        let limits = Limits::default().with(DOCUMENTS, Some(1));
        fixture.platform().set_limits(client.id, &limits).await?;
        let db = process.tenant(client.id).await?;
        let changed = db.insert("documents").set("id", first).set("title", "again");
        assert_eq!(changed.on_conflict_update(["id"], ["title"]).execute().await?, 1);
        assert!(is_reached(&add(&db, 0).await));
    }
    process.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn the_error_says_the_limit_the_use_and_the_tier_that_lifts_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    platform.apply_tiers(&TierCatalog::agents()).await?;
    let options = fixture
        .manager_options()
        .counts("agents", Limit::MAX_AGENTS)
        .counts("documents", DOCUMENTS);
    let process = ClientConnectionManager::connect(options).await?;
    let acme = platform
        .create_client(NewClient::new("Acme", "acme".parse()?, "free"))
        .await?;
    let db = process.tenant(acme.id).await?;
    let agents = |db: &TenantDb, slugs: &[&'static str]| {
        let rows = db.insert("agents").rows(slugs.to_vec(), |row, slug| {
            row.set("slug", slug).set("name", slug);
        });
        rows.execute()
    };
    agents(&db, &["a", "b", "c"]).await?;
    let refused = agents(&db, &["d"]).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "client {} has used 3 of 3 max_agents; tier starter allows more",
            acme.id
        )
    );
    assert_eq!(
        (refused.kind(), refused.is_retryable()),
        (tenantry::ErrorKind::Plan, false)
    );
    let many: Vec<&'static str> = vec!["d", "e", "f", "g", "h", "i", "j", "k"];
    let refused = agents(&db, &many).await.unwrap_err();
    assert!(
        matches!(&refused, Error::LimitReached { lifted_by: Some(tier), .. } if tier.as_str() == "professional"),
        "{refused:?}"
    );
    // A limit of its own is with it in every tier.
    platform.set_grace_days(acme.id, Some(0)).await?;
    platform
        .set_limits(acme.id, &Limits::default().with(Limit::MAX_AGENTS, Some(2)))
        .await?;
    let refused = agents(&db, &["d"]).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::LimitReached {
                allowed: 2,
                used: 3,
                lifted_by: None,
                ..
            }
        ),
        "{refused:?}"
    );

    // A snapshot older than the lock would not see what others added.
    for isolation in [Isolation::RepeatableRead, Isolation::Serializable] {
        let mut tx = db
            .begin_with(TransactionOptions::default().isolation(isolation))
            .await?;
        let refused = tx
            .insert("documents")
            .set("title", "x")
            .execute()
            .await
            .unwrap_err();
        assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
        tx.rollback().await?;
    }
    let mut tx = db.begin().await?;
    let refused = tx.reserve(Limit::MAX_USERS, 1).await.unwrap_err();
    assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
    tx.rollback().await?;
    let refused = db
        .insert("docments")
        .set("title", "x")
        .execute()
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::UnknownTable { .. }), "{refused:?}");
    assert_eq!(platform.tiers().await?, TierCatalog::agents());
    process.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_plan_that_changed_is_heeded_by_a_process_that_remembers_the_old_one() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let process = process(&fixture).await?;
    for client in [
        fixture.shared_client("acme").await?,
        fixture.dedicated_client("vast").await?,
    ] {
        let limited = |most| Limits::default().with(DOCUMENTS, most);
        platform.set_limits(client.id, &limited(Some(1))).await?;
        let db = process.tenant(client.id).await?;
        add(&db, 0).await?;
        assert!(is_reached(&add(&db, 0).await));
        // It rose: the handle is of the plan before.
        for (way, most) in [(0, Some(2)), (1, Some(3)), (2, Some(4)), (3, None)] {
            platform.set_limits(client.id, &limited(most)).await?;
            add(&db, way).await?;
        }
        assert_eq!(db.query("documents").count().await?, 5);
    }
    // It fell, from no limit at all: the pool database refuses the route, and what is asked again is counted.
    let acme = fixture.shared_client("bolt").await?;
    let db = process.tenant(acme.id).await?;
    add(&db, 0).await?;
    for way in 0..4 {
        platform
            .set_limits(acme.id, &Limits::default().with(DOCUMENTS, Some(1)))
            .await?;
        assert!(is_reached(&add(&db, way).await), "{way}");
    }
    process.close().await;
    fixture.close().await;
    Ok(())
}
