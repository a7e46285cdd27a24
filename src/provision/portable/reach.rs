use std::time::Duration;

/// Which tables are taken for a client's, and how long they are waited for: what the options of everything have that
/// goes over all rows of a client.
#[derive(Clone, Debug)]
pub(in crate::provision) struct Reach {
    /// As `schema.name`.
    pub(in crate::provision) left_out: Vec<String>,
    pub(in crate::provision) lock_timeout: Duration,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            left_out: Vec::new(),
            lock_timeout: Duration::from_secs(10),
        }
    }
}

impl Reach {
    pub(in crate::provision) fn leave_out(&mut self, tables: impl IntoIterator<Item: Into<String>>) {
        self.left_out = tables.into_iter().map(Into::into).collect();
    }
}
