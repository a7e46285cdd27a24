use super::export::ExportOptions;
use super::restore::{RestoreOptions, RestoreReport};
use crate::client::ClientId;
use crate::directory::PlatformDirectory;
use crate::error::{Error, PortableError, Result};
use crate::provision::NewClient;

/// How far reading may be ahead of loading, in bytes.
const AHEAD: usize = 1024 * 1024;

impl PlatformDirectory {
    /// Creates a client with the rows of another as they are now, and activates it. They go from database to database
    /// without a file, and are checked as those of one: see [`restore_client`](Self::restore_client), also for what is
    /// not copied.
    ///
    /// # Errors
    /// As [`export_client`](Self::export_client) and [`restore_client`](Self::restore_client). Nothing was created
    /// then, but where the commit is unknown.
    ///
    /// # Cancel safety
    /// As [`restore_client`](Self::restore_client).
    pub async fn clone_client(
        &self,
        from: ClientId,
        new: NewClient,
        options: &ExportOptions,
    ) -> Result<RestoreReport> {
        let (reader, writer) = tokio::io::duplex(AHEAD);
        let restore_options = RestoreOptions {
            reach: options.reach.clone(),
        };
        let (exported, restored) = tokio::join!(
            self.export_client(from, writer, options),
            self.restore_client(new, reader, &restore_options)
        );
        match (exported, restored) {
            // Whoever stopped first is the cause; the other saw its end of the pipe closed.
            (Err(cause), restored) if !is_of_pipe(&cause) => {
                drop(restored);
                Err(cause)
            }
            (_, restored) => restored,
        }
    }
}

fn is_of_pipe(error: &Error) -> bool {
    matches!(
        error,
        Error::Portable {
            source: PortableError::File { .. },
            ..
        }
    )
}
