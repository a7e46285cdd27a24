//! A query of a transaction borrows it until it has run.

use tenantry::TenantTx;

async fn commit_before_the_query(mut tx: TenantTx) -> tenantry::Result<u64> {
    let delete = tx.delete("agents").all();
    tx.commit().await?;
    delete.execute().await
}

fn main() {}
