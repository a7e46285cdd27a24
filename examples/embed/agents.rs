//! What the service does, for one client. No client id, no database and no transport is in sight.

use tenantry::{Order, Result, TenantDb};

pub(crate) async fn add(db: &TenantDb, slug: &str) -> Result<()> {
    db.insert("agents")
        .set("slug", slug)
        .set("name", slug)
        .execute()
        .await?;
    Ok(())
}

pub(crate) async fn list(db: &TenantDb) -> Result<Vec<String>> {
    let slugs: Vec<(String,)> = db
        .query("agents")
        .columns(["slug"])
        .order_by("slug", Order::Asc)
        .fetch_all()
        .await?;
    Ok(slugs.into_iter().map(|(slug,)| slug).collect())
}
