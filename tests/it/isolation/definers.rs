#![expect(clippy::disallowed_methods, reason = "makes functions as the superuser")]

use sqlx::{Connection as _, Executor as _};
use tenantry::Error;
use uuid::Uuid;

use super::{Arena, Home, Outcome};

#[tokio::test]
async fn a_function_of_its_owners_rights_is_called_where_it_is_allowed_by_name_and_holds_what_it_says()
-> Outcome {
    let arena = Arena::new(Home::Pool, 1).await?;
    let mut superuser = arena.superuser().await?;
    superuser
        .execute(sqlx::raw_sql(
            "create function every_agent() returns setof agents language sql security definer as 'select * from agents';
         create function own_agents(p_client_id uuid) returns setof agents language sql security definer
             as 'select * from agents a where a.client_id = p_client_id'",
        ))
        .await?;
    superuser.close().await?;
    let plain = arena.fixture.manager().await?;
    let db = plain.tenant(arena.attacker.client().id).await?;
    for function in ["every_agent", "own_agents"] {
        let refused = db.rpc(function).execute().await.unwrap_err();
        assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
    }
    let options = arena
        .fixture
        .manager_options()
        .allow_security_definer(["own_agents"]);
    let manager = tenantry::ClientConnectionManager::connect(options).await?;
    let attacker = manager.tenant(arena.attacker.client().id).await?;
    let own: Vec<(Uuid,)> = attacker.rpc("own_agents").fetch_all().await?;
    assert_eq!(own, [(arena.mine.agent,)]);
    let foreign = attacker.rpc("own_agents").arg("p_client_id", arena.victim_id());
    assert!(matches!(
        foreign.execute().await,
        Err(Error::ForeignClient { .. })
    ));
    // The other one is not, and would have answered for everybody.
    let refused = attacker.rpc("every_agent").execute().await.unwrap_err();
    assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
    plain.close().await;
    manager.close().await;
    arena.close().await
}
