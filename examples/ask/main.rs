//! What a service asks of a client's data, once in a pool database and once in a database of its own.
//!
//! ```sh
//! cargo run --example ask
//! ```
#![expect(clippy::disallowed_methods, reason = "SQL of the service's own")]
#![expect(clippy::print_stdout, reason = "prints what happened")]

use pgvector::Vector;
use serde::Serialize;
use sqlx::migrate::Migrator;
use sqlx::types::Json;
use tenantry::testing::Fixture;
use tenantry::{Compare, Cursor, Error, Expr, Join, LockWait, Order, Page, Pattern, RowLock, TenantDb};
use uuid::Uuid;

type Outcome = Result<(), Box<dyn std::error::Error>>;

static TABLES: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[derive(Serialize)]
struct NewAgent {
    slug: &'static str,
    name: &'static str,
    settings: serde_json::Value,
}

#[tokio::main]
async fn main() -> Outcome {
    let fixture = Fixture::start(&TABLES).await?;
    let shared = fixture.shared_client("acme").await?;
    let dedicated = fixture.dedicated_client("vast").await?;
    let manager = fixture.manager().await?;
    for client in [shared, dedicated] {
        let db = manager.tenant(client.id).await?;
        println!("{}", client.name);
        write(&db).await?;
        read(&db).await?;
        page(&db).await?;
        search(&db).await?;
        work_off(&db).await?;
    }
    manager.close().await;
    fixture.close().await;
    Ok(())
}

/// The same key twice is an update, in either database; a row that others changed is not overwritten.
async fn write(db: &TenantDb) -> Outcome {
    let guide = |name| NewAgent {
        slug: "guide",
        name,
        settings: serde_json::json!({ "tone": "calm" }),
    };
    for name in ["Guide", "Guide II"] {
        db.insert("agents")
            .record(&guide(name))
            .on_conflict_update(["slug"], ["name", "settings"])
            .execute()
            .await?;
    }
    let twice = db.insert("agents").record(&guide("Guide")).execute().await;
    if let Err(Error::Constraint { kind, constraint, .. }) = twice {
        println!("  refused: {kind} {}", constraint.unwrap_or_default());
    }
    let titles = (0..250).map(|number| (format!("Document {number}"), number % 7));
    let added = db
        .insert("documents")
        .rows(titles, |row, (title, topic)| {
            row.set("title", title)
                .set("metadata", Json(serde_json::json!({ "topic": topic })));
        })
        .execute()
        .await?;
    println!("  {added} documents added");
    Ok(())
}

async fn read(db: &TenantDb) -> Outcome {
    let agent: Uuid = db
        .query("agents")
        .columns(["id"])
        .eq("slug", "guide")
        .fetch_scalar()
        .await?;
    db.insert("conversations")
        .rows(["ada", "ada", "bob"], |row, user| {
            row.set("user_id", user).set("agent_id", agent);
        })
        .execute()
        .await?;
    let busy: Vec<(String, i64)> = db
        .query("conversations")
        .join(Join::left("agents"))
        .columns(["agents.name"])
        .column_as(Expr::count(), "conversations")
        .group_by(["agents.name"])
        .having(Expr::count(), Compare::Ge, Expr::value(2_i64))
        .fetch_all()
        .await?;
    println!("  conversations by agent: {busy:?}");
    let silent = db
        .query("agents")
        .has_no("conversations", |talk| talk)
        .count()
        .await?;
    let about = db
        .query("documents")
        .any_of(|any| {
            any.eq(Expr::json_text("metadata", ["topic"]), "3")
                .like("title", Pattern::ending_with("9"))
        })
        .count()
        .await?;
    println!("  {silent} agents without a conversation, {about} documents found");
    Ok(())
}

/// A cursor is all that goes to the caller and comes back.
async fn page(db: &TenantDb) -> Outcome {
    let (mut from, mut pages): (Option<Cursor>, u32) = (None, 0);
    loop {
        let page: Page<(String,)> = db
            .query("documents")
            .columns(["title"])
            .order_by("created_at", Order::Desc)
            .limit(100)
            .fetch_page(from.as_ref())
            .await?;
        pages += 1;
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    println!("  {pages} pages");
    Ok(())
}

async fn search(db: &TenantDb) -> Outcome {
    let document: Uuid = db
        .query("documents")
        .columns(["id"])
        .limit(1)
        .fetch_scalar()
        .await?;
    let towards = |x: f32, y: f32| {
        let mut values = vec![0.0; 1024];
        (values[0], values[1]) = (x, y);
        Vector::from(values)
    };
    let chunks = [(0, "east", towards(1.0, 0.1)), (1, "north", towards(0.1, 1.0))];
    db.insert("document_chunks")
        .rows(chunks, |row, (number, content, embedding)| {
            row.set("document_id", document)
                .set("chunk_index", number)
                .set("content", content)
                .set("embedding", embedding);
        })
        .execute()
        .await?;
    let nearest: Vec<(String, f64)> = db
        .query("document_chunks")
        .columns(["content"])
        .nearest("embedding", towards(1.0, 0.0))
        .within(0.5)
        .fetch_all()
        .await?;
    println!("  nearest: {nearest:?}");
    Ok(())
}

/// A transaction that runs again where another came in between.
async fn work_off(db: &TenantDb) -> Outcome {
    let worked: u64 = db
        .run(async |mut tx| {
            let job: Option<(Uuid,)> = tx
                .query("conversations")
                .columns(["id"])
                .eq("title", "")
                .limit(1)
                .lock(RowLock::Update, LockWait::Skip)
                .fetch_optional()
                .await?;
            let Some((id,)) = job else {
                return Ok::<_, Error>(0);
            };
            sqlx::query("update conversations set title = 'done' where id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await
                .map_err(|error| Error::from_sqlx(db.client().id, error))?;
            Ok(1)
        })
        .await?;
    println!("  {worked} conversation worked off");
    Ok(())
}
