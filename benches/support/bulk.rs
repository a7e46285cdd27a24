#![expect(
    clippy::disallowed_methods,
    reason = "writes by hand what the crate is measured against"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::types::Uuid;
use sqlx::{Connection, Executor, PgPool};
use tenantry::TenantDb;
use tokio::runtime::Runtime;

use super::board::line;
use super::{Samples, Stage};

/// A document to load.
struct Document {
    id: Uuid,
    title: String,
    source: Option<String>,
    content: String,
}

fn documents(count: usize) -> Vec<Document> {
    let document = |number: usize| Document {
        id: Uuid::from_u128(u128::try_from(number).unwrap() << 64 | 0xd0c),
        title: format!("Document {number}"),
        source: number
            .is_multiple_of(3)
            .then(|| format!("https://example.com/{number}")),
        content: "What is to be known of it, in some words. ".repeat(1 + number % 4),
    };
    (0..count).map(document).collect()
}

/// Loads as many rows at once as a host has, with the crate and by hand, in turns.
pub(crate) fn bulk(runtime: &Runtime, stage: &Stage, quick: bool) {
    let documents = documents(if quick { 2_000 } else { 100_000 });
    let pairs = if quick { 1 } else { 5 };
    let (pool, dedicated) = runtime.block_on(async {
        (
            stage.manager.tenant(stage.acme.id).await.unwrap(),
            stage.manager.tenant(stage.vast.id).await.unwrap(),
        )
    });
    let _context = runtime.enter();
    let hand = stage.hand_pool();
    let raw = stage.raw_pool();
    let client = stage.acme.id.as_uuid();
    let (mut pooled, mut copied) = (Samples::default(), Samples::default());
    runtime.block_on(async {
        for _ in 0..pairs {
            let ours = load(&pool, &documents).await;
            let theirs = unnest(&hand, client, &documents).await;
            pooled.push(1, ours, theirs);
            let ours = load(&dedicated, &documents).await;
            let theirs = copy(&raw, &documents).await;
            copied.push(1, ours, theirs);
        }
        hand.close().await;
        raw.close().await;
    });
    for (name, samples) in [
        ("bulk insert, by hand (unnest) / pool", pooled),
        ("bulk insert, by hand (COPY as text) / dedicated", copied),
    ] {
        let speed = 1.0 / samples.ratio();
        #[expect(clippy::cast_precision_loss, reason = "some rows")]
        let rows = documents.len() as f64 / samples.ours() / 1e3;
        let measured = format!("{speed:.2}x ({rows:.0}k rows/s)");
        line(name, &measured, ">= 0.90x", speed >= 0.9);
    }
}

async fn load(db: &TenantDb, documents: &[Document]) -> Duration {
    let started = Instant::now();
    let loaded = db
        .insert("documents")
        .rows(documents, |row, document| {
            row.set("id", document.id)
                .set("title", document.title.as_str())
                .set("source", document.source.as_deref())
                .set("content", document.content.as_str());
        })
        .execute()
        .await
        .unwrap();
    let took = started.elapsed();
    assert_eq!(loaded, documents.len() as u64);
    db.delete("documents").all().execute().await.unwrap();
    took
}

async fn unnest(pool: &PgPool, client: Uuid, documents: &[Document]) -> Duration {
    let started = Instant::now();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("select set_config('app.client', $1, true)")
        .bind(client.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    let (mut ids, mut titles, mut sources, mut contents) = (vec![], vec![], vec![], vec![]);
    for document in documents {
        ids.push(document.id);
        titles.push(document.title.as_str());
        sources.push(document.source.as_deref());
        contents.push(document.content.as_str());
    }
    sqlx::query(
        "insert into documents (client_id, id, title, source, content)
         select $1, r.* from unnest($2::uuid[], $3::text[], $4::text[], $5::text[]) as r",
    )
    .bind(client)
    .bind(ids)
    .bind(titles)
    .bind(sources)
    .bind(contents)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let took = started.elapsed();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("select set_config('app.client', $1, true)")
        .bind(client.to_string())
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("delete from documents where client_id = $1")
        .bind(client)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    took
}

async fn copy(pool: &PgPool, documents: &[Document]) -> Duration {
    let started = Instant::now();
    let mut conn = pool.acquire().await.unwrap();
    let mut text = String::new();
    for document in documents {
        // No value has a tab, a line break or a backslash.
        let source = document.source.as_deref().unwrap_or("\\N");
        let _ = writeln!(
            text,
            "{}\t{}\t{source}\t{}",
            document.id, document.title, document.content
        );
    }
    let mut copy = conn
        .copy_in_raw("copy documents (id, title, source, content) from stdin")
        .await
        .unwrap();
    copy.send(text.as_bytes()).await.unwrap();
    assert_eq!(copy.finish().await.unwrap(), documents.len() as u64);
    let took = started.elapsed();
    conn.execute("delete from documents").await.unwrap();
    conn.ping().await.unwrap();
    took
}
