//! A group is conditions on the rows of the query that it is in: it adds no table and no order to it.

use tenantry::TenantDb;

fn join(db: &TenantDb) {
    let _ = db.query("agents").any_of(|any| any.join("conversations"));
}

fn main() {}
