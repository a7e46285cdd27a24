use super::db::TenantDb;
use crate::error::{Error, Result};
use crate::plan::Limit;

impl TenantDb {
    /// Counts one call of this calendar month (UTC), if the client's plan allows it; see
    /// [`meter_many`](Self::meter_many).
    ///
    /// # Errors
    /// As [`meter_many`](Self::meter_many).
    ///
    /// # Cancel safety
    /// As [`meter_many`](Self::meter_many).
    pub async fn meter(&self, limit: Limit) -> Result<()> {
        self.meter_many(limit, 1).await
    }

    /// Counts so many calls of this calendar month (UTC), all or none of them.
    ///
    /// The process takes them from the directory in blocks ([`ManagerOptions::meter_block`]), so most calls cost no
    /// I/O. All processes together never count more than the client's plan allows; a change of the plan is heeded
    /// with the next block. What a plan does not limit is counted as well.
    /// [`PlatformDirectory::usage`](crate::PlatformDirectory::usage) tells how much it is.
    ///
    /// [`ManagerOptions::meter_block`]: crate::ManagerOptions::meter_block
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// acme.meter(tenantry::Limit::API_CALLS_PER_MONTH).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::LimitReached`]; [`Error::StatementRefused`] where the limit's name does not end in `_per_month`;
    /// [`Error::Platform`] where the directory cannot answer; [`Error::Unsupported`] of a directory that has no
    /// meters; [`Error::Closed`].
    ///
    /// # Cancel safety
    /// Dropped, the calls were counted or not. A block that was being taken is not lost.
    pub async fn meter_many(&self, limit: Limit, calls: u32) -> Result<()> {
        if !limit.is_of_a_month() {
            return Err(Error::StatementRefused {
                client: self.id(),
                what: format!("metering {limit}"),
                reason: "its name does not end in _per_month",
            });
        }
        self.tenant.plans.meter(&self.tenant.record, &limit, calls).await
    }

    /// Counts one request, if the client's plan allows it now. No I/O.
    ///
    /// The rate is that of this process: so many processes, so many times what the plan says. As many as the limit
    /// says pass at once, and after that one after the other, evenly over the limit's time, which its name says
    /// ([`Limit::period`]). A client whose plan does not limit it is never refused. Where the limit changes, it is
    /// counted anew.
    ///
    /// ```no_run
    /// # fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
    /// acme.check_rate(tenantry::Limit::REQUESTS_PER_SECOND)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::RateLimited`] with the time to wait; [`Error::StatementRefused`] where the limit's name says no time.
    #[cfg(feature = "rate-limit")]
    pub fn check_rate(&self, limit: Limit) -> Result<()> {
        self.tenant.plans.check_rate(&self.tenant.record, limit)
    }
}
