//! Two clients of one pool database have rows of the same ids in every table, and row-level security is taken
//! away: what is seen of the neighbour then is what the statements themselves let by.

use tenantry::{Error, Expr, Group, Join, Order, Select, TenantDb, TenantQuery};

use super::{Library, Outcome, THEIRS};
use crate::sql::{connect, one, run};
use crate::support::{Reply, ask_alone};

const TABLES: [&str; 5] = ["authors", "books", "shelves", "shelf_books", "notes"];

/// A library whose pool database the superuser changed after it was found safe.
async fn without_row_level_security() -> Result<Library, super::Failure> {
    let library = Library::start().await?;
    let database = library.fixture.database("pool-1");
    let mut superuser = connect(library.fixture.server().connect_options(&database)).await;
    for table in TABLES {
        run(
            &mut superuser,
            &format!("alter table {table} disable row level security"),
        )
        .await;
    }
    let seen = ask_alone(&library.shared, "select count(*)::text from books").await?;
    assert_eq!(
        seen,
        Reply::one("10"),
        "the neighbour's are seen past the builder"
    );
    Ok(library)
}

/// What belongs to whom, in every way that the builder connects tables.
async fn all_connections(db: &TenantDb) -> tenantry::Result<Vec<String>> {
    let mut seen = Vec::new();
    let mut rows: Vec<(String, Option<String>)> = Vec::new();
    for join in [
        Join::inner("authors").by("author_id"),
        Join::left("authors").by("author_id"),
        Join::left("authors").by("editor_id"),
        Join::left("authors").on("id", "id"),
    ] {
        let query = db.query("books").join(join).columns(["label", "authors.name"]);
        rows.extend(query.fetch_all::<(String, Option<String>)>().await?);
    }
    for join in [
        Join::inner("notes").on("subject", "id"),
        Join::left("notes").on("subject", "id"),
    ] {
        let query = db.query("books").join(join).columns(["label", "notes.text"]);
        rows.extend(query.fetch_all::<(String, Option<String>)>().await?);
    }
    let from_shared = db
        .query("languages")
        .join("books")
        .columns(["books.label", "name"]);
    rows.extend(from_shared.fetch_all::<(String, Option<String>)>().await?);
    let from_shared = db
        .query("languages")
        .join(Join::left("books"))
        .columns(["name", "books.label"]);
    rows.extend(from_shared.fetch_all::<(String, Option<String>)>().await?);
    let linked = db
        .query("shelves")
        .join("shelf_books")
        .join(Join::left("books"))
        .join(Join::left("authors").by("author_id"))
        .columns(["books.label", "authors.name"]);
    rows.extend(linked.fetch_all::<(String, Option<String>)>().await?);
    for (left, right) in rows {
        seen.push(format!("{left} {right:?}"));
    }

    let books = || {
        db.query("books")
            .columns([Expr::column("label"), Expr::column("title")])
    };
    for query in [
        books().has("shelf_books", |at| at),
        books().has_no("shelf_books", |at| at),
        books().has(Join::inner("notes").on("subject", "id"), |note| note),
        books().has_no(Join::inner("notes").on("subject", "id"), |note| note),
        books().has(Join::inner("authors").by("author_id"), |author| {
            author.has_no(Join::inner("books").by("editor_id"), |book| book)
        }),
        books().is_in_query("id", db.query("notes").columns(["subject"])),
        books().is_not_in_query("id", db.query("notes").columns(["subject"])),
        books().any_of(|any| any.eq("id", 1_i64).raw(|sql| sql.push("true or true"))),
        books().none_of(|any| any.eq("id", 1_i64)),
        books().raw(|sql| sql.push("true or true")),
    ] {
        let rows: Vec<(String, String)> = query.order_by("id", Order::Asc).fetch_all().await?;
        seen.extend(rows.into_iter().map(|row| format!("{row:?}")));
    }
    for counted in [
        db.query("books")
            .join(Join::left("notes").on("subject", "id"))
            .count()
            .await?,
        db.query("authors")
            .has(Join::inner("books").by("author_id"), |book| book)
            .count()
            .await?,
        db.query("books").columns(["pages"]).distinct().count().await?,
    ] {
        seen.push(counted.to_string());
    }
    let page = || {
        let query = db
            .query("books")
            .join(Join::left("authors").by("author_id"))
            .columns(["label"]);
        query.order_by("pages", Order::Desc).limit(2)
    };
    let mut from = None;
    loop {
        let page = page()
            .fetch_page::<(String, Vec<Option<String>>)>(from.as_ref())
            .await?;
        seen.extend(page.rows.into_iter().map(|row| format!("{row:?}")));
        from = page.next;
        if from.is_none() {
            seen.sort();
            return Ok(seen);
        }
    }
}

