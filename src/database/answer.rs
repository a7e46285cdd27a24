use std::time::Duration;

/// The answer, if it comes in time. One that does not leaves its connection lost.
///
/// The server ends a statement by its own timeout and says so; this is for the answer that never comes.
pub(crate) async fn within<T>(
    limit: Option<Duration>,
    answer: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    match limit {
        None => answer.await,
        Some(limit) => tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_elapsed| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))),
    }
}
