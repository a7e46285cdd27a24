//! Raw SQL runs in a transaction, which is bound to its client; a handle is not.

use tenantry::TenantDb;

async fn by_method(db: &TenantDb) {
    let _ = db.fetch_all("select 1").await;
    let _ = db.acquire().await;
}

fn main() {}
