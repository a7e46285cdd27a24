//! SQL that was put together from data is sqlx's to refuse.

use tenantry::TenantTx;

async fn by_name(tx: &mut TenantTx, name: &str) {
    let sql = format!("select * from agents where name = '{name}'");
    let _ = sqlx::query(sql).fetch_all(tx).await;
}

fn main() {}
