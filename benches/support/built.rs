use std::hint::black_box;
use std::time::{Duration, Instant};

use tenantry::{Order, TenantDb};
use tokio::runtime::Handle;

use super::contestant::{COLUMNS, Statement};

/// How long it takes so many times to build the statement, values and SQL, and to send nothing.
pub(crate) fn sql(handle: &Handle, db: &TenantDb, statement: Statement, turns: u64) -> Duration {
    handle.block_on(async {
        let started = Instant::now();
        for _ in 0..turns {
            black_box(once(black_box(db), statement).await);
        }
        started.elapsed()
    })
}

async fn once(db: &TenantDb, statement: Statement) -> String {
    match statement {
        Statement::Point => {
            db.query("agents")
                .columns(COLUMNS)
                .eq("slug", "guide")
                .to_sql()
                .await
        }
        Statement::Twenty => {
            db.query("agents")
                .columns(COLUMNS)
                .order_by("created_at", Order::Desc)
                .limit(20)
                .to_sql()
                .await
        }
        Statement::Insert => {
            db.insert("agents")
                .set("slug", "guide")
                .set("name", "Guide")
                .to_sql()
                .await
        }
        Statement::Update => {
            db.update("agents")
                .set("name", "Guide")
                .eq("slug", "guide")
                .to_sql()
                .await
        }
    }
    .unwrap()
}
