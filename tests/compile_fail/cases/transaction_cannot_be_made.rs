//! A transaction begins with a handle: with another's it would be another's.

use tenantry::{TenantDb, TenantTx};

fn make(db: TenantDb, tx: TenantTx) -> TenantTx {
    TenantTx { db, ..tx }
}

fn main() {}
