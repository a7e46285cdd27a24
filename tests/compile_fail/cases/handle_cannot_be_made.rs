//! A handle comes from the manager, or is a clone of one: whoever makes one chooses a client.

use tenantry::TenantDb;

fn make(other: TenantDb) -> TenantDb {
    TenantDb { ..other }
}

fn main() {}
