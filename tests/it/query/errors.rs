use futures_util::TryFutureExt as _;
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
#[expect(clippy::too_many_lines, reason = "a list of cases")]
async fn a_value_of_another_type_is_told_with_its_column() -> Outcome {
    let library = Library::start().await?;
    let id = Uuid::nil();
    for db in library.homes() {
        let text = || "x".to_owned();
        let mismatches = [
            (
                db.query("books").eq("code", text()).count().await.map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.query("books").ne("code", 1).count().await.map(drop),
                "code",
                "uuid",
                "INT4",
            ),
            (
                db.query("books")
                    .between("code", text(), text())
                    .count()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.query("books")
                    .is_in("code", vec![text()])
                    .count()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT[]",
            ),
            (
                db.query("books")
                    .is_not_in("code", vec![1_i64])
                    .count()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "INT8[]",
            ),
            (
                db.query("books").eq("pages", id).count().await.map(drop),
                "pages",
                "integer",
                "UUID",
            ),
            (
                db.query("books")
                    .gt("id", 1_i64)
                    .any_of(|any| any.eq("title", 1))
                    .count()
                    .await
                    .map(drop),
                "title",
                "text",
                "INT4",
            ),
            (
                db.query("authors")
                    .has(tenantry::Join::inner("books").by("author_id"), |book| {
                        book.eq("code", 1)
                    })
                    .count()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "INT4",
            ),
            (
                db.insert("books")
                    .set("id", 9_i64)
                    .set("title", "x")
                    .set("meta", 1)
                    .execute()
                    .await
                    .map(drop),
                "meta",
                "jsonb",
                "INT4",
            ),
            (
                db.insert("books")
                    .set("id", 9_i64)
                    .set("title", "x")
                    .set("code", text())
                    .execute()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.insert("books")
                    .rows([8_i64, 9], |row, id| {
                        row.set("id", id).set("title", "x").set("code", "x");
                    })
                    .execute()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.update("books")
                    .set("code", text())
                    .all()
                    .execute()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.update("books")
                    .set("pages", 1)
                    .eq("code", text())
                    .execute()
                    .await
                    .map(drop),
                "code",
                "uuid",
                "TEXT",
            ),
            (
                db.update("authors")
                    .set("name", "x")
                    .eq("id", 1_i64)
                    .expect_version("version", text())
                    .execute()
                    .await
                    .map(drop),
                "version",
                "bigint",
                "TEXT",
            ),
            (
                db.delete("books").eq("tags", text()).execute().await.map(drop),
                "tags",
                "text[]",
                "TEXT",
            ),
            (
                db.begin()
                    .and_then(async |mut tx| tx.query("books").eq("code", 1).count().await)
                    .await
                    .map(drop),
                "code",
                "uuid",
                "INT4",
            ),
        ];
        for (number, (answer, its_column, its_type, its_value)) in mismatches.into_iter().enumerate() {
            assert!(
                matches!(&answer, Err(Error::TypeMismatch { column, expected, given, .. })
                    if column == its_column && expected == its_type && given == its_value),
                "{number}: {answer:?}"
            );
        }
        // What the database turns into each other by itself is no mistake, and another's is not put on it.
        assert_eq!(
            db.query("books")
                .eq("id", 1_i32)
                .eq("pages", 120_i64)
                .count()
                .await?,
            1
        );
        assert_eq!(
            db.query("books")
                .eq("label", "ours")
                .eq("title", "Gärten")
                .count()
                .await?,
            1
        );
        assert_eq!(
            db.query("books")
                .is_in("label", vec!["ours".to_owned()])
                .is_in("id", vec![1_i32])
                .count()
                .await?,
            1
        );
        let set = db
            .update("books")
            .set("label", "new")
            .set("pages", 7_i16)
            .eq("id", 5_i32);
        assert_eq!(set.execute().await?, 1);
        let other = db
            .query("books")
            .eq("id", 1_i32)
            .raw(|sql| sql.push("title = 7"))
            .count()
            .await;
        assert!(matches!(&other, Err(Error::Statement { .. })), "{other:?}");
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

#[tokio::test]
async fn the_same_text_with_values_of_other_types_is_another_statement() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| {
            db.insert("samples")
                .set("id", 1_i64)
                .set("ratio", 1.0)
                .set("small", 1_i16)
                .execute()
                .await?;
            let mut found = Vec::new();
            // Eight bytes each, and four: of one type they would be read as another.
            for _ in 0..2 {
                let samples = || db.query("samples");
                found.push(samples().eq("ratio", 1.0).count().await?);
                found.push(samples().eq("ratio", 1_i64).count().await?);
                found.push(samples().eq("ratio", 1_i32).count().await?);
                found.push(samples().eq("ratio", 1.0_f32).count().await?);
                found.push(samples().between("ratio", 1, 2.0).count().await?);
                found.push(samples().between("ratio", 1.0, 2_i64).count().await?);
                found.push(samples().is_in("small", vec![1_i32]).count().await?);
                found.push(samples().is_in("small", vec![1_i64]).count().await?);
                found.push(samples().is_in("small", vec![1_i16]).count().await?);
                found.push(samples().eq(Expr::column("ratio").plus(1), 2.0).count().await?);
                found.push(
                    samples()
                        .eq(Expr::column("ratio").plus(1.0), 2_i64)
                        .count()
                        .await?,
                );
                found.push(
                    samples()
                        .raw(|sql| sql.push("ratio = ").push_bind(1_i64))
                        .count()
                        .await?,
                );
                found.push(
                    samples()
                        .raw(|sql| sql.push("ratio = ").push_bind(1.0))
                        .count()
                        .await?,
                );
                found.push(
                    db.update("samples")
                        .set("ratio", 1_i64)
                        .eq("id", 1_i32)
                        .execute()
                        .await?,
                );
                found.push(
                    db.update("samples")
                        .set("ratio", 1.0)
                        .eq("id", 1_i64)
                        .execute()
                        .await?,
                );
                let scalar: i64 = db
                    .query("samples")
                    .columns([Expr::value(1_i64)])
                    .fetch_scalar()
                    .await?;
                let double: f64 = db
                    .query("samples")
                    .columns([Expr::value(1.0)])
                    .fetch_scalar()
                    .await?;
                assert!(scalar == 1 && (double - 1.0).abs() < f64::EPSILON);
                for id in [2_i64, 3] {
                    let id_of_four = i32::try_from(id).unwrap_or_default();
                    let rows = db.insert("samples").rows([1, 2], |row, at| {
                        row.set("id", id * 100 + at).set("ratio", id_of_four);
                    });
                    found.push(rows.execute().await?);
                    let rows = db.insert("samples").rows([3, 4], |row, at| {
                        row.set("id", i64::from(id_of_four) * 100 + at).set("ratio", 0.5);
                    });
                    found.push(rows.execute().await?);
                }
                db.delete("samples").gt("id", 1_i32).execute().await?;
            }
            Ok(found)
        })
        .await?;
    assert_eq!(found[..15], [1; 15], "{found:?}");
    assert_eq!(found[15..19], [2; 4], "{found:?}");
    assert_eq!(found[..19], found[19..]);
    library.close().await
}
