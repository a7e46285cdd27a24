use tenantry::{Error, Expr, Join, Order, Select, TenantQuery};

use super::{Library, Outcome};

type Pairs = Vec<(i64, Option<String>)>;

#[tokio::test]
async fn tables_are_joined_along_their_foreign_keys() -> Outcome {
    let library = Library::start().await?;
    let joined = |join: Join<'static>, column: &'static str| {
        let library = &library;
        async move {
            library
                .alike(async |db| {
                    let query = db.query("books").join(join.clone()).columns(["id", column]);
                    query
                        .order_by("id", Order::Asc)
                        .fetch_all::<(i64, Option<String>)>()
                        .await
                })
                .await
        }
    };
    let name = |name: &str| Some(name.to_owned());
    let inner: Pairs = joined(Join::inner("authors").by("author_id"), "authors.slug").await?;
    assert_eq!(
        inner,
        [
            (1, name("ada")),
            (2, name("ada")),
            (3, name("bob")),
            (4, name("bob"))
        ]
    );
    let left: Pairs = joined(Join::left("authors").by("editor_id"), "authors.slug").await?;
    assert_eq!(
        left,
        [
            (1, name("bob")),
            (2, None),
            (3, name("ada")),
            (4, name("bob")),
            (5, None)
        ]
    );
    let shared: Pairs = joined(Join::left("languages"), "languages.name").await?;
    assert_eq!(shared[2..], [(3, name("German")), (4, None), (5, None)]);
    let declared: Pairs = joined(Join::left("notes").on("subject", "id"), "notes.text").await?;
    assert_eq!(declared.len(), 6);
    assert_eq!(declared[2], (2, None));

    library.close().await
}

#[tokio::test]
async fn a_table_is_joined_twice_through_another_and_in_groups() -> Outcome {
    let library = Library::start().await?;
    let both: Vec<(i64, String, Option<String>)> = library
        .alike(async |db| {
            db.query("books")
                .join(Join::inner("authors").by("author_id"))
                .join(Join::left("authors").alias("editor").by("editor_id"))
                .columns(["id", "authors.slug", "editor.slug"])
                .gt("authors.born", 1800)
                .order_by("editor.slug", Order::Asc)
                .fetch_all()
                .await
        })
        .await?;
    assert_eq!(
        both,
        [(1, "ada".into(), Some("bob".into())), (2, "ada".into(), None)]
    );

    let through: Vec<(String, i64, String)> = library
        .alike(async |db| {
            db.query("shelves")
                .join("shelf_books")
                .join("books")
                .columns(["name", "books.id", "books.title"])
                .order_by("name", Order::Asc)
                .order_by("books.id", Order::Asc)
                .fetch_all()
                .await
        })
        .await?;
    assert_eq!(
        through,
        [
            ("low".into(), 1, "Weaving engines".into()),
            ("tall".into(), 1, "Weaving engines".into()),
            ("tall".into(), 3, "Gärten".into()),
        ]
    );

    let grouped: Vec<(String, i64)> = library
        .alike(async |db| {
            db.query("authors")
                .join(Join::left("books").by("author_id"))
                .columns(["slug"])
                .column_as(Expr::count_of("books.id"), "books")
                .group_by(["slug"])
                .order_by("slug", Order::Asc)
                .fetch_all()
                .await
        })
        .await?;
    assert_eq!(grouped, [("ada".into(), 2), ("bob".into(), 2), ("cyd".into(), 0)]);
    let counts = library
        .alike(async |db| {
            let all = db
                .query("books")
                .join(Join::inner("authors").by("author_id"))
                .count()
                .await?;
            let from_shared = db.query("languages").join("books").count().await?;
            let some = db
                .query("shelves")
                .join("shelf_books")
                .eq("shelf_books.book_id", 3_i64);
            Ok((all, from_shared, some.exists().await?))
        })
        .await?;
    assert_eq!(counts, (4, 3, true));
    library.close().await
}

