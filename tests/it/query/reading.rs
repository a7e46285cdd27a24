use sqlx::postgres::PgRow;
use sqlx::{Column as _, FromRow, Row as _};
use tenantry::{Error, Expr, Order};

use super::{Library, Outcome};

/// In another order than the columns of the table.
#[derive(Debug, PartialEq, FromRow)]
struct Author {
    name: String,
    born: Option<i32>,
    slug: String,
}

/// The columns of a row.
struct Names(Vec<String>);

impl FromRow<'_, PgRow> for Names {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self(
            row.columns()
                .iter()
                .map(|column| column.name().to_owned())
                .collect(),
        ))
    }
}

#[tokio::test]
async fn rows_are_read_as_structs_tuples_and_scalars_alike() -> Outcome {
    let library = Library::start().await?;

    let authors: Vec<Author> = library
        .alike(async |db| db.query("authors").order_by("id", Order::Asc).fetch_all().await)
        .await?;
    assert_eq!(authors.len(), 3);
    assert_eq!(authors[0].name, "ada, ours");
    assert_eq!((authors[1].born, &*authors[2].slug), (None, "cyd"));

    let rows: Vec<(String, Option<i32>, i32)> = library
        .alike(async |db| {
            db.query("authors")
                .columns(["slug", "born"])
                .column_as(Expr::column("name").length(), "letters")
                .order_by("slug", Order::Desc)
                .fetch_all()
                .await
        })
        .await?;
    assert_eq!(rows[0], ("cyd".into(), Some(1905), 9));

    let slugs: Vec<String> = library
        .alike(async |db| {
            let query = db.query("authors").columns(["slug"]).order_by("id", Order::Asc);
            query.limit(2).offset(1).fetch_scalars().await
        })
        .await?;
    assert_eq!(slugs, ["bob", "cyd"]);

    let found = library
        .alike(async |db| {
            let slug = |id: i64| db.query("authors").columns(["slug"]).eq("id", id);
            let one: String = slug(2).fetch_scalar().await?;
            let none: Option<String> = slug(9).fetch_optional_scalar().await?;
            let row: Option<(String,)> = slug(3).fetch_optional().await?;
            let missing = slug(9).fetch_one::<(String,)>().await.unwrap_err();
            assert!(matches!(missing, Error::RowNotFound { .. }), "{missing:?}");
            let wrong = slug(1).fetch_one::<(i64,)>().await.unwrap_err();
            assert!(matches!(wrong, Error::Statement { .. }), "{wrong:?}");
            Ok((one, none, row))
        })
        .await?;
    assert_eq!(found, ("bob".into(), None, Some(("cyd".into(),))));

    let numbers = library
        .alike(async |db| {
            let count = db.query("books").gt("pages", 9).count().await?;
            // Neither counts what is fetched.
            let limited = db.query("books").limit(1).offset(2).count().await?;
            let exists = db.query("books").eq("title", "Gärten").exists().await?;
            let exists_not = db.query("books").eq("title", "garten").exists().await?;
            Ok((count, limited, exists, exists_not))
        })
        .await?;
    assert_eq!(numbers, (3, 5, true, false));

    // All columns but the scope's, in the table's order.
    let width = library
        .alike(async |db| {
            let names: Names = db.query("shelves").fetch_one().await?;
            Ok(names.0)
        })
        .await?;
    assert_eq!(width, ["id", "name"]);
    library.close().await
}

#[tokio::test]
async fn a_table_of_all_clients_is_read_and_never_written() -> Outcome {
    let library = Library::start().await?;
    let names: Vec<String> = library
        .alike(async |db| {
            let query = db
                .query("languages")
                .columns(["name"])
                .order_by("id", Order::Desc);
            query.fetch_scalars().await
        })
        .await?;
    assert_eq!(names, ["English", "German"]);
    for db in library.homes() {
        let error = db.delete("languages").all().execute().await.unwrap_err();
        assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
    }
    library.close().await
}

#[tokio::test]
async fn nulls_stand_where_the_order_says() -> Outcome {
    let library = Library::start().await?;
    for (order, expected) in [
        (Order::Asc, [5, 2, 1, 4, 3]),
        (Order::Desc, [3, 1, 4, 2, 5]),
        (Order::AscNullsFirst, [3, 5, 2, 1, 4]),
        (Order::DescNullsLast, [1, 4, 2, 5, 3]),
    ] {
        let ids: Vec<i64> = library
            .alike(async |db| {
                let query = db.query("books").columns(["id"]).order_by("pages", order);
                query.order_by("id", Order::Asc).fetch_scalars().await
            })
            .await?;
        assert_eq!(ids, expected, "{order:?}");
    }
    let by_length: Vec<i64> = library
        .alike(async |db| {
            let query = db.query("books").columns(["id"]);
            query
                .order_by(Expr::column("title").length(), Order::Asc)
                .fetch_scalars()
                .await
        })
        .await?;
    assert_eq!(by_length, [3, 2, 5, 1, 4]);
    library.close().await
}
