//! The builder against a pool database, a pool database behind a pooler and a database of the client's own: the
//! same question has the same answer.
//!
//! A neighbour has rows of the same ids in the pool database, and a mark in every text.

mod attacks;
mod bulk;
mod errors;
mod filters;
mod groups;
mod insert;
mod joins;
mod locks;
mod pages;
mod reading;
mod records;
mod streams;
mod streams_anew;
mod sub_queries;
mod types;
mod updates;
mod upserts;

use std::fmt::Debug;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgPoolOptions;
use tenantry::testing::Fixture;
use tenantry::{Binding, ClientConnectionManager, ConnectionOptions, NewPool, TenantDb};

use crate::pgbouncer::PgBouncer;

type Failure = Box<dyn std::error::Error>;
type Outcome = Result<(), Failure>;

/// The tables of a library.
static LIBRARY: Migrator = sqlx::migrate!("tests/it/query/migrations");

/// In every text of the neighbour's.
const THEIRS: &str = "theirs";

/// Clients who ask the same.
struct Library {
    fixture: Fixture,
    manager: ClientConnectionManager,
    /// In the pool database, beside the neighbour.
    shared: TenantDb,
    dedicated: TenantDb,
    /// Behind a pooler, where there is one.
    pooled: Option<TenantDb>,
    neighbour: TenantDb,
    _pooler: Option<PgBouncer>,
}

impl Library {
    /// Without rows.
    async fn empty() -> Result<Self, Failure> {
        Self::over(8).await
    }

    /// With the same rows in each home, and with the neighbour's.
    async fn start() -> Result<Self, Failure> {
        let library = Self::empty().await?;
        for db in library.homes() {
            fill(db, "ours").await?;
        }
        fill(&library.neighbour, THEIRS).await?;
        Ok(library)
    }

    /// Without rows, over so many connections to each database.
    async fn over(connections: u32) -> Result<Self, Failure> {
        let fixture = Fixture::start(&LIBRARY).await?;
        let shared = fixture.shared_client("shared").await?;
        let neighbour = fixture.shared_client("neighbour").await?;
        let dedicated = fixture.dedicated_client("dedicated").await?;
        let pooler = PgBouncer::before(&fixture, 2).await?;
        let mut behind = None;
        if let Some(pooler) = &pooler {
            let direct = fixture.add_pool("pool-2", 10).await?;
            for pool in [fixture.pool(), direct] {
                fixture.platform().set_pool_active(pool, false).await?;
            }
            let database = fixture.database("pool-2");
            let url = pooler.url(&fixture.app_url(&database))?;
            let pool =
                NewPool::new("pooled", url, fixture.admin_url(&database)).binding(Binding::Transaction);
            fixture.platform().register_pool(pool).await?;
            behind = Some(fixture.shared_client("pooled").await?.id);
        }
        let options = fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().max_connections(connections))
            .dedicated_pool(PgPoolOptions::new().max_connections(connections));
        let manager = ClientConnectionManager::connect(options).await?;
        Ok(Self {
            shared: manager.tenant(shared.id).await?,
            dedicated: manager.tenant(dedicated.id).await?,
            pooled: match behind {
                Some(id) => Some(manager.tenant(id).await?),
                None => None,
            },
            neighbour: manager.tenant(neighbour.id).await?,
            fixture,
            manager,
            _pooler: pooler,
        })
    }

    fn homes(&self) -> impl Iterator<Item = &TenantDb> {
        [&self.shared, &self.dedicated].into_iter().chain(&self.pooled)
    }

    /// The answer, which is the same in each home.
    async fn alike<T: PartialEq + Debug>(
        &self,
        ask: impl AsyncFn(&TenantDb) -> tenantry::Result<T>,
    ) -> Result<T, Failure> {
        let answer = ask(&self.shared).await?;
        for db in self.homes().skip(1) {
            assert_eq!(ask(db).await?, answer, "in the home of {}", db.client().name);
        }
        Ok(answer)
    }

    async fn close(self) -> Outcome {
        self.manager.close().await;
        self.fixture.close().await;
        Ok(())
    }
}

/// Three authors, the last of whom wrote nothing, five books, the last of which has no author, and two shelves.
async fn fill(db: &TenantDb, mark: &str) -> tenantry::Result<()> {
    let authors = [(1, "ada", Some(1815)), (2, "bob", None), (3, "cyd", Some(1905))];
    db.insert("authors")
        .rows(authors, |row, (id, slug, born)| {
            row.set("id", id)
                .set("slug", slug)
                .set("name", format!("{slug}, {mark}"))
                .set("born", born);
        })
        .execute()
        .await?;
    let books = [
        (1, Some(1), Some(2), Some("en"), "Weaving engines", Some(120)),
        (2, Some(1), None, Some("en"), "50% of_loops\\", Some(80)),
        (3, Some(2), Some(1), Some("de"), "Gärten", None),
        (4, Some(2), Some(2), None, "Engines of the night", Some(120)),
        (5, None, None, None, "Nobody's songs", Some(9)),
    ];
    db.insert("books")
        .rows(books, |row, (id, author, editor, language, title, pages)| {
            let tags: Vec<String> = title.split(' ').map(str::to_lowercase).collect();
            row.set("id", id)
                .set("author_id", author)
                .set("editor_id", editor)
                .set("language_id", language)
                .set("title", title)
                .set("pages", pages)
                .set("tags", tags)
                .set("label", mark)
                .set(
                    "meta",
                    serde_json::json!({ "mark": mark, "nested": { "number": id }, "list": [id] }),
                );
        })
        .execute()
        .await?;
    db.insert("shelves")
        .rows([(1, "tall"), (2, "low")], |row, (id, name)| {
            row.set("id", id).set("name", name);
        })
        .execute()
        .await?;
    db.insert("shelf_books")
        .rows([(1, 1), (1, 3), (2, 1)], |row, (shelf, book)| {
            row.set("shelf_id", shelf).set("book_id", book);
        })
        .execute()
        .await?;
    db.insert("notes")
        .rows([(1, "read"), (1, "lent"), (4, "lost")], |row, (subject, text)| {
            row.set("subject", subject).set("text", format!("{text}, {mark}"));
        })
        .execute()
        .await?;
    Ok(())
}
