//! What a statement's plan is under the scope, and what row-level security keeps from it.
#![expect(clippy::disallowed_methods, reason = "prepares and asks as the admin role")]

use sqlx::types::Json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tenantry::testing::Fixture;
use tenantry::{Error, Explain, Pattern};

use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const INDEXED: &str = "
    create index agents_by_settings on agents using gin (settings) with (fastupdate = off);
    create index agents_by_name on agents (client_id, name text_pattern_ops);
    create index agents_by_text on agents using gin (to_tsvector('english', description))";

#[tokio::test]
async fn an_index_that_row_level_security_keeps_from_a_condition_is_told() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    let vast = fixture.dedicated_client("vast").await?;
    let manager = fixture.manager().await?;
    let (acme, vast) = (manager.tenant(acme.id).await?, manager.tenant(vast.id).await?);
    for (db, database) in [(&acme, "pool-1"), (&vast, "vast")] {
        let mut admin =
            PgConnection::connect_with(&fixture.admin_options(&fixture.database(database))).await?;
        admin.execute(sqlx::raw_sql(INDEXED)).await?;
        db.insert("agents")
            .rows(0..2_000, |row, number| {
                row.set("slug", format!("agent-{number}"))
                    .set("name", format!("Agent {number}"))
                    .set("system_prompt", "Answers what it is asked. ".repeat(20))
                    .set("settings", Json(serde_json::json!({ "number": number })));
            })
            .execute()
            .await?;
        admin.execute("analyze agents").await?;
        // Who passes row-level security gets the index.
        let plan: Vec<(String,)> =
            sqlx::query_as("explain select id from agents where settings @> '{\"number\": 7}'")
                .fetch_all(&mut admin)
                .await?;
        assert!(
            plan.iter().any(|(line,)| line.contains("agents_by_settings")),
            "{plan:?}"
        );
        admin.close().await?;

        let number = || Json(serde_json::json!({ "number": 7 }));
        let found = db.query("agents").contains("settings", number());
        assert_eq!(found.count().await?, 1);
        let explained = db.query("agents").contains("settings", number());
        let explained = explained.explain(Explain::Plan).await?;
        let uses = explained
            .plan
            .iter()
            .any(|line| line.contains("agents_by_settings"));
        if db.pool_statistics().is_some() {
            assert!(!uses, "{explained}");
            assert_eq!(explained.warnings.len(), 1, "{explained}");
            assert!(explained.warnings[0].contains("agents.settings @> from the index agents_by_settings"));
            let like = db
                .query("agents")
                .like("name", Pattern::starting_with("Agent 77"));
            let explained = like.explain(Explain::Plan).await?;
            assert!(explained.warnings[0].contains("agents_by_name"), "{explained}");
            let text = tenantry::TextSearch::web("helpful").language("english");
            let explained = db
                .query("agents")
                .matches("description", text)
                .explain(Explain::Plan)
                .await?;
            assert!(explained.warnings[0].contains("agents_by_text"), "{explained}");
        } else {
            assert!(uses && explained.warnings.is_empty(), "{explained}");
        }
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

#[tokio::test]
async fn a_plan_is_that_of_the_statement_as_it_is_scoped_and_a_write_is_not_done() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?;
    let manager = fixture.manager().await?;
    let acme = manager.tenant(acme.id).await?;
    acme.insert("agents")
        .set("slug", "guide")
        .set("name", "Guide")
        .execute()
        .await?;

    let by_slug = || acme.query("agents").eq("slug", "guide");
    let explained = by_slug().explain(Explain::Analyze).await?;
    let text = explained.to_string();
    assert!(
        text.contains("actual") && text.contains("client_id") && text.contains("One-Time Filter"),
        "{text}"
    );
    assert!(explained.warnings.is_empty(), "{text}");

    let explained = acme.delete("agents").all().explain(Explain::Plan).await?;
    assert!(explained.plan[0].contains("Delete on agents"), "{explained}");
    assert_eq!(by_slug().count().await?, 1);
    let analysed = acme.delete("agents").all().explain(Explain::Analyze).await;
    assert!(
        matches!(analysed, Err(Error::StatementRefused { .. })),
        "{analysed:?}"
    );
    let mut tx = acme.begin().await?;
    let explained = tx
        .query("agents")
        .eq("slug", "guide")
        .explain(Explain::Plan)
        .await?;
    assert!(!explained.plan.is_empty());
    tx.commit().await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}
