use clap::Args;
use tenantry::{PlatformDirectory, RelocateTo};

use crate::commands::pool;
use crate::failure::Failure;
use crate::secrets::secret;

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Target {
    /// Into that pool, by its name or id
    #[arg(long, value_name = "POOL")]
    to_pool: Option<String>,
    /// Into a database of its own, with the kernel and the host's tables: TENANTRY_CLIENT_APP_URL and
    /// TENANTRY_CLIENT_ADMIN_URL name it
    #[arg(long)]
    to_dedicated: bool,
}

impl Target {
    pub(super) async fn read(&self, platform: &PlatformDirectory) -> Result<RelocateTo, Failure> {
        if let Some(named) = &self.to_pool {
            return Ok(RelocateTo::Pool(pool::find(platform, named).await?.id));
        }
        Ok(RelocateTo::dedicated(
            secret("TENANTRY_CLIENT_APP_URL", "the URL of its app role there")?,
            secret("TENANTRY_CLIENT_ADMIN_URL", "the URL of its admin role there")?,
        ))
    }
}
