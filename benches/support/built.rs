use std::hint::black_box;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use sqlx::types::Uuid;
use sqlx::{Execute, Postgres, QueryBuilder};
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

/// How often memory is asked for by a point select, values and SQL.
pub(crate) fn allocations(db: &TenantDb) -> u64 {
    let build = || once(db, Statement::Point).now_or_never().unwrap();
    black_box(build());
    allocation_counter::measure(|| {
        black_box(build());
    })
    .count_total
}

/// How often for the same by the builder of sqlx.
pub(crate) fn allocations_of_sqlx(client: Uuid) -> u64 {
    allocation_counter::measure(|| {
        let mut builder: QueryBuilder<Postgres> = QueryBuilder::new(
            "select id, slug, name, description, created_at from agents where client_id = ",
        );
        builder.push_bind(client).push(" and slug = ").push_bind("guide");
        let mut query = builder.build();
        let arguments = query.take_arguments().unwrap();
        black_box((query.sql(), arguments));
    })
    .count_total
}
