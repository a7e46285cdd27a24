use tenantry::TenantDb;

fn update(db: &TenantDb) {
    let _ = db.update("agents").set("name", "x").limit(1);
}

fn main() {}
