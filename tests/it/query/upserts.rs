use sqlx::postgres::PgPoolOptions;
use tenantry::testing::Fixture;
use tenantry::{Error, Order, TenantDb};

use super::{LIBRARY, Library, Outcome, THEIRS, fill};

type Authors = Vec<(i64, String, String)>;

async fn authors(db: &TenantDb) -> tenantry::Result<Authors> {
    let query = db.query("authors").columns(["id", "slug", "name"]);
    query.order_by("id", Order::Asc).fetch_all().await
}

/// By one row, by rows and by records.
async fn upserts(db: &TenantDb) -> tenantry::Result<Vec<u64>> {
    let one = |id: i64, slug: &'static str| {
        db.insert("authors")
            .set("id", id)
            .set("slug", slug)
            .set("name", "new")
    };
    let nothing = one(9, "ada").on_conflict_do_nothing(["slug"]).execute().await?;
    let none: Vec<i64> = one(9, "ada")
        .on_conflict_do_nothing(["slug"])
        .returning(["id"])
        .fetch_scalars()
        .await?;
    let updated = one(9, "ada")
        .on_conflict_update(["slug"], ["name"])
        .execute()
        .await?;
    let by_id: i64 = one(3, "eve")
        .on_conflict_update(["id"], ["slug", "name"])
        .returning(["id"])
        .fetch_scalar()
        .await?;
    let rows = db
        .insert("authors")
        .rows([(8_i64, "bob"), (4, "dot")], |row, (id, slug)| {
            row.set("id", id).set("slug", slug).set("name", "rows");
        })
        .on_conflict_update(["slug"], ["name"])
        .execute()
        .await?;
    let records = [
        serde_json::json!({ "id": 5, "slug": "fay", "name": "records" }),
        serde_json::json!({ "id": 7, "slug": "dot", "name": "records" }),
    ];
    let records = db
        .insert("authors")
        .records(records)
        .on_conflict_update(["slug"], ["name"])
        .execute()
        .await?;
    Ok(vec![
        nothing,
        none.len() as u64,
        updated,
        by_id.unsigned_abs(),
        rows,
        records,
    ])
}

const COUNTS: [u64; 6] = [0, 0, 1, 3, 2, 2];

fn upserted() -> Authors {
    [
        (1, "ada", "new"),
        (2, "bob", "rows"),
        (3, "eve", "new"),
        (4, "dot", "records"),
        (5, "fay", "records"),
    ]
    .map(|(id, slug, name)| (id, slug.to_owned(), name.to_owned()))
    .to_vec()
}

#[tokio::test]
async fn an_upsert_meets_the_clients_own_row_of_the_key() -> Outcome {
    let library = Library::start().await?;
    let found = library
        .alike(async |db| Ok((upserts(db).await?, authors(db).await?)))
        .await?;
    assert_eq!(found, (COUNTS.to_vec(), upserted()));
    let theirs = authors(&library.neighbour).await?;
    assert_eq!(theirs.len(), 3);
    assert!(
        theirs.iter().all(|(_, _, name)| name.contains(THEIRS)),
        "{theirs:?}"
    );

    // The other's only: it is no conflict.
    for db in library.homes() {
        let only = library
            .neighbour
            .insert("authors")
            .set("id", 6_i64)
            .set("slug", db.client().slug.as_str())
            .set("name", THEIRS);
        only.on_conflict_do_nothing(["slug"]).execute().await?;
        let insert = db
            .insert("authors")
            .set("id", 6_i64)
            .set("slug", db.client().slug.as_str())
            .set("name", "mine");
        assert_eq!(insert.on_conflict_update(["slug"], ["name"]).execute().await?, 1);
        library
            .neighbour
            .delete("authors")
            .eq("id", 6_i64)
            .execute()
            .await?;
    }
    for db in library.homes() {
        let insert = || {
            db.insert("authors")
                .set("id", 1_i64)
                .set("slug", "x")
                .set("name", "x")
        };
        for refused in [
            insert().on_conflict_do_nothing(["name"]).execute().await,
            insert().on_conflict_do_nothing(["id", "slug"]).execute().await,
            insert().on_conflict_do_nothing([""; 0]).execute().await,
            insert().on_conflict_update(["slug"], [""; 0]).execute().await,
            db.insert("notes")
                .set("subject", 1_i64)
                .set("text", "x")
                .on_conflict_do_nothing(["subject"])
                .execute()
                .await,
        ] {
            assert!(
                matches!(refused, Err(Error::StatementRefused { .. })),
                "{refused:?}"
            );
        }
        let unknown = insert().on_conflict_update(["slug"], ["nam"]).execute().await;
        assert!(matches!(unknown, Err(Error::UnknownColumn { .. })), "{unknown:?}");
        let scope = insert()
            .on_conflict_update(["client_id", "slug"], ["name"])
            .execute()
            .await;
        assert!(scope.is_err(), "{scope:?}");
        let scope = insert()
            .on_conflict_update(["slug"], ["client_id"])
            .execute()
            .await;
        assert!(scope.is_err(), "{scope:?}");
        let twice = db.insert("jobs").rows([1_i64, 1], |row, id| {
            row.set("id", id);
        });
        let twice = twice
            .on_conflict_update(["id"], ["state"])
            .execute()
            .await
            .unwrap_err();
        assert_eq!(twice.sqlstate().as_deref(), Some("21000"));
    }
    library.close().await
}

