use std::time::Duration;

use super::{Fixture, FixtureError};
use crate::{AttackOptions, AttackReport, Attacks};

/// Attacks the pool database of a fixture by the host's own tables, views and functions, as
/// [`Attacks`](crate::Attacks) does: one line of a test holds what migrations made of them, in seconds. The report says
/// what was attacked. Nobody else waits for a fixture: the bounds of time are wider than those of [`AttackOptions`].
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tenantry::testing::{Fixture, assert_isolated};
///
/// static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");
///
/// let fixture = Fixture::start(&HOST).await?;
/// let report = assert_isolated(&fixture).await?;
/// assert!(report.tables.contains(&"public.agents".to_owned()));
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`FixtureError::Tenantry`] where the database could not be attacked.
///
/// # Panics
/// With a line for each finding, where one client reaches another, or where that could not be tried: a table that no row
/// can be made up for is one of them.
///
/// # Cancel safety
/// As [`Attacks::run`](crate::Attacks::run).
pub async fn assert_isolated(fixture: &Fixture) -> Result<AttackReport, FixtureError> {
    let options = AttackOptions::default()
        .time(Duration::from_mins(10))
        .table_time(Duration::from_mins(1))
        .statement_timeout(Duration::from_secs(10));
    let attacks = Attacks::new(fixture.platform()).options(options);
    let report = attacks.run(fixture.pool()).await?;
    assert!(report.is_clean(), "{report}");
    Ok(report)
}
