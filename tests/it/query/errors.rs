use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};
use tenantry::{Error, ErrorKind, Expr};
use uuid::Uuid;

use super::{Library, Outcome};

/// A value that is never encoded.
struct Unspeakable;

impl Type<Postgres> for Unspeakable {
    fn type_info() -> PgTypeInfo {
        <String as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Unspeakable {
    fn encode_by_ref(&self, _buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Err("not to be told".into())
    }
}

#[tokio::test]
async fn names_that_are_not_there_are_told_with_the_nearest() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        for (answer, unknown, nearest) in [
            (db.query("book").count().await.map(drop), "book", "books"),
            (
                db.insert("bookz").set("id", 1_i64).execute().await.map(drop),
                "bookz",
                "books",
            ),
            (
                db.query("books").has("autors", |x| x).count().await.map(drop),
                "autors",
                "authors",
            ),
        ] {
            assert!(
                matches!(&answer, Err(Error::UnknownTable { table, nearest_name: Some(name), .. })
                    if table == unknown && name.ends_with(nearest)),
                "{answer:?}"
            );
        }
        let columns = [
            db.query("books").eq("titel", "x").count().await.map(drop),
            db.query("books")
                .columns(["titel"])
                .fetch_all::<(String,)>()
                .await
                .map(drop),
            db.query("books")
                .any_of(|any| any.is_null("titel"))
                .count()
                .await
                .map(drop),
            db.query("books")
                .group_by(["titel"])
                .columns([Expr::count()])
                .fetch_all::<(i64,)>()
                .await
                .map(drop),
            db.insert("books").set("titel", "x").execute().await.map(drop),
            db.insert("books")
                .set("id", 1_i64)
                .set("title", "x")
                .returning(["titel"])
                .fetch_one::<(String,)>()
                .await
                .map(drop),
            db.update("books")
                .set("titel", "x")
                .all()
                .execute()
                .await
                .map(drop),
            db.update("books")
                .set_expr("title", Expr::column("titel"))
                .all()
                .execute()
                .await
                .map(drop),
            db.delete("books").eq("titel", "x").execute().await.map(drop),
        ];
        for answer in columns {
            assert!(
                matches!(&answer, Err(Error::UnknownColumn { table, column, nearest_name: Some(name), .. })
                    if table == "books" && column == "titel" && name == "title"),
                "{answer:?}"
            );
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Usage);
        }
        let function = db.rpc("no_such").execute().await;
        assert!(
            matches!(function, Err(Error::UnknownFunction { .. })),
            "{function:?}"
        );
    }
    library.close().await
}

#[tokio::test]
async fn what_cannot_be_said_is_not_sent() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        let unspoken = [
            db.query("books").eq("title", Unspeakable).count().await.map(drop),
            db.query("books")
                .eq(Expr::column("title").lower(), Unspeakable)
                .count()
                .await
                .map(drop),
            db.query("books")
                .raw(|sql| sql.push("title = ").push_bind(Unspeakable))
                .count()
                .await
                .map(drop),
            db.insert("books")
                .set("title", Unspeakable)
                .execute()
                .await
                .map(drop),
            db.insert("books")
                .rows(1..=3_i64, |row, id| {
                    row.set("id", id).set("title", Unspeakable);
                })
                .execute()
                .await
                .map(drop),
            db.insert("books")
                .rows(1..=2_000_i64, |row, id| {
                    row.set("id", id).set("title", Unspeakable);
                })
                .execute()
                .await
                .map(drop),
            db.update("books")
                .set("title", Unspeakable)
                .all()
                .execute()
                .await
                .map(drop),
        ];
        for unspoken in unspoken {
            assert!(matches!(unspoken, Err(Error::Encode { .. })), "{unspoken:?}");
            assert!(!unspoken.unwrap_err().to_string().contains("not to be told"));
        }
        let many = db
            .query("books")
            .any_of(|any| (0..66_000_i64).fold(any, |any, id| any.eq("id", id)));
        let many = many.count().await;
        assert!(
            matches!(many, Err(Error::StatementRefused { reason, .. }) if reason.contains("65,535")),
            "{many:?}"
        );
        let group = db.query("books").any_of(|any| any.eq("id", 1_i64));
        assert_eq!(group.count().await?, 0);
        let refused = [
            db.insert("books").execute().await.map(drop),
            db.query("books")
                .column_as("id", "")
                .fetch_all::<(i64,)>()
                .await
                .map(drop),
            db.query("books")
                .column_as("id", "x".repeat(64))
                .fetch_all::<(i64,)>()
                .await
                .map(drop),
            db.query("books")
                .columns(["client_id"])
                .fetch_all::<(Uuid,)>()
                .await
                .map(drop),
            db.query("books")
                .order_by("client_id", tenantry::Order::Asc)
                .fetch_all::<(Uuid,)>()
                .await
                .map(drop),
        ];
        for refused in refused {
            assert!(
                matches!(refused, Err(Error::StatementRefused { .. })),
                "{refused:?}"
            );
        }
        let odd: Vec<(i64,)> = db
            .query("books")
            .column_as("id", "x\" from authors; --")
            .fetch_all()
            .await?;
        assert!(odd.is_empty());
    }
    library.close().await
}

#[tokio::test]
async fn conditions_by_themselves_are_no_statement() -> Outcome {
    let library = Library::empty().await?;
    for db in library.homes() {
        let mut kept = None;
        let taken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = db.query("books").any_of(|any| {
                kept = Some(any);
                std::panic::resume_unwind(Box::new(()))
            });
        }));
        assert!(taken.is_err());
        let kept = kept.unwrap();
        let error = kept.fetch_all::<(i64,)>().await.unwrap_err();
        assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
    }
    library.close().await
}