/// What an older system made for one client.
const LEGACY: &str = "
    create table authors (id bigint primary key, slug text not null unique, name text not null, born integer,
                          version bigint not null default 1);
    create table languages (id text primary key, name text not null);
    create table books (id bigint primary key, author_id bigint references authors (id),
                        editor_id bigint references authors (id), language_id text references languages (id),
                        title text not null, pages integer, tags text[] not null default '{}',
                        meta jsonb not null default '{}', label varchar(20));
    create table shelves (id bigint primary key, name text not null);
    create table shelf_books (shelf_id bigint references shelves (id), book_id bigint references books (id),
                              primary key (shelf_id, book_id));
    create table notes (subject bigint not null, text text not null);
    insert into languages values ('en', 'English'), ('de', 'German');
    grant usage on schema public to tenantry_fixture_app;
    grant select, insert, update, delete on all tables in schema public to tenantry_fixture_app";

#[tokio::test]
async fn a_database_without_a_scope_takes_the_same_statements() -> Outcome {
    let fixture = Fixture::start(&LIBRARY).await?;
    let client = fixture.legacy_client("legacy", LEGACY).await?;
    let options = fixture
        .manager_options()
        .dedicated_pool(PgPoolOptions::new().max_connections(2));
    let manager = tenantry::ClientConnectionManager::connect(options).await?;
    let db = manager.tenant(client.id).await?;
    fill(&db, "ours").await?;
    let joined: Vec<(i64, Option<String>)> = db
        .query("books")
        .join(tenantry::Join::left("authors").by("author_id"))
        .columns(["id", "authors.slug"])
        .has("shelf_books", |at| {
            at.has("shelves", |shelf| shelf.eq("name", "tall"))
        })
        .order_by("id", Order::Asc)
        .fetch_all()
        .await?;
    assert_eq!(joined, [(1, Some("ada".to_owned())), (3, Some("bob".to_owned()))]);
    assert_eq!(upserts(&db).await?, COUNTS);
    assert_eq!(authors(&db).await?, upserted());
    let many = db.insert("notes").rows(1..=1_500_i64, |row, subject| {
        row.set("subject", subject).set("text", "x");
    });
    assert_eq!(many.execute().await?, 1_500);
    let page: tenantry::Page<(i64, String, Vec<String>)> = db
        .query("shelves")
        .order_by("name", Order::Desc)
        .limit(1)
        .fetch_page(None)
        .await?;
    assert_eq!(page.rows[0].1, "tall");
    let next: tenantry::Page<(i64, String, Vec<String>)> = db
        .query("shelves")
        .order_by("name", Order::Desc)
        .limit(1)
        .fetch_page(page.next.as_ref())
        .await?;
    assert_eq!(next.rows[0].1, "low");
    manager.close().await;
    fixture.close().await;
    Ok(())
}
