//! The searches of the reference platform, before and after their client is promoted.

use pgvector::Vector;
use sqlx::AssertSqlSafe;
use tenantry::testing::Fixture;
use tenantry::{TenantDb, VectorIndex};
use uuid::Uuid;

use super::{Outcome, scans};
use crate::sql::{connect, run};
use crate::support::HOST;

/// 1,300 chunks and as many transcripts, in 130 documents; the agent `tenth` has a tenth of them.
const ROWS: &str = "
    insert into agents (client_id, slug, name) values ('{client}', 'tenth', 'Tenth'), ('{client}', 'none', 'None');
    insert into documents (client_id, id, title)
    select '{client}', md5(n::text)::uuid, 'document ' || n from generate_series(0, 129) n;
    insert into agent_documents (client_id, agent_id, document_id)
    select client_id, id, md5(n::text)::uuid from agents, generate_series(0, 129, 10) n where slug = 'tenth';
    create temp table embeddings as
    select n, (select array_agg(sin((n % 20) * 12.9898 + d * 78.233) + 0.4 * sin(n * 0.731 + d * d * n * 0.0173))
               from generate_series(1, 1024) d)::vector(1024) as embedding
    from generate_series(0, 1299) n;
    insert into document_chunks (client_id, document_id, chunk_index, content, embedding)
    select '{client}', md5((n / 10)::text)::uuid, n % 10, 'chunk ' || n, embedding from embeddings;
    insert into conversations (client_id, user_id, title) values ('{client}', 'ada', 'all');
    insert into conversation_transcripts (client_id, conversation_id, agent_id, user_id, role, content, embedding)
    select '{client}', c.id, case when n % 10 = 0 then a.id end, case when n % 100 = 7 then 'bob' else 'ada' end,
           'user', 'transcript ' || n, embedding
    from embeddings, conversations c, agents a where c.client_id = '{client}' and a.slug = 'tenth'";

fn near(cluster: u16) -> Vector {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "of single precision as all vectors are"
    )]
    let value = |d: u16| (f64::from(cluster) * 12.9898 + f64::from(d) * 78.233).sin() as f32;
    Vector::from((1..=1024).map(value).collect::<Vec<_>>())
}

async fn documents(db: &TenantDb, cluster: u16, agent: Option<&str>) -> tenantry::Result<Vec<Uuid>> {
    let mut call = db
        .rpc("match_documents")
        .arg("p_query_embedding", near(cluster))
        .arg("p_match_threshold", -1.0);
    if let Some(agent) = agent {
        call = call.arg("p_agent_slug", agent);
    }
    let rows: Vec<(Uuid,)> = call.fetch_all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

async fn transcripts(db: &TenantDb, user: &str, agent: Option<&str>) -> tenantry::Result<Vec<Uuid>> {
    let mut call = db
        .rpc("match_conversation_transcripts_secure")
        .arg("p_user_id", user)
        .arg("p_query_embedding", near(3))
        .arg("p_match_threshold", -1.0);
    if let Some(agent) = agent {
        call = call.arg("p_agent_slug", agent);
    }
    let rows: Vec<(Uuid,)> = call.fetch_all().await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

fn shared(of: &[Uuid], with: &[Uuid]) -> usize {
    of.iter().filter(|id| with.contains(id)).count()
}

#[tokio::test]
async fn the_reference_searches_go_by_the_index_and_answer_the_same() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let database = fixture.database("pool-1");
    let mut admin = connect(fixture.admin_options(&database)).await;
    run(&mut admin, &ROWS.replace("{client}", &acme.to_string())).await;
    let db = manager.tenant(acme).await?;
    let mut exact = Vec::new();
    for agent in [None, Some("tenth")] {
        for cluster in 0..5 {
            exact.push((cluster, agent, documents(&db, cluster, agent).await?));
        }
    }
    let exact_transcripts = transcripts(&db, "ada", None).await?;
    let exact_of_tenth = transcripts(&db, "ada", Some("tenth")).await?;

    let platform = fixture.platform();
    let chunks = platform
        .promote_vectors(acme, &VectorIndex::new("document_chunks", "embedding"))
        .await?;
    let lines = platform
        .promote_vectors(acme, &VectorIndex::new("conversation_transcripts", "embedding"))
        .await?;
    assert_eq!((chunks.rows, lines.rows), (1_300, 1_300));
    // As if there were more than the functions read exactly.
    let mut superuser = connect(fixture.server().connect_options(&database)).await;
    run(
        &mut superuser,
        "update pg_class set reltuples = 5000 where relname ~ '^tenantry_nearest_'",
    )
    .await;

    for (cluster, agent, exact) in &exact {
        let found = documents(&db, *cluster, *agent).await?;
        assert_eq!((found.len(), exact.len()), (10, 10));
        assert!(shared(&found, exact) >= 9, "{cluster} {agent:?}");
    }
    assert!(documents(&db, 1, Some("none")).await?.is_empty());
    assert!(documents(&db, 1, Some("unknown")).await?.is_empty());
    let found = transcripts(&db, "ada", None).await?;
    assert_eq!(found.len(), 10);
    assert!(shared(&found, &exact_transcripts) >= 9);
    assert_eq!(transcripts(&db, "ada", Some("tenth")).await?, exact_of_tenth);
    assert_eq!(transcripts(&db, "bob", None).await?.len(), 10);
    assert!(transcripts(&db, "eve", None).await?.is_empty());

    // Each asks its own index, once. A few rows are not worth it.
    let mut tx = db.begin().await?;
    for (call, index, expected) in [
        (call("match_documents", "null", 10), &chunks.index, 1_i64),
        (call("match_documents", "'tenth'", 10), &chunks.index, 0),
        (transcripts_of("ada"), &lines.index, 1),
        (transcripts_of("bob"), &lines.index, 0),
    ] {
        let before = scans(&mut tx, index).await?;
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(call.clone()))
            .fetch_one(&mut tx)
            .await?;
        assert_eq!(rows, 10, "{call}");
        assert_eq!(scans(&mut tx, index).await?, before + expected, "{call}");
    }
    // Asked for long enough, the index gives fewer than are wanted: the search is exact again.
    sqlx::query("select set_config('hnsw.max_scan_tuples', '1', true)")
        .execute(&mut tx)
        .await?;
    let before = scans(&mut tx, &chunks.index).await?;
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(call("match_documents", "null", 120)))
        .fetch_one(&mut tx)
        .await?;
    assert_eq!(rows, 120);
    assert_eq!(scans(&mut tx, &chunks.index).await?, before + 1);
    tx.rollback().await?;

    // Asked for a tenth of the rows, the index is asked again until there are as many as are wanted.
    let mut tx = db.begin().await?;
    let scoped = "select count(*) from nearest_chunks(tenantry.current_client(), $1,
                  array(select document_id from agent_documents), 10) n
                  where n.document_id in (select document_id from agent_documents)";
    let rows: i64 = sqlx::query_scalar(scoped)
        .bind(near(2))
        .fetch_one(&mut tx)
        .await?;
    assert_eq!(rows, 10);
    tx.rollback().await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}

fn call(function: &str, agent: &str, count: u32) -> String {
    format!(
        "select count(*) from {function}(tenantry.current_client(), array_fill(1, array[1024])::vector, {agent}, -1, {count})"
    )
}

fn transcripts_of(user: &str) -> String {
    format!(
        "select count(*) from match_conversation_transcripts_secure(
             tenantry.current_client(), '{user}', array_fill(1, array[1024])::vector, p_match_threshold => -1)"
    )
}
