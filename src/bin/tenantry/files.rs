//! Files that are made: whole or not at all, and over nothing that is there.

use std::path::Path;

use tokio::fs::{File, OpenOptions};

use crate::failure::Failure;

/// A file that was not there before, and that nobody else may read.
pub(crate) async fn create_private(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    options.mode(0o600);
    options
        .open(path)
        .await
        .map_err(|error| Failure::file("creating", path, &error))
}
