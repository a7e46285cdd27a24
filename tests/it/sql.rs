//! Plain SQL, as an operator or an attacker would send it, and how it was refused.
#![expect(clippy::disallowed_methods, reason = "sends the SQL of the tests")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the functions that the tests share panic like tests"
)]

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgRow, Postgres};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Decode, Executor as _, FromRow, PgConnection, Type};

/// Longer than anything here takes, also on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn connect(options: PgConnectOptions) -> PgConnection {
    options.connect().await.unwrap()
}

/// Runs statements that must succeed.
pub(crate) async fn run(conn: &mut PgConnection, sql: &str) {
    if let Err(error) = conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await {
        panic!("{error}\n{sql}");
    }
}

/// Runs statements whose last must be refused.
pub(crate) async fn refused(conn: &mut PgConnection, sql: &str) -> Refusal {
    match conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await {
        Ok(_) => panic!("not refused: {sql}"),
        Err(error) => Refusal::of(&error),
    }
}

/// The one value that a query answers with.
pub(crate) async fn one<T>(conn: &mut PgConnection, sql: &str) -> T
where
    T: for<'r> Decode<'r, Postgres> + Type<Postgres> + Send + Unpin,
{
    let query = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).persistent(false);
    match query.fetch_one(conn).await {
        Ok(value) => value,
        Err(error) => panic!("{error}\n{sql}"),
    }
}

/// All rows that a query answers with.
pub(crate) async fn rows<T>(conn: &mut PgConnection, sql: &str) -> Vec<T>
where
    T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
{
    let query = sqlx::query_as(AssertSqlSafe(sql.to_owned())).persistent(false);
    match query.fetch_all(conn).await {
        Ok(rows) => rows,
        Err(error) => panic!("{error}\n{sql}"),
    }
}

/// Waits until the condition holds: the server tells nobody when it comes to hold.
pub(crate) async fn until(conn: &mut PgConnection, condition: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !one::<bool>(conn, condition).await {
        assert!(Instant::now() < deadline, "still not so: {condition}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the server refused a statement with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) constraint: Option<String>,
}

impl Refusal {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            panic!("not of the database: {error:?}")
        };
        Self {
            code: database.code().unwrap_or_default().into_owned(),
            message: database.message().to_owned(),
            constraint: database.constraint().map(str::to_owned),
        }
    }
}
