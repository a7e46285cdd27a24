use async_trait::async_trait;
use tenantry::{ClientSetup, HookError, TenantTx};

/// Every client begins with a guide.
#[derive(Debug)]
pub(crate) struct Welcome;

#[async_trait]
impl ClientSetup for Welcome {
    fn name(&self) -> &'static str {
        "welcome"
    }

    async fn set_up(&self, tx: &mut TenantTx) -> Result<(), HookError> {
        tx.insert("agents")
            .set("slug", "guide")
            .set("name", "Guide")
            .execute()
            .await?;
        Ok(())
    }
}
