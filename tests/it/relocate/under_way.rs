//! A client that writes all the while.

use tenantry::testing::Fixture;
use tenantry::{Isolation, Phase, RelocateTo, RelocationOptions};

use super::writers::{As, Writers};
use super::{Outcome, own_database, relocation};
use crate::support::{HOST, fill};

const EACH: [As; 3] = [
    As::Statements,
    As::Transactions(Isolation::ReadCommitted),
    As::Transactions(Isolation::Serializable),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_lose_nothing_and_see_no_error_on_any_way() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme.id).await?;
    fill(&db, "acme").await?;
    for (plain, name) in [(0, "acme"), (100_000, "acme-2")] {
        let own = own_database(&fixture, name, acme.id).await;
        let relocation = relocation(&fixture).options(RelocationOptions::default().plain_up_to(plain));
        let writers = Writers::begin(&fixture, acme.id, &EACH).await;
        // To another pool and back with what was written; to its own database, and from there to a pool.
        for (to, stay) in [
            (RelocateTo::Pool(second), false),
            (own, true),
            (RelocateTo::Pool(fixture.pool()), true),
        ] {
            let moved = relocation.start(acme.id, &to).await?;
            assert_eq!(moved.phase, Phase::Moved);
            assert!(moved.certificate.unwrap().compared_in_full);
            writers.have_written(30).await;
            if stay {
                relocation.complete(acme.id).await?;
            } else {
                relocation.follow_back(acme.id).await?;
                relocation.revert(acme.id).await?;
            }
            writers.have_written(30).await;
        }
        writers.end(&db).await?;
        db.delete("documents")
            .like("title", tenantry::Pattern::starting_with("of "))
            .execute()
            .await?;
        db.delete("agents")
            .like("slug", tenantry::Pattern::starting_with("writer-"))
            .execute()
            .await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}
