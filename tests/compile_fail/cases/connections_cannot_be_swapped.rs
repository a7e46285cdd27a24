//! Two clients' connections would change hands, and their scopes with them.

use tenantry::TenantTx;

fn swap(acme: &mut TenantTx, bolt: &mut TenantTx) {
    std::mem::swap(&mut **acme, &mut **bolt);
}

fn main() {}
