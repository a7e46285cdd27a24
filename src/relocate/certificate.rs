use serde::{Deserialize, Serialize};

use crate::client::{ClientId, Epoch};

/// What a relocation moved, and how that is known.
///
/// The counts and hashes of `tables` are of the snapshots that `source_snapshot` and `target_snapshot` name, in which
/// nothing is on one side alone; the hashes are over all columns but `client_id` and what is computed. Where whoever
/// moved it was gone before it had certified, whoever resumed it has brought back what was written since, and compared
/// both sides then: there is no `source_snapshot`, and how long writers were kept out is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Certificate {
    /// Whose rows they are.
    pub client: ClientId,
    /// Which database they were in: a pool by its id, or `dedicated`.
    pub source: String,
    /// Which they are in.
    pub target: String,
    /// The epoch that the client is served under since.
    pub epoch: Epoch,
    /// Its tables, parents first.
    pub tables: Vec<CertifiedTable>,
    /// The snapshot at the source, while its writers were kept out.
    pub source_snapshot: String,
    /// The snapshot at the target, before it was opened.
    pub target_snapshot: String,
    /// Whether the hashes were compared after the cut-over as well, of all rows, the source being frozen.
    pub compared_in_full: bool,
    /// How long writers were kept out, in microseconds.
    pub fenced_micros: u64,
    /// How long comparing all rows of both sides took, in microseconds.
    pub compared_micros: u64,
    /// When it was begun and when the client was cut over, in UTC.
    pub started_at: String,
    /// See `started_at`.
    pub cut_over_at: String,
    /// Who did it, as the audit log names them.
    pub actor: String,
}

/// A table of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CertifiedTable {
    /// The table, with its schema.
    pub table: String,
    /// How many rows.
    pub rows: u64,
    /// The sum of the hashes of its rows, a decimal number.
    pub hash: String,
}
