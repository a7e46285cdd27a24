//! A statement inside another reads.

use tenantry::TenantDb;

fn delete(db: &TenantDb) {
    let _ = db.query("agents").is_in_query("id", db.delete("conversations").all());
}

fn main() {}
