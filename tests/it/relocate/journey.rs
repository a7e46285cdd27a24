//! There, and back.

use tenantry::testing::Fixture;
use tenantry::{Metric, Phase, Placement, RelocateTo, RelocationOptions, VectorIndex};

use super::{Outcome, own_database, relocation, rows};
use crate::sql::{connect, one};
use crate::support::{HOST, fill};

#[tokio::test]
async fn a_client_moves_to_a_database_of_its_own_and_its_rows_at_the_source_go_when_it_is_complete() -> Outcome
{
    for plain in [true, false] {
        let fixture = Fixture::start(&HOST).await?;
        let acme = fixture.shared_client("acme").await?;
        let bolt = fixture.shared_client("bolt").await?;
        let manager = fixture.manager().await?;
        let db = manager.tenant(acme.id).await?;
        fill(&db, "acme").await?;
        fill(&manager.tenant(bolt.id).await?, "bolt").await?;
        let (before, others) = (
            rows(&fixture, "pool-1", acme.id).await,
            rows(&fixture, "pool-1", bolt.id).await,
        );
        let to = own_database(&fixture, "acme", acme.id).await;
        let relocation = relocation(&fixture);
        let relocation = if plain {
            relocation
        } else {
            relocation.options(RelocationOptions::default().plain_up_to(0))
        };

        let plan = relocation.plan(acme.id, &to).await?;
        assert!(plan.is_possible(), "{:?}", plan.findings);
        assert_eq!((plan.plain, plan.rows()), (plain, 7), "{:?}", plan.tables);
        let moved = relocation.start(acme.id, &to).await?;

        assert_eq!(moved.phase, Phase::Moved);
        let certificate = moved.certificate.unwrap();
        assert!(certificate.compared_in_full);
        assert_eq!(certificate.tables.iter().map(|table| table.rows).sum::<u64>(), 7);
        assert_eq!(rows(&fixture, "acme", acme.id).await, before);
        // A handle of before goes where the client is.
        db.insert("agents")
            .set("slug", "second")
            .set("name", "Second")
            .execute()
            .await?;
        assert_eq!(
            manager.tenant(acme.id).await?.client().placement,
            Placement::Dedicated
        );
        assert_eq!(rows(&fixture, "acme", acme.id).await.len(), 8);
        assert_eq!(rows(&fixture, "pool-1", acme.id).await, before);

        let done = relocation.complete(acme.id).await?;
        assert_eq!(done.phase, Phase::Completed);
        assert!(rows(&fixture, "pool-1", acme.id).await.is_empty());
        assert_eq!(rows(&fixture, "pool-1", bolt.id).await, others);
        manager.close().await;
        fixture.close().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_client_moves_from_pool_to_pool_and_from_its_own_database_to_a_pool() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?;
    let vast = fixture.dedicated_client("vast").await?;
    let manager = fixture.manager().await?;
    let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(0));
    for (client, from) in [(acme.id, "pool-1"), (vast.id, "vast")] {
        let db = manager.tenant(client).await?;
        fill(&db, from).await?;
        let before = rows(&fixture, from, client).await;
        let moved = relocation.start(client, &RelocateTo::Pool(second)).await?;
        assert_eq!(moved.phase, Phase::Moved);
        assert_eq!(rows(&fixture, "pool-2", client).await, before);
        assert_eq!(db.query("agents").count().await?, 1);
        assert_eq!(
            manager.tenant(client).await?.client().placement,
            Placement::Pool(second)
        );
        relocation.complete(client).await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn vector_indexes_of_its_own_go_with_it() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    fill(&manager.tenant(acme.id).await?, "acme").await?;
    let index = VectorIndex::new("document_chunks", "embedding")
        .metric(Metric::L2)
        .m(8);
    let promoted = fixture.platform().promote_vectors(acme.id, &index).await?;
    let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(0));
    relocation.start(acme.id, &RelocateTo::Pool(second)).await?;
    relocation.complete(acme.id).await?;
    for (database, there) in [("pool-1", false), ("pool-2", true)] {
        let mut admin = connect(fixture.admin_options(&fixture.database(database))).await;
        let has = format!(
            "select exists (select from pg_indexes where indexname = '{}' and indexdef like '%l2_ops) WITH (m=''8''%')",
            promoted.index
        );
        assert_eq!(one::<bool>(&mut admin, &has).await, there, "{database}");
    }
    // It is found there, and not built again.
    assert!(!fixture.platform().promote_vectors(acme.id, &index).await?.built);
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn what_was_written_since_comes_back_when_it_is_reverted() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    fill(&db, "acme").await?;
    let own = own_database(&fixture, "acme", acme.id).await;
    let relocation = relocation(&fixture);
    for (to, there) in [(own, "acme"), (RelocateTo::Pool(second), "pool-2")] {
        relocation.start(acme.id, &to).await?;
        db.update("agents").set("name", there).all().execute().await?;
        db.insert("agents")
            .set("slug", there)
            .set("name", "new")
            .execute()
            .await?;
        relocation.follow_back(acme.id).await?;
        db.delete("documents").all().execute().await?;
        let written = rows(&fixture, there, acme.id).await;
        let reverted = relocation.revert(acme.id).await?;
        assert_eq!(reverted.phase, Phase::Reverted);
        assert_eq!(rows(&fixture, "pool-1", acme.id).await, written);
        assert!(rows(&fixture, there, acme.id).await.is_empty());
        db.insert("documents").set("title", "back").execute().await?;
        assert_eq!(
            manager.tenant(acme.id).await?.client().placement,
            Placement::Pool(fixture.pool())
        );
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}
