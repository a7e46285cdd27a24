#![expect(clippy::unwrap_used, reason = "an attack that succeeds fails its test")]

use sqlx::types::chrono::Utc;
use tenantry::Error;
use uuid::Uuid;

use super::{Arena, Home, Outcome, SECRET, from_both_homes, withstand};
use crate::support::{TABLES, embedding};

from_both_homes![
    no_condition_of_a_query_finds_a_foreign_row,
    no_update_or_delete_reaches_a_foreign_row,
    no_row_is_written_as_another_client,
    no_row_refers_to_a_foreign_one,
    deleting_everything_cascades_into_own_rows_alone,
    no_function_answers_for_another_client,
    statements_of_a_transaction_are_scoped_alike,
];

async fn no_condition_of_a_query_finds_a_foreign_row(arena: &mut Arena) -> Outcome {
    let db = &arena.attacker;
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        let (_, mine) = arena.mine.of(table);
        assert_eq!(db.query(table).eq(key, mine).count().await?, 1, "{table}");
        assert_eq!(db.query(table).count().await?, 1, "{table}");
        assert_eq!(db.query(table).eq(key, theirs).count().await?, 0, "{table}");
        assert_eq!(db.query(table).is_in(key, vec![theirs, mine]).count().await?, 1);
        assert_eq!(db.query(table).ge(key, Uuid::nil()).count().await?, 1, "{table}");
        let found: Vec<(Uuid,)> = db.query(table).columns([key]).ne(key, mine).fetch_all().await?;
        assert!(found.is_empty(), "{table}: {found:?}");
        let found: Option<(Uuid,)> = db
            .query(table)
            .columns([key])
            .eq(key, theirs)
            .fetch_optional()
            .await?;
        assert_eq!(found, None, "{table}");
    }
    Ok(())
}

async fn no_update_or_delete_reaches_a_foreign_row(arena: &mut Arena) -> Outcome {
    let db = &arena.attacker;
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        let now = Utc::now();
        let updated = db.update(table).set("created_at", now).eq(key, theirs).execute();
        assert_eq!(updated.await?, 0, "{table}");
        let updated = db.update(table).set("created_at", now).all().execute();
        assert_eq!(updated.await?, 1, "{table}");
        let updated: Vec<(Uuid,)> = db
            .update(table)
            .set("created_at", now)
            .is_in(key, vec![theirs])
            .returning([key])
            .fetch_all()
            .await?;
        assert!(updated.is_empty(), "{table}: {updated:?}");
        assert_eq!(db.delete(table).eq(key, theirs).execute().await?, 0, "{table}");
        let deleted: Vec<(Uuid,)> = db
            .delete(table)
            .is_in(key, vec![theirs])
            .returning([key])
            .fetch_all()
            .await?;
        assert!(deleted.is_empty(), "{table}: {deleted:?}");
    }
    Ok(())
}

async fn no_row_is_written_as_another_client(arena: &mut Arena) -> Outcome {
    let (db, victim) = (&arena.attacker, arena.victim_id());
    for table in TABLES {
        let (key, mine) = arena.mine.of(table);
        let attempts = [
            db.insert(table).set("client_id", victim).execute().await,
            db.insert(table)
                .rows([()], |row, ()| {
                    row.set("client_id", victim.to_string());
                })
                .execute()
                .await,
            db.update(table)
                .set("client_id", victim)
                .eq(key, mine)
                .execute()
                .await,
            db.query(table).eq("client_id", victim).count().await,
            db.update(table)
                .set("created_at", Utc::now())
                .eq("client_id", victim)
                .execute()
                .await,
            db.delete(table).eq("client_id", victim).execute().await,
        ];
        for attempt in attempts {
            assert!(matches!(attempt, Err(Error::ForeignClient { .. })), "{attempt:?}");
        }
        // Not by another comparison either, nor as a name that is not spelt as one.
        let attempts = [
            db.query(table).is_in("client_id", vec![victim]).count().await,
            db.query(table).ne("client_id", Uuid::nil()).count().await,
            db.query(table).columns(["client_id"]).count().await,
            db.query(format!("{table} t, {table}")).count().await,
            db.query(table).is_null("id or true").count().await,
        ];
        for (number, attempt) in attempts.into_iter().enumerate() {
            // Counting needs no columns, so naming one is not looked at.
            let harmless = number == 2 && matches!(attempt, Ok(1));
            assert!(attempt.is_err() || harmless, "{number}: {attempt:?}");
        }
    }
    Ok(())
}

