use tenantry::{Error, Order, Select, TenantQuery};

use super::{Library, Outcome};

type Books = TenantQuery<'static, Select<'static>>;

#[tokio::test]
async fn a_sub_query_is_of_one_column_and_of_the_same_client() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| {
            let of_bob = || db.query("authors").columns(["id"]).eq("slug", "bob");
            let ids = |query: Books| {
                query
                    .columns(["id"])
                    .order_by("id", Order::Asc)
                    .fetch_scalars::<i64>()
            };
            let is_in = ids(db.query("books").is_in_query("author_id", of_bob())).await?;
            // Who has no author has not this one either; nulls among the values are equal to nothing.
            let is_not_in = ids(db.query("books").is_not_in_query("author_id", of_bob())).await?;
            let pages = db.query("books").columns(["pages"]).gt("id", 2_i64);
            let not_pages = ids(db.query("books").is_not_in_query("pages", pages)).await?;
            let last = db
                .query("books")
                .columns(["id"])
                .order_by("id", Order::Desc)
                .limit(1);
            let limited = ids(db.query("books").is_in_query("id", last)).await?;
            let inner = db
                .query("books")
                .columns(["author_id"])
                .is_in_query("author_id", of_bob());
            let nested: Vec<String> = db
                .query("authors")
                .columns(["slug"])
                .is_in_query("id", inner.gt("id", 1_i64))
                .fetch_scalars()
                .await?;
            let deleted = db.delete("notes").is_in_query(
                "subject",
                db.query("books").columns(["id"]).eq("author_id", 2_i64),
            );
            Ok((
                is_in,
                is_not_in,
                not_pages,
                limited,
                nested,
                deleted.execute().await?,
            ))
        })
        .await?;
    assert_eq!(
        found,
        (
            vec![3, 4],
            vec![1, 2, 5],
            vec![2, 3],
            vec![5],
            vec!["bob".to_owned()],
            1
        )
    );
    for db in library.homes() {
        let wide = db.query("authors").columns(["id", "slug"]);
        let error = db
            .query("books")
            .is_in_query("author_id", wide)
            .count()
            .await
            .unwrap_err();
        assert!(matches!(error, Error::StatementRefused { .. }), "{error:?}");
    }
    library.close().await
}
