//! What the tests share: the reference platform's migrations and its rows.

use sqlx::migrate::Migrator;

/// The host's migrations of the reference platform.
pub(crate) static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");
