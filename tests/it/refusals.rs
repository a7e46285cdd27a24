//! What the database refuses, and what the error says of it.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "SQL of a host's own, in the client's transaction"
)]

use sqlx::AssertSqlSafe;
use tenantry::{ConstraintKind, Error, ErrorKind, Limit, Limits, TenantDb};

use crate::homes::Homes;
use crate::sql::{connect, run};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// In the row that is refused, and in no message.
const VALUE: &str = "a-value-of-the-row";

/// The error of a statement in a transaction of its own.
async fn refusal(db: &TenantDb, sql: &str) -> tenantry::Result<Error> {
    let mut tx = db.begin().await?;
    let refused = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut tx).await;
    tx.rollback().await?;
    Ok(Error::from_sqlx(
        db.client().id,
        refused.expect_err("the database refuses it"),
    ))
}

/// The error and its message name the client, the constraint, its kind and its table, and not the row.
fn names(error: &Error, db: &TenantDb, (kind, name, table, state): (ConstraintKind, &str, &str, &str)) {
    let id = db.client().id;
    assert!(
        matches!(
            error,
            Error::Constraint { client, kind: found, constraint: Some(constraint), table: Some(of), .. }
                if *client == id && *found == kind && constraint == name && of == table
        ),
        "{error:?}"
    );
    assert_eq!(error.constraint(), Some(name));
    assert_eq!(error.sqlstate().as_deref(), Some(state));
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Database, false));
    let text = error.to_string();
    for part in [
        id.to_string(),
        kind.to_string(),
        name.to_owned(),
        format!("table {table}"),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    assert!(!text.contains(VALUE), "{text}");
}

#[tokio::test]
async fn a_constraint_is_named_with_its_kind_and_table_and_without_the_row() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        let mut admin = connect(homes.fixture.admin_options(&homes.fixture.database(home))).await;
        run(
            &mut admin,
            "alter table agents add constraint agents_by_prompt
             exclude using btree (client_id with =, system_prompt with =) where (system_prompt <> '')",
        )
        .await;
        let agent = |slug: &'static str| db.insert("agents").set("slug", slug).set("name", VALUE);
        agent(VALUE).set("system_prompt", VALUE).execute().await?;
        for (error, kind, name, table, state) in [
            (
                agent(VALUE).execute().await.unwrap_err(),
                ConstraintKind::Unique,
                "agents_client_id_slug_key",
                "agents",
                "23505",
            ),
            (
                agent("b")
                    .set("system_prompt", VALUE)
                    .execute()
                    .await
                    .unwrap_err(),
                ConstraintKind::Exclusion,
                "agents_by_prompt",
                "agents",
                "23P01",
            ),
            (
                refusal(
                    db,
                    &format!("insert into agents (slug, name, model_id) values ('c', 'x', '{VALUE}')"),
                )
                .await?,
                ConstraintKind::ForeignKey,
                "agents_model_id_fkey",
                "agents",
                "23503",
            ),
            (
                refusal(
                    db,
                    &format!("insert into agents (slug, name, description) values ('d', ' ', '{VALUE}')"),
                )
                .await?,
                ConstraintKind::Check,
                "agents_name_check",
                "agents",
                "23514",
            ),
            (
                refusal(
                    db,
                    &format!("update agents set name = null where slug = '{VALUE}'"),
                )
                .await?,
                ConstraintKind::NotNull,
                "name",
                "agents",
                "23502",
            ),
        ] {
            names(&error, db, (kind, name, table, state));
        }
        // Raised by hand, it names nothing.
        let raised = "do $$ begin raise exception 'no' using errcode = 'check_violation'; end $$";
        let error = refusal(db, raised).await?;
        assert!(
            matches!(
                &error,
                Error::Constraint {
                    kind: ConstraintKind::Check,
                    constraint: None,
                    table: None,
                    ..
                }
            ),
            "{home}: {error:?}"
        );
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn sql_that_the_database_does_not_understand_is_wrong_usage() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        for (sql, state, kind) in [
            ("select colour from agents", "42703", ErrorKind::Usage),
            ("select from nowhere", "42P01", ErrorKind::Usage),
            ("select 1 + 'x'::text", "42883", ErrorKind::Usage),
            ("selec 1", "42601", ErrorKind::Usage),
            ("select 'x'::int", "22P02", ErrorKind::Database),
            ("select 1 / 0", "22012", ErrorKind::Database),
            // Who may do what.
            ("truncate agents", "42501", ErrorKind::Database),
        ] {
            let error = refusal(db, sql).await?;
            assert_eq!(
                (error.sqlstate().as_deref(), error.kind(), error.is_retryable()),
                (Some(state), kind, false),
                "{home}: {sql}: {error:?}"
            );
        }
    }
    homes.close().await;
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_refused_and_not_worth_another_try() -> Outcome {
    let homes = Homes::open().await?;
    for (db, home) in homes.one_of_each() {
        if home != "vast" {
            let limits = Limits::default().with(Limit::STATEMENT_TIMEOUT_MS, Some(100));
            homes
                .fixture
                .platform()
                .set_limits(db.client().id, &limits)
                .await?;
        }
        let db = homes.manager.tenant(db.client().id).await?;
        let mut runs = 0;
        let error = db
            .run(|mut tx| {
                runs += 1;
                async move {
                    if home == "vast" {
                        sqlx::query("set local statement_timeout = 100")
                            .execute(&mut *tx)
                            .await?;
                    }
                    sqlx::query("select pg_sleep(60)").execute(&mut *tx).await?;
                    Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                }
            })
            .await
            .unwrap_err();
        let error = Error::from_sqlx(db.client().id, *error.downcast::<sqlx::Error>().unwrap());
        assert_eq!(error.sqlstate().as_deref(), Some("57014"), "{home}: {error:?}");
        assert_eq!(
            (error.kind(), error.is_retryable(), runs),
            (ErrorKind::Database, false, 1),
            "{home}"
        );
    }
    homes.close().await;
    Ok(())
}
