//! Rows on their way from one side to the other.

use std::fmt::Write as _;

use sqlx::PgConnection;

use super::progress::Teller;
use super::session::Side;
use super::tables::{Pair, Tables};
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::{KeyCheck, Loading, Unloading};

/// How rows are written where they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    /// As anybody's: foreign keys are checked at the end of each statement, and triggers fire that are not silenced.
    Checked,
    /// As a replica's: nothing is checked but keys, and nothing fires.
    Replica,
}

impl Writing {
    /// Which the admin role may.
    pub(super) async fn of(side: &Side, conn: &mut PgConnection) -> Result<Self> {
        let sql = "select pg_catalog.has_parameter_privilege('session_replication_role', 'set')";
        let may = side.value(conn, "reading its rights", sql.to_owned()).await?;
        Ok(if may { Self::Replica } else { Self::Checked })
    }

    /// Begins a transaction that writes so.
    pub(super) async fn begin(self, side: &Side, conn: &mut PgConnection, settings: &str) -> Result<()> {
        match self {
            Self::Checked => side.begin_with(conn, settings).await,
            Self::Replica => {
                let settings = format!("set local session_replication_role = replica; {settings}");
                side.begin_with(conn, &settings).await
            }
        }
    }
}

/// The foreign keys that are to be checked where rows arrive: those that lead to tables which do not move along, where
/// nothing else checks them.
pub(super) async fn unchecked(
    writing: Writing,
    side: &Side,
    conn: &mut PgConnection,
    tables: &Tables,
) -> Result<Vec<KeyCheck>> {
    if writing == Writing::Checked {
        return Ok(Vec::new());
    }
    let oids: Vec<i64> = tables.manifest.tables.iter().map(|table| table.oid).collect();
    let mut keys = KeyCheck::of(conn, &oids)
        .await
        .map_err(|source| Error::of_statement(side.client, "reading its foreign keys", source))?;
    keys.retain(|key| key.leads_outside);
    Ok(keys)
}

/// Checks those of a table for rows that have arrived: some of it, or all.
pub(super) async fn check(
    side: &Side,
    conn: &mut PgConnection,
    keys: &[KeyCheck],
    pair: &Pair,
    some: Option<&str>,
) -> Result<()> {
    let mine = if pair.to.has_client() {
        format!("client_id = '{}'", side.client)
    } else {
        "true".to_owned()
    };
    for key in keys.iter().filter(|key| key.root == pair.to.oid) {
        let sql = match some {
            Some(rows) if key.whole => key.check(rows),
            _ => key.check_all(&mine),
        };
        side.run(conn, &key.step(), sql).await?;
    }
    Ok(())
}

/// The name of the table where the rows of a table wait, and the one of their keys.
pub(super) fn rows_of(pair: &Pair) -> String {
    format!("pg_temp.tenantry_rows_{}", pair.number)
}

pub(super) fn keys_of(pair: &Pair) -> String {
    format!("pg_temp.tenantry_keys_{}", pair.number)
}

/// Makes the table where rows wait, empty at the beginning of each transaction.
pub(super) async fn make_waiting(side: &Side, conn: &mut PgConnection, pair: &Pair) -> Result<()> {
    let columns: Vec<String> = pair
        .columns()
        .iter()
        .map(|(_, to)| {
            if to.as_text {
                format!("{0}::pg_catalog.text as {0}", to.sql)
            } else {
                to.sql.clone()
            }
        })
        .collect();
    let sql = format!(
        "create temporary table if not exists tenantry_rows_{} on commit delete rows as select {} from {} with no data",
        pair.number,
        columns.join(", "),
        pair.to.sql
    );
    side.run(conn, "making a temporary table", sql).await.map(drop)
}

/// Writes the rows that wait: a select list for an insert, and the columns that it fills.
pub(super) fn insert_waiting(client: ClientId, pair: &Pair) -> String {
    let (mut names, mut values) = (String::new(), String::new());
    let mut put = |name: &str, value: &str| {
        if !names.is_empty() {
            names.push_str(", ");
            values.push_str(", ");
        }
        names.push_str(name);
        values.push_str(value);
    };
    if pair.to.has_client() {
        put("client_id", &format!("'{client}'::pg_catalog.uuid"));
    }
    for (_, to) in pair.columns() {
        if to.as_text {
            put(&to.sql, &format!("{}::{}", to.sql, to.type_sql));
        } else {
            put(&to.sql, &to.sql);
        }
    }
    if names.is_empty() {
        return format!("insert into {} select from {}", pair.to.sql, rows_of(pair));
    }
    let mut sql = String::new();
    let _ = write!(
        sql,
        "insert into {} ({names}) overriding system value select {values} from {}",
        pair.to.sql,
        rows_of(pair)
    );
    sql
}

/// What a query of the source answers, on its way into a table of the target.
#[derive(Debug)]
pub(super) struct Travelling<'a> {
    pub(super) client: ClientId,
    pub(super) pair: &'a Pair,
    pub(super) query: String,
    pub(super) into: String,
    /// The target's, quoted.
    pub(super) columns: Vec<&'a str>,
    /// Whose id the rows get there.
    pub(super) owner: Option<ClientId>,
    pub(super) teller: Option<&'a Teller>,
}

impl Travelling<'_> {
    /// Copies the rows. Returns how many.
    pub(super) async fn copy(&self, source: &mut PgConnection, target: &mut PgConnection) -> Result<u64> {
        let (client, table) = (self.client, self.pair.name());
        let step = format!("copying the rows of {table}");
        let mut unloading =
            Unloading::of_query(source, client, table, &self.query, self.columns.len()).await?;
        let mut loading = Loading::begin(target, client, &self.into, &self.columns, self.owner).await?;
        let mut known = 0;
        while let Some(rows) = unloading.next().await? {
            if loading.send(rows).await?.is_err() {
                let broken = sqlx::Error::Protocol("no rows of a binary COPY".to_owned());
                return Err(Error::of_statement(client, step, broken));
            }
            if let Some(teller) = self.teller {
                teller.copied(loading.rows() - known, rows.len()).await;
                known = loading.rows();
            }
        }
        loading.finish().await
    }
}

/// The columns of the source, as they travel.
pub(super) fn travelling(pair: &Pair, of: &str) -> String {
    let columns: Vec<String> = pair
        .columns()
        .iter()
        .map(|(from, _)| {
            if from.as_text {
                format!("{of}{}::pg_catalog.text", from.sql)
            } else {
                format!("{of}{}", from.sql)
            }
        })
        .collect();
    columns.join(", ")
}
