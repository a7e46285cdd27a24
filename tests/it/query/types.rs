//! Values that are not of their columns' own types.

use futures_util::TryFutureExt as _;
use tenantry::{Error, Expr, Join, Result};
use uuid::Uuid;

use super::{Library, Outcome};

/// That an answer names the column with its type, and the type that was given.
#[expect(clippy::needless_pass_by_value, reason = "an answer is told once")]
fn expect<T: std::fmt::Debug>(answer: Result<T>, its_column: &str, its_type: &str, its_value: &str) {
    assert!(
        matches!(&answer, Err(Error::TypeMismatch { column, expected, given, .. })
            if column == its_column && expected == its_type && given == its_value),
        "{its_column} {its_value}: {answer:?}"
    );
}

fn text() -> String {
    "x".to_owned()
}

#[tokio::test]
async fn a_value_of_another_type_in_a_condition_is_told_with_its_column() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let books = || db.query("books");
        expect(books().eq("code", text()).count().await, "code", "uuid", "TEXT");
        expect(books().ne("code", 1).count().await, "code", "uuid", "INT4");
        expect(
            books().between("code", text(), text()).count().await,
            "code",
            "uuid",
            "TEXT",
        );
        expect(
            books().is_in("code", vec![text()]).count().await,
            "code",
            "uuid",
            "TEXT[]",
        );
        expect(
            books().is_not_in("code", vec![1_i64]).count().await,
            "code",
            "uuid",
            "INT8[]",
        );
        expect(
            books().eq("pages", Uuid::nil()).count().await,
            "pages",
            "integer",
            "UUID",
        );
        expect(books().eq("tags", text()).count().await, "tags", "text[]", "TEXT");
        let any = books().gt("id", 1_i64).any_of(|any| any.eq("title", 1));
        expect(any.count().await, "title", "text", "INT4");
        let has = db
            .query("authors")
            .has(Join::inner("books").by("author_id"), |book| book.eq("code", 1));
        expect(has.count().await, "code", "uuid", "INT4");
        let inside = db
            .begin()
            .and_then(async |mut tx| tx.query("books").eq("code", 1).count().await);
        expect(inside.await, "code", "uuid", "INT4");
        let update = db.update("books").set("pages", 1).eq("code", text());
        expect(update.execute().await, "code", "uuid", "TEXT");
        let version = db
            .update("authors")
            .set("name", "x")
            .eq("id", 1_i64)
            .expect_version("version", text());
        expect(version.execute().await, "version", "bigint", "TEXT");
        expect(
            db.delete("books").eq("tags", text()).execute().await,
            "tags",
            "text[]",
            "TEXT",
        );
    }
    library.close().await
}

#[tokio::test]
async fn a_value_of_another_type_for_a_column_is_told_with_it() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let book = || db.insert("books").set("id", 9_i64).set("title", "x");
        expect(book().set("meta", 1).execute().await, "meta", "jsonb", "INT4");
        expect(book().set("code", text()).execute().await, "code", "uuid", "TEXT");
        let rows = db.insert("books").rows([8_i64, 9], |row, id| {
            row.set("id", id).set("title", "x").set("code", "x");
        });
        expect(rows.execute().await, "code", "uuid", "TEXT");
        expect(
            db.update("books").set("code", text()).all().execute().await,
            "code",
            "uuid",
            "TEXT",
        );
    }
    library.close().await
}

#[tokio::test]
async fn types_that_the_database_turns_into_each_other_are_no_mistake() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let count = db.query("books").eq("id", 1_i32).eq("pages", 120_i64).count();
        assert_eq!(count.await?, 1);
        let count = db
            .query("books")
            .eq("label", "ours")
            .eq("title", "Gärten")
            .count();
        assert_eq!(count.await?, 1);
        let among = db
            .query("books")
            .is_in("label", vec!["ours".to_owned()])
            .is_in("id", vec![1_i32]);
        assert_eq!(among.count().await?, 1);
        let set = db
            .update("books")
            .set("label", "new")
            .set("pages", 7_i16)
            .eq("id", 5_i32);
        assert_eq!(set.execute().await?, 1);
        // A mistake of another is not put on it.
        let other = db.query("books").eq("id", 1_i32).raw(|sql| sql.push("title = 7"));
        let other = other.count().await;
        assert!(matches!(&other, Err(Error::Statement { .. })), "{other:?}");
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
