use tenantry::TenantTx;

async fn after_commit(mut tx: TenantTx) -> tenantry::Result<()> {
    tx.commit().await?;
    tx.delete("agents").all().execute().await?;
    Ok(())
}

fn main() {}