#[tokio::test]
async fn without_row_level_security_no_connection_of_tables_shows_a_foreign_row() -> Outcome {
    let library = without_row_level_security().await?;
    let ours = all_connections(&library.shared).await?;
    assert!(ours.len() > 60, "{}", ours.len());
    assert!(ours.iter().all(|row| !row.contains(THEIRS)), "{ours:#?}");
    assert_eq!(ours, all_connections(&library.dedicated).await?);
    let theirs = all_connections(&library.neighbour).await?;
    assert_eq!(theirs.len(), ours.len());
    assert!(theirs.iter().all(|row| !row.contains("ours")), "{theirs:#?}");

    // Partners that are the neighbour's alone are no partners.
    let db = &library.shared;
    db.delete("notes").all().execute().await?;
    db.delete("shelf_books").all().execute().await?;
    let alone: Vec<(i64, Option<String>)> = db
        .query("books")
        .join(Join::left("notes").on("subject", "id"))
        .columns(["id", "notes.text"])
        .fetch_all()
        .await?;
    assert_eq!(alone.len(), 5);
    assert!(alone.iter().all(|(_, note)| note.is_none()), "{alone:?}");
    assert_eq!(db.query("books").join("shelf_books").count().await?, 0);
    assert_eq!(db.query("books").has("shelf_books", |at| at).count().await?, 0);
    assert_eq!(db.query("books").has_no("shelf_books", |at| at).count().await?, 5);
    let noted = db.query("notes").columns(["subject"]);
    assert_eq!(db.query("books").is_in_query("id", noted).count().await?, 0);
    let noted = db.query("notes").columns(["subject"]);
    assert_eq!(db.query("books").is_not_in_query("id", noted).count().await?, 5);
    assert_eq!(library.neighbour.query("notes").count().await?, 3);
    library.close().await
}

#[tokio::test]
async fn without_row_level_security_no_write_meets_a_foreign_row() -> Outcome {
    let library = without_row_level_security().await?;
    let database = library.fixture.database("pool-1");
    let mut superuser = connect(library.fixture.server().connect_options(&database)).await;
    let theirs = format!(
        "select string_agg(t, ',' order by t) from (
             select a::text as t from authors a where client_id = '{0}' union all
             select b::text from books b where client_id = '{0}' union all
             select n::text from notes n where client_id = '{0}') rows",
        library.neighbour.client().id
    );
    let before: String = one(&mut superuser, &theirs).await;
    assert!(before.contains(THEIRS));

    let db = &library.shared;
    let wrote = || Join::inner("books").by("author_id");
    assert_eq!(
        db.update("authors")
            .set("born", 1)
            .has(wrote(), |book| book)
            .execute()
            .await?,
        2
    );
    assert_eq!(
        db.update("authors")
            .set_expr("name", Expr::column("name").upper())
            .all()
            .execute()
            .await?,
        3
    );
    let of_all = db.query("authors").columns(["id"]);
    assert_eq!(
        db.update("books")
            .set("label", "x")
            .is_in_query("author_id", of_all)
            .execute()
            .await?,
        4
    );
    let expected = db
        .update("authors")
        .set("born", 2)
        .eq("id", 1_i64)
        .expect_version("version", 1_i64);
    assert_eq!(expected.execute().await?, 1);
    let upsert = db
        .insert("authors")
        .rows([(1_i64, "ada"), (4, "dot")], |row, (id, slug)| {
            row.set("id", id).set("slug", slug).set("name", "x");
        })
        .on_conflict_update(["slug"], ["name"]);
    assert_eq!(upsert.execute().await?, 2);
    assert_eq!(
        db.delete("notes")
            .has_no(Join::inner("books").on("id", "subject"), |book| book)
            .execute()
            .await?,
        0
    );
    assert_eq!(
        db.delete("notes")
            .raw(|sql| sql.push("true or true"))
            .execute()
            .await?,
        3
    );
    let after: String = one(&mut superuser, &theirs).await;
    assert_eq!(after, before);
    library.close().await
}