async fn no_row_refers_to_a_foreign_one(arena: &mut Arena) -> Outcome {
    let (db, theirs, mine) = (&arena.attacker, arena.theirs, arena.mine);
    let attempts = [
        db.insert("agent_documents")
            .set("agent_id", theirs.agent)
            .set("document_id", mine.document)
            .execute()
            .await,
        db.insert("agent_documents")
            .set("agent_id", mine.agent)
            .set("document_id", theirs.document)
            .execute()
            .await,
        db.insert("document_chunks")
            .set("document_id", theirs.document)
            .set("chunk_index", 1)
            .set("content", "x")
            .execute()
            .await,
        db.insert("conversations")
            .set("user_id", "eve")
            .set("agent_id", theirs.agent)
            .execute()
            .await,
        db.insert("conversation_transcripts")
            .set("conversation_id", theirs.conversation)
            .set("user_id", "eve")
            .set("role", "user")
            .set("content", "x")
            .execute()
            .await,
        db.insert("user_overviews")
            .set("user_id", "eve")
            .set("agent_id", theirs.agent)
            .execute()
            .await,
        db.update("conversations")
            .set("agent_id", theirs.agent)
            .all()
            .execute()
            .await,
        db.update("conversation_transcripts")
            .set("agent_id", theirs.agent)
            .all()
            .execute()
            .await,
        db.update("user_overviews")
            .set("agent_id", theirs.agent)
            .all()
            .execute()
            .await,
    ];
    for attempt in attempts {
        let error = attempt.unwrap_err();
        assert_eq!(error.sqlstate().as_deref(), Some("23503"), "{error:?}");
        // Nothing that is not there at all is refused otherwise: the refusal is no oracle.
        assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
    }
    Ok(())
}

async fn deleting_everything_cascades_into_own_rows_alone(arena: &mut Arena) -> Outcome {
    let db = &arena.attacker;
    // Natural keys that the victim has, too.
    for slug in ["guide", "scout"] {
        db.delete("agents").eq("slug", slug).execute().await?;
        db.insert("agents")
            .set("slug", slug)
            .set("name", "x")
            .execute()
            .await?;
    }
    assert_eq!(
        db.query("user_overviews").count().await?,
        0,
        "cascaded with the agent"
    );
    for table in ["agents", "documents", "conversations"] {
        assert!(db.delete(table).all().execute().await? > 0, "{table}");
    }
    for table in TABLES {
        assert_eq!(db.query(table).count().await?, 0, "{table}");
    }
    Ok(())
}

async fn no_function_answers_for_another_client(arena: &mut Arena) -> Outcome {
    let (db, victim) = (&arena.attacker, arena.victim_id());
    let foreign = [
        db.rpc("match_documents")
            .arg("p_client_id", victim)
            .arg("p_query_embedding", embedding())
            .execute()
            .await,
        db.rpc("match_conversation_transcripts_secure")
            .arg("p_client_id", victim)
            .arg("p_user_id", "ada")
            .arg("p_query_embedding", embedding())
            .execute()
            .await,
        db.rpc("get_user_overview_for_agent")
            .arg("p_client_id", victim)
            .arg("p_user_id", "ada")
            .arg("p_agent_id", arena.theirs.agent)
            .execute()
            .await,
    ];
    for attempt in foreign {
        assert!(matches!(attempt, Err(Error::ForeignClient { .. })), "{attempt:?}");
    }
    let own: Vec<(Uuid,)> = db
        .rpc("match_documents")
        .arg("p_query_embedding", embedding())
        .fetch_all()
        .await?;
    assert_eq!(own, [(arena.mine.chunk,)]);
    let own: Vec<(Uuid,)> = db
        .rpc("match_conversation_transcripts_secure")
        .arg("p_user_id", "ada")
        .arg("p_query_embedding", embedding())
        .arg("p_match_threshold", -1.0)
        .fetch_all()
        .await?;
    assert_eq!(own, [(arena.mine.transcript,)]);
    let own: Vec<(Uuid,)> = db
        .rpc("get_user_overview_for_agent")
        .arg("p_user_id", "ada")
        .arg("p_agent_id", arena.theirs.agent)
        .fetch_all()
        .await?;
    assert!(own.is_empty(), "{own:?}");
    let kernel = db.rpc("enter").arg("p_ticket", "").execute().await;
    assert!(matches!(kernel, Err(Error::UnknownFunction { .. })), "{kernel:?}");
    Ok(())
}

async fn statements_of_a_transaction_are_scoped_alike(arena: &mut Arena) -> Outcome {
    let victim = arena.victim_id();
    let mut tx = arena.attacker.begin().await?;
    for table in TABLES {
        let (key, theirs) = arena.theirs.of(table);
        assert_eq!(tx.query(table).count().await?, 1, "{table}");
        assert_eq!(tx.query(table).eq(key, theirs).count().await?, 0, "{table}");
        let updated = tx.update(table).set("created_at", Utc::now()).eq(key, theirs);
        assert_eq!(updated.execute().await?, 0, "{table}");
        assert_eq!(tx.delete(table).eq(key, theirs).execute().await?, 0, "{table}");
        let foreign = tx.insert(table).set("client_id", victim).execute().await;
        assert!(matches!(foreign, Err(Error::ForeignClient { .. })), "{foreign:?}");
    }
    // The builder's own predicate stands even where the transaction is told to be somebody else's.
    if arena.home == Home::Pool {
        let (pid, turn) = crate::support::hello(&mut tx).await?;
        let foreign = crate::support::ticket(&mut arena.admin, victim, pid, turn).await?;
        let hopped = crate::support::ask(&mut tx, crate::support::enter(&foreign)).await;
        assert_eq!(hopped, crate::support::Reply::one("entered"));
        for table in TABLES {
            assert_eq!(tx.query(table).count().await?, 0, "{table}");
        }
        let error = tx.commit().await.unwrap_err();
        assert!(matches!(error, Error::ScopeRefused { .. }), "{error:?}");
    }
    Ok(())
}
