use tenantry::TenantDb;

fn insert(db: &TenantDb) {
    let _ = db.insert("agents").set("name", "x").eq("slug", "guide");
}

fn main() {}
