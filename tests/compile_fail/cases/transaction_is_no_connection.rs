//! A transaction does not hand out the connection behind it.

use sqlx::PgConnection;
use tenantry::TenantTx;

fn by_deref(tx: &mut TenantTx) -> &mut PgConnection {
    &mut **tx
}

fn main() {}
