use tenantry::{Compare, Expr, Order};

use super::{Library, Outcome};

/// An author's books, those whose pages are known, their sum and their mean.
type PerAuthor = (Option<i64>, i64, i64, Option<i64>, Option<f64>);

#[tokio::test]
async fn groups_are_counted_summed_and_filtered_alike() -> Outcome {
    let library = Library::start().await?;
    let per_author: Vec<PerAuthor> = library
        .alike(async |db| {
            db.query("books")
                .columns(["author_id"])
                .column_as(Expr::count(), "books")
                .column_as(Expr::count_of("pages"), "counted")
                .column_as(Expr::sum("pages").as_bigint(), "pages")
                .column_as(Expr::avg("pages").as_double(), "mean")
                .group_by(["author_id"])
                .order_by("author_id", Order::Asc)
                .fetch_all()
                .await
        })
        .await?;
    assert_eq!(
        per_author,
        [
            (Some(1), 2, 2, Some(200), Some(100.0)),
            (Some(2), 2, 1, Some(120), Some(120.0)),
            (None, 1, 1, Some(9), Some(9.0)),
        ]
    );

    let busy = library
        .alike(async |db| {
            let groups = || {
                db.query("books")
                    .columns(["author_id"])
                    .group_by(["author_id"])
                    .having(Expr::count(), Compare::Ge, Expr::value(2_i64))
                    .having(Expr::min("pages"), Compare::Lt, Expr::value(100))
            };
            let authors: Vec<i64> = groups().fetch_scalars().await?;
            Ok((authors, groups().count().await?, groups().exists().await?))
        })
        .await?;
    assert_eq!(busy, (vec![1], 1, true));

    let of_all = library
        .alike(async |db| {
            let columns = [
                Expr::count_distinct("pages"),
                Expr::max("pages").as_bigint(),
                Expr::sum(Expr::column("pages").or(1)).as_bigint(),
            ];
            let row: (i64, i64, i64) = db.query("books").columns(columns).fetch_one().await?;
            let (any, all): (bool, bool) = db
                .query("books")
                .columns([
                    Expr::bool_or(Expr::raw(|sql| sql.push("pages > 100"))),
                    Expr::bool_and(Expr::raw(|sql| sql.push("pages > 100"))),
                ])
                .fetch_one()
                .await?;
            let mut ids: Vec<i64> = db
                .query("books")
                .columns([Expr::array_agg("id")])
                .fetch_scalar()
                .await?;
            ids.sort_unstable();
            Ok((row, any, all, ids))
        })
        .await?;
    assert_eq!(of_all, ((3, 120, 330), true, false, vec![1, 2, 3, 4, 5]));
    library.close().await
}

#[tokio::test]
async fn a_count_of_groups_without_columns_minds_having() -> Outcome {
    let library = Library::start().await?;
    let counts = library
        .alike(async |db| {
            let whole = |least: i64| {
                let query = db.query("books").columns([Expr::count()]);
                query.having(Expr::count(), Compare::Ge, Expr::value(least))
            };
            Ok((
                whole(5).count().await?,
                whole(6).count().await?,
                whole(6).exists().await?,
            ))
        })
        .await?;
    assert_eq!(counts, (1, 0, false));
    library.close().await
}

#[tokio::test]
async fn distinct_rows_come_once() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| {
            let pages = || db.query("books").columns(["pages"]).distinct();
            let distinct: Vec<Option<i32>> = pages().order_by("pages", Order::Asc).fetch_scalars().await?;
            let thickest: Vec<(Option<i64>, i64)> = db
                .query("books")
                .columns(["author_id", "id"])
                .distinct_on(["author_id"])
                .order_by("author_id", Order::Asc)
                .order_by("id", Order::Desc)
                .fetch_all()
                .await?;
            let on = db
                .query("books")
                .columns(["author_id"])
                .distinct_on(["author_id"]);
            Ok((distinct, thickest, pages().count().await?, on.count().await?))
        })
        .await?;
    assert_eq!(
        found,
        (
            vec![Some(9), Some(80), Some(120), None],
            vec![(Some(1), 2), (Some(2), 4), (None, 5)],
            4,
            3
        )
    );
    library.close().await
}
