use super::certificate::Certificate;
use super::phase::Phase;
use crate::client::ClientId;

/// How a relocation stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RelocationStatus {
    /// Whose.
    pub client: ClientId,
    /// How far it is.
    pub phase: Phase,
    /// How often it was begun or taken over.
    pub attempts: i32,
    /// Why it ended the last time, if it ended by itself.
    pub failure: Option<String>,
    /// What was moved, once it was.
    pub certificate: Option<Certificate>,
}