#[tokio::test]
async fn rows_are_met_by_the_rows_that_belong_to_them() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| {
            let slugs = |query: TenantQuery<'static, Select<'static>>| {
                query
                    .columns(["slug"])
                    .order_by("id", Order::Asc)
                    .fetch_scalars::<String>()
            };
            let wrote = || Join::inner("books").by("author_id");
            let with = slugs(db.query("authors").has(wrote(), |book| book.eq("pages", 120))).await?;
            let without = slugs(db.query("authors").has_no(wrote(), |book| book)).await?;
            let far = db.query("authors").has(wrote(), |book| {
                book.has("shelf_books", |at| {
                    at.has("shelves", |shelf| shelf.eq("name", "low"))
                })
            });
            let far = slugs(far).await?;
            let any = db
                .query("authors")
                .any_of(|any| any.eq("slug", "cyd").has(wrote(), |book| book.is_null("pages")));
            let any = slugs(any).await?;
            let noted = db
                .query("books")
                .has(Join::inner("notes").on("subject", "id"), |note| note);
            // No row comes twice, and a change may ask the same.
            let noted = noted.count().await?;
            let update = db.update("authors").set("born", 1).has_no(wrote(), |book| book);
            Ok((with, without, far, any, noted, update.execute().await?))
        })
        .await?;
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<String>>();
    assert_eq!(
        found,
        (
            texts(&["ada", "bob"]),
            texts(&["cyd"]),
            texts(&["ada"]),
            texts(&["bob", "cyd"]),
            2,
            1
        )
    );
    library.close().await
}

#[tokio::test]
async fn a_join_that_is_not_clear_is_refused() -> Outcome {
    let library = Library::start().await?;
    for db in library.homes() {
        let reasons = [
            (
                db.query("books").join("authors").count().await,
                "several foreign keys",
            ),
            (db.query("books").join("notes").count().await, "no foreign key"),
            (
                db.query("books")
                    .join(Join::left("authors").by("pages"))
                    .count()
                    .await,
                "no foreign key of that column",
            ),
            (
                db.query("books")
                    .join(Join::left("authors").by("author_id"))
                    .join(Join::left("authors").by("editor_id"))
                    .count()
                    .await,
                "give it an alias",
            ),
            (
                db.query("shelves")
                    .join("shelf_books")
                    .join(
                        Join::inner("notes")
                            .on("subject", "id")
                            .on("subject", "shelf_books.book_id"),
                    )
                    .count()
                    .await,
                "of several tables",
            ),
            (
                db.query("books").has("authors", |author| author).count().await,
                "several foreign keys",
            ),
            (
                db.query("books")
                    .join(Join::inner("notes").on("subject", "id"))
                    .eq("notes.client_id", db.client().id)
                    .count()
                    .await,
                "the scope supplies it",
            ),
            (
                db.query("books")
                    .join(Join::inner("notes").on("client_id", "id"))
                    .count()
                    .await,
                "the scope supplies it",
            ),
        ];
        for (answer, expected) in reasons {
            match answer {
                Err(Error::StatementRefused { reason, .. }) => assert!(reason.contains(expected), "{reason}"),
                other => panic!("{expected}: {other:?}"),
            }
        }
        let unknown = db.query("books").join(Join::left("authers")).count().await;
        assert!(
            matches!(&unknown, Err(Error::UnknownTable { nearest_name: Some(name), .. }) if name.contains("authors")),
            "{unknown:?}"
        );
        let unknown = db
            .query("books")
            .join(Join::left("authors").by("author_id").alias("writer"))
            .columns(["writer.nome"])
            .fetch_all::<(String,)>()
            .await;
        assert!(
            matches!(&unknown, Err(Error::UnknownColumn { table, nearest_name: Some(name), .. })
                if table == "writer" && name == "name"),
            "{unknown:?}"
        );
    }
    library.close().await
}
