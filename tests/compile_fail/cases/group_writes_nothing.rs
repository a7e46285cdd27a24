//! Conditions by themselves are no statement that writes.

use tenantry::TenantDb;

async fn write(db: &TenantDb) {
    let _ = db.query("agents").any_of(|any| {
        let _ = any.execute();
        any
    });
}

fn main() {}
