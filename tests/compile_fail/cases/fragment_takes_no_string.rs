//! A fragment of SQL is text that the program holds, never text that was put together from data.

use tenantry::TenantDb;

fn by_name(db: &TenantDb, name: String) {
    let _ = db.query("agents").raw(|sql| sql.push(format!("name = '{name}'")));
}

fn main() {}
