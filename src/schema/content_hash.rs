#![expect(clippy::disallowed_methods, reason = "hashes the rows of a table")]

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};

use super::{HostColumn, HostTable, Manifest};
use crate::error::{Error, PortableError, Result};

/// What the rows of a client in a table are, whatever their order and whoever the client: their number, and the sum of
/// their hashes over all columns but `client_id` and those that are computed.
///
/// Two sets of rows with the same are the same for all that chance can do; it is no defence against someone who makes
/// rows to that end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentHash {
    pub(crate) rows: u64,
    /// A decimal number; none where rows were only counted.
    pub(crate) hash: Option<String>,
}

/// Under these, equal values have equal texts, in whatever database.
pub(crate) const TEXT_SETTINGS: &str = "set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; \
     set timezone = 'UTC'; set extra_float_digits = 3; set bytea_output = 'hex'; set xmloption = 'content'; \
     set lc_monetary = 'C'";

impl ContentHash {
    /// Hashes, or only counts, the client's rows of the table, over those columns in that order, under
    /// [`TEXT_SETTINGS`].
    pub(crate) async fn of<'c>(
        conn: &mut PgConnection,
        manifest: &Manifest,
        table: &HostTable,
        columns: impl Iterator<Item = &'c HostColumn> + Send,
        hashed: bool,
    ) -> Result<Self> {
        let values: Vec<&str> = columns.map(|column| column.hashed.as_str()).collect();
        let hash = match (hashed, values.is_empty()) {
            (false, _) => "null::pg_catalog.text".to_owned(),
            (true, true) => "'0'".to_owned(),
            (true, false) => format!(
                "coalesce(pg_catalog.sum(pg_catalog.hash_record_extended(row({}), 0)), 0)::pg_catalog.text",
                values.join(", ")
            ),
        };
        // In a database of its own, all rows of the table are taken for the client's: another's are not to pass for them.
        let foreign = if table.has_client() {
            format!(
                "count(*) filter (where client_id is distinct from '{}')",
                manifest.client
            )
        } else {
            "0::int8".to_owned()
        };
        let sql = format!(
            "select count(*), {hash}, {foreign} from {}",
            manifest.rows_of(table)
        );
        let failed = |source| {
            let step = format!("hashing the rows of {}", table.qualified());
            Error::of_statement(manifest.client, step, source)
        };
        // In one message: writers may wait.
        let row = conn.fetch_one(sqlx::raw_sql(AssertSqlSafe(sql))).await;
        let row = row.map_err(failed)?;
        let rows: i64 = row.try_get_unchecked(0).map_err(failed)?;
        let hash = row.try_get_unchecked(1).map_err(failed)?;
        let foreign: i64 = row.try_get_unchecked(2).map_err(failed)?;
        if foreign > 0 {
            return Err(Error::Portable {
                client: manifest.client,
                source: PortableError::ForeignRows {
                    table: table.qualified(),
                },
            });
        }
        Ok(Self {
            rows: u64::try_from(rows).unwrap_or_default(),
            hash,
        })
    }
}
