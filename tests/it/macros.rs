//! sqlx inside a client's transaction: its macros, its builder, its streams and its errors.
//!
//! The macros are checked against `.sqlx`. After a change of theirs or of the tables, record it anew:
//! `cargo test --test compile_fail record -- --ignored`.
#![expect(
    clippy::disallowed_methods,
    reason = "SQL of a host's own, in the client's transaction"
)]

use futures_util::TryStreamExt as _;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{Either, Executor as _, Postgres, QueryBuilder, SqlSafeStr as _, Statement as _};
use tenantry::{ConstraintKind, Error, ErrorKind};
use uuid::Uuid;

use crate::homes::Homes;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Debug, PartialEq)]
struct Agent {
    slug: String,
    name: String,
    model_id: Option<String>,
}

#[tokio::test]
async fn the_macros_run_wherever_the_client_is() -> Outcome {
    let homes = Homes::open().await?;
    let before = Utc::now();
    for db in homes.each() {
        let mut tx = db.begin().await?;
        let name = format!("Guide of {}", db.client().name);
        let added = sqlx::query!(
            "insert into agents (slug, name) values ($1, $2) returning id, created_at",
            "guide",
            name
        )
        .fetch_one(&mut tx)
        .await?;
        let (id, created_at): (Uuid, DateTime<Utc>) = (added.id, added.created_at);
        // Both clocks are this machine's, and the server's has whole microseconds.
        assert!(created_at >= before - std::time::Duration::from_millis(1));

        let agents = sqlx::query_as!(Agent, "select slug, name, model_id from agents order by slug")
            .fetch_all(&mut tx)
            .await?;
        assert_eq!(
            agents,
            [Agent {
                slug: "guide".into(),
                name,
                model_id: None
            }]
        );
        let found = sqlx::query_scalar!("select slug from agents where id = $1", id)
            .fetch_optional(&mut tx)
            .await?;
        assert_eq!(found.as_deref(), Some("guide"));
        let count = sqlx::query_scalar!(r#"select count(*) as "count!" from agents"#)
            .fetch_one(&mut tx)
            .await?;
        assert_eq!(count, 1);
        let changed = sqlx::query!("update agents set model_id = $1", "small-2")
            .execute(&mut tx)
            .await?;
        assert_eq!(changed.rows_affected(), 1);
        tx.commit().await?;
        assert_eq!(db.query("agents").eq("model_id", "small-2").count().await?, 1);
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn the_query_builder_of_sqlx_runs_in_the_clients_scope() -> Outcome {
    let homes = Homes::open().await?;
    for db in homes.each() {
        let mut tx = db.begin().await?;
        let mut insert = QueryBuilder::<Postgres>::new("insert into agents (slug, name) ");
        insert.push_values(
            [("guide", "Guide"), ("scout", "Scout")],
            |mut row, (slug, name)| {
                row.push_bind(slug).push_bind(name);
            },
        );
        insert.build().execute(&mut tx).await?;

        let mut select = QueryBuilder::<Postgres>::new("select name from agents where slug in (");
        let mut slugs = select.separated(", ");
        slugs.push_bind("guide").push_bind("scout");
        select.push(") order by slug");
        let names: Vec<String> = select.build_query_scalar().fetch_all(&mut tx).await?;
        assert_eq!(names, ["Guide", "Scout"]);
        // Without a value it is prepared all the same.
        let mut count = QueryBuilder::<Postgres>::new("select count(*) from agents");
        assert_eq!(count.build_query_scalar::<i64>().fetch_one(&mut tx).await?, 2);
        tx.commit().await?;
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn rows_stream_and_the_transaction_goes_on_after_a_stream_was_dropped() -> Outcome {
    let homes = Homes::open().await?;
    for db in homes.each() {
        db.insert("documents")
            .rows(0..100, |row, n| {
                row.set("title", format!("{n:03}"));
            })
            .execute()
            .await?;
        let mut tx = db.begin().await?;
        let titles: Vec<String> = sqlx::query_scalar("select title from documents order by title")
            .fetch(&mut tx)
            .try_collect()
            .await?;
        assert_eq!(titles.len(), 100);

        let mut half =
            sqlx::query_as::<_, (String,)>("select title from documents order by title").fetch(&mut tx);
        assert_eq!(half.try_next().await?, Some(("000".to_owned(),)));
        drop(half);

        let sql = sqlx::query("select title from documents where title < $1").bind("002");
        let steps: Vec<_> = tx.fetch_many(sql).try_collect().await?;
        assert_eq!(
            steps
                .iter()
                .filter(|step| matches!(step, Either::Right(_)))
                .count(),
            2
        );
        let sql = "select count(*) from documents".into_sql_str();
        if homes.is_pooled(db) {
            // It would have a name.
            let refused = (&mut tx).prepare(sql).await.unwrap_err();
            let refused = Error::from_sqlx(db.client().id, refused);
            assert!(matches!(refused, Error::StatementRefused { .. }), "{refused:?}");
        } else {
            let statement = (&mut tx).prepare(sql).await?;
            let count: i64 = statement.query_scalar().fetch_one(&mut tx).await?;
            assert_eq!(count, 100);
        }
        tx.commit().await?;
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_statement_that_the_transaction_refuses_is_told_through_sqlx_and_harms_nothing() -> Outcome {
    let homes = Homes::open().await?;
    for db in homes.each() {
        let id = db.client().id;
        let mut tx = db.begin().await?;
        db_agent(&mut tx).await?;
        let error = sqlx::query("commit").execute(&mut tx).await.unwrap_err();
        // What a host sees: the crate's error inside the one variant of sqlx's that can hold it.
        let sqlx::Error::AnyDriverError(inner) = &error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(inner.downcast_ref(), Some(Error::StatementRefused { .. })),
            "{inner:?}"
        );
        let error = Error::from_sqlx(id, error);
        assert!(
            matches!(&error, Error::StatementRefused { client, .. } if *client == id),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Usage);

        let refusals = [
            sqlx::raw_sql("select 1; select 2")
                .execute(&mut tx)
                .await
                .unwrap_err(),
            tx.execute("select 1").await.unwrap_err(),
            sqlx::query("set role postgres")
                .execute(&mut tx)
                .await
                .unwrap_err(),
            sqlx::query("/* */ reset all")
                .fetch_all(&mut tx)
                .await
                .unwrap_err(),
            (&mut tx).prepare("rollback".into_sql_str()).await.unwrap_err(),
            (&mut tx).describe("rollback".into_sql_str()).await.unwrap_err(),
        ];
        for error in refusals {
            let error = Error::from_sqlx(id, error);
            assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
        }

        // Nothing of it was sent: the transaction is as it was.
        tx.commit().await?;
        assert_eq!(db.query("agents").count().await?, 1);
    }
    homes.close().await;
    Ok(())
}

async fn db_agent(tx: &mut tenantry::TenantTx) -> sqlx::Result<()> {
    sqlx::query("insert into agents (slug, name) values ('guide', 'Guide')")
        .execute(tx)
        .await
        .map(drop)
}

#[tokio::test]
async fn an_error_of_sqlx_becomes_what_it_means_for_the_client() -> Outcome {
    let homes = Homes::open().await?;
    let id = homes.acme.client().id;

    let mut tx = homes.acme.begin().await?;
    db_agent(&mut tx).await?;
    let error = Error::from_sqlx(id, db_agent(&mut tx).await.unwrap_err());
    assert!(
        matches!(
            error,
            Error::Constraint {
                kind: ConstraintKind::Unique,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.constraint(), Some("agents_client_id_slug_key"));
    assert!(tx.commit().await.is_err(), "the transaction had failed");

    let mut tx = homes.acme.begin().await?;
    sqlx::query("select tenantry.hello()").execute(&mut tx).await?;
    let error = Error::from_sqlx(id, db_agent(&mut tx).await.unwrap_err());
    assert!(
        matches!(error, Error::ScopeRefused { client, .. } if client == id),
        "{error:?}"
    );
    drop(tx);
    assert_eq!(homes.acme.query("agents").count().await?, 0);
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_dedicated_database_gives_its_pool_and_a_pool_database_none() -> Outcome {
    let homes = Homes::open().await?;
    assert!(homes.acme.pool().await?.is_none());
    assert!(homes.bolt.pool().await?.is_none());
    let pool = homes.vast.pool().await?.expect("a dedicated database has a pool");
    let count = sqlx::query_scalar!(r#"select count(*) as "count!" from agents"#)
        .fetch_one(&*pool)
        .await?;
    assert_eq!(count, 0);
    drop(pool);
    homes.close().await;
    Ok(())
}
