//! The library's own way to the connection, past the guard.

use tenantry::TenantTx;

async fn by_method(tx: &mut TenantTx) {
    let _ = tx.connection();
    let _ = tx.connection_for_host();
}

fn main() {}