#[tokio::test]
async fn a_query_of_another_client_is_no_part_of_a_statement() -> Outcome {
    let library = Library::start().await?;
    let foreign = |db: &TenantDb| db.query("authors").columns(["id"]);
    for (db, other) in [
        (&library.shared, &library.neighbour),
        (&library.shared, &library.dedicated),
        (&library.dedicated, &library.shared),
    ] {
        let ask = || db.query("books");
        let counts = [
            ask().is_in_query("id", foreign(other)).count().await,
            ask().is_not_in_query("id", foreign(other)).count().await,
            ask()
                .any_of(|any| any.is_in_query("id", foreign(other)))
                .count()
                .await,
            ask()
                .all_of(|all| all.none_of(|none| none.is_in_query("id", foreign(other))))
                .count()
                .await,
            ask()
                .has("shelf_books", |at| at.is_in_query("book_id", foreign(other)))
                .count()
                .await,
            ask()
                .has_no("shelf_books", |at| {
                    at.any_of(|any| any.is_in_query("book_id", foreign(other)))
                })
                .count()
                .await,
            ask()
                .is_in_query("id", foreign(db).is_in_query("id", foreign(other)))
                .count()
                .await,
            ask()
                .is_in_query(
                    "id",
                    db.query("books")
                        .columns(["id"])
                        .eq("client_id", other.client().id),
                )
                .count()
                .await,
            ask()
                .has("shelf_books", |at| at.eq("client_id", other.client().id))
                .count()
                .await,
            ask().any_of(|own| stolen(own, other)).count().await,
            ask().has("shelf_books", |own| stolen(own, other)).count().await,
            db.update("books")
                .set("pages", 1)
                .is_in_query("id", foreign(other))
                .execute()
                .await,
            db.delete("books")
                .any_of(|any| any.is_in_query("id", foreign(other)))
                .execute()
                .await,
        ];
        for (number, count) in counts.into_iter().enumerate() {
            assert!(
                matches!(count, Err(Error::ForeignClient { .. })),
                "{number}: {count:?}"
            );
        }
        let streamed =
            futures_util::StreamExt::next(&mut ask().is_in_query("id", foreign(other)).fetch::<(i64,)>())
                .await;
        assert!(
            matches!(streamed, Some(Err(Error::ForeignClient { .. }))),
            "{streamed:?}"
        );
        assert_eq!(db.query("books").count().await?, 5);
    }
    library.close().await
}

/// Conditions that another client's query was to have, in exchange for these.
fn stolen<'t>(own: TenantQuery<'t, Group>, other: &TenantDb) -> TenantQuery<'t, Group> {
    let mut stolen = None;
    let _: TenantQuery<'t, Select<'t>> = other.query("books").any_of(|theirs| {
        stolen = Some(theirs.eq("id", 1_i64));
        own
    });
    stolen.unwrap_or_else(|| unreachable!())
}
