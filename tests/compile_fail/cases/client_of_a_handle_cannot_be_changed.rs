//! The client that a handle is scoped to stays the one it was resolved for.

use tenantry::{ClientId, TenantDb};

fn change(db: &mut TenantDb, other: ClientId) {
    db.client().id = other;
}

fn main() {}
