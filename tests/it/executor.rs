//! SQL of a host's own inside transactions, wherever the client is.
#![expect(
    clippy::disallowed_methods,
    reason = "SQL of a host's own, in the client's transaction"
)]

use sqlx::Postgres;
use sqlx::query::Query;
use tenantry::{ConstraintKind, Error, Isolation, TransactionOptions};

use crate::homes::Homes;
use crate::sql::{connect, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn agent(slug: &str) -> Query<'_, Postgres, sqlx::postgres::PgArguments> {
    sqlx::query("insert into agents (slug, name) values ($1, 'x')").bind(slug)
}

#[tokio::test]
async fn every_isolation_and_access_is_had_wherever_the_client_is() -> Outcome {
    let homes = Homes::open().await?;
    for (isolation, level) in [
        (Isolation::ReadCommitted, "read committed"),
        (Isolation::RepeatableRead, "repeatable read"),
        (Isolation::Serializable, "serializable"),
    ] {
        for (db, home) in homes.one_of_each() {
            let options = TransactionOptions::default().isolation(isolation);
            let slug = level.replace(' ', "-");
            let settings = "select current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')";
            let mut tx = db.begin_with(options).await?;
            let set: String = sqlx::query_scalar(settings).fetch_one(&mut tx).await?;
            assert_eq!(set, format!("{level} off"), "{home}");
            agent(&slug).execute(&mut tx).await?;
            let renamed = sqlx::query("update agents set name = 'y' where slug = $1").bind(&slug);
            assert_eq!(renamed.execute(&mut tx).await?.rows_affected(), 1, "{home}");
            assert_eq!(
                tx.query("agents")
                    .eq("slug", &slug)
                    .eq("name", "y")
                    .count()
                    .await?,
                1
            );
            tx.commit().await?;

            let mut tx = db.begin_with(options.read_only()).await?;
            let set: String = sqlx::query_scalar(settings).fetch_one(&mut tx).await?;
            assert_eq!(set, format!("{level} on"), "{home}");
            let written = agent("never").execute(&mut tx).await.unwrap_err();
            let written = Error::from_sqlx(db.client().id, written);
            assert_eq!(
                written.sqlstate().as_deref(),
                Some("25006"),
                "{home}: {written:?}"
            );
            tx.rollback().await?;
            assert_eq!(db.query("agents").eq("slug", &slug).count().await?, 1, "{home}");
        }
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn savepoints_in_sql_undo_what_came_after_them() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let mut tx = db.begin().await?;
        agent("kept").execute(&mut tx).await?;
        sqlx::query("savepoint a").execute(&mut tx).await?;
        agent("undone").execute(&mut tx).await?;
        let twice = agent("kept").execute(&mut tx).await.unwrap_err();
        assert_eq!(
            Error::from_sqlx(db.client().id, twice).constraint(),
            Some("agents_client_id_slug_key")
        );
        sqlx::query("rollback to savepoint a").execute(&mut tx).await?;
        agent("after").execute(&mut tx).await?;
        sqlx::query("release savepoint a").execute(&mut tx).await?;
        tx.insert("agents")
            .set("slug", "last")
            .set("name", "x")
            .execute()
            .await?;
        tx.commit().await?;
        let mut slugs: Vec<(String,)> = db.query("agents").columns(["slug"]).fetch_all().await?;
        slugs.sort();
        assert_eq!(
            slugs,
            ["after", "kept", "last"].map(|slug| (slug.to_owned(),)),
            "{home}"
        );
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn constraints_are_deferred_to_the_commit_and_refuse_it() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let mut admin = connect(homes.fixture.admin_options(&homes.fixture.database(home))).await;
        run(
            &mut admin,
            "alter table agents alter constraint agents_model_id_fkey deferrable initially immediate",
        )
        .await;
        let astray = "insert into agents (slug, name, model_id) values ('a', 'x', 'nobody-1')";
        let mut tx = db.begin().await?;
        sqlx::query("set constraints all deferred")
            .execute(&mut tx)
            .await?;
        sqlx::query(astray).execute(&mut tx).await?;
        // Mended before it is looked at.
        sqlx::query("update agents set model_id = 'small-2'")
            .execute(&mut tx)
            .await?;
        sqlx::query("set constraints agents_model_id_fkey immediate")
            .execute(&mut tx)
            .await?;
        sqlx::query("delete from agents").execute(&mut tx).await?;
        tx.commit().await?;

        let mut tx = db.begin().await?;
        sqlx::query("set constraints all deferred")
            .execute(&mut tx)
            .await?;
        sqlx::query(astray).execute(&mut tx).await?;
        let refused = tx.commit().await.unwrap_err();
        assert!(
            matches!(&refused, Error::Constraint { kind: ConstraintKind::ForeignKey, step, .. } if step == "commit"),
            "{home}: {refused:?}"
        );
        assert_eq!(refused.constraint(), Some("agents_model_id_fkey"));
        // It is of the transaction: the next of the same session checks at once.
        let mut tx = db.begin().await?;
        let at_once = sqlx::query(astray).execute(&mut tx).await.unwrap_err();
        assert_eq!(
            Error::from_sqlx(db.client().id, at_once).constraint(),
            Some("agents_model_id_fkey")
        );
        tx.rollback().await?;
        assert_eq!(db.query("agents").count().await?, 0, "{home}");
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn isolation_and_access_are_not_changed_in_the_middle() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let mut tx = db.begin_with(TransactionOptions::default().read_only()).await?;
        for sql in [
            "set transaction read write",
            "set transaction read only",
            "set transaction isolation level serializable",
        ] {
            let refused = sqlx::query(sql).execute(&mut tx).await.unwrap_err();
            let refused = Error::from_sqlx(db.client().id, refused);
            assert!(
                matches!(refused, Error::StatementRefused { reason, .. } if reason.contains("begin_with")),
                "{home}: {refused:?}"
            );
        }
        tx.commit().await?;
    }
    homes.close().await;
    Ok(())
}
