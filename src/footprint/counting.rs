//! Counting a client's rows, one table after the other.

use std::fmt::Write;
use std::time::{Instant, SystemTime};

use super::client_footprint::{LatestChange, TableFootprint};
use super::figure::Figure;
use super::options::FootprintOptions;
use super::session::Session;
use super::statistics::{Leaf, moment};
use crate::client::ClientId;
use crate::error::{Error, FootprintError, Result};

/// What a row takes beside its values: its header, and its entry in the page.
const ROW_OVERHEAD: u32 = 28;

/// The newest change that was found so far.
#[derive(Debug, Default)]
pub(super) struct Newest {
    found: Option<(SystemTime, String)>,
    not_asked: Vec<String>,
}

impl Newest {
    fn add(&mut self, table: &str, at: Option<SystemTime>) {
        if let Some(at) = at
            && self.found.as_ref().is_none_or(|(newest, _)| at > *newest)
        {
            self.found = Some((at, table.to_owned()));
        }
    }

    pub(super) fn told(self) -> LatestChange {
        match self.found {
            Some((at, table)) => LatestChange::Column {
                at,
                table,
                not_asked: self.not_asked,
            },
            None => LatestChange::Unknown,
        }
    }
}

/// What is selected from, and whose of it.
fn rows_of(leaf: &Leaf) -> String {
    let whose = if leaf.own {
        " where client_id = $1"
    } else {
        " where $1 is not null"
    };
    format!("{}{whose}", leaf.sql)
}

/// Counts what the client has of each table. Each is seen as it is when its turn comes.
pub(super) async fn count(
    session: &mut Session,
    leaves: &[Leaf],
    client: ClientId,
    options: &FootprintOptions,
) -> Result<(Vec<TableFootprint>, Newest)> {
    let (mut tables, mut newest) = (Vec::new(), Newest::default());
    for leaf in roots(leaves) {
        // What a value takes where it is, which is in line, compressed, or out of line: nothing is fetched for it.
        let mut width = ROW_OVERHEAD.to_string();
        for column in &leaf.widths {
            // Writing into a text does not fail.
            let _ = write!(width, " + coalesce(pg_column_size({column}), 0)");
        }
        let latest = leaf.latest.as_deref().map_or_else(
            || "null::int8".to_owned(),
            |column| micros(&format!("max({column}) filter (where isfinite({column}))")),
        );
        let sql = format!(
            "select count(*), coalesce(sum({width}), 0)::int8, {latest} from {}",
            rows_of(leaf).replace("$1", "$1::uuid")
        );
        let began = Instant::now();
        let step = format!("counting client {client} in table {}", leaf.name);
        let counted = session.one(&step, sql, Some(client)).await;
        let (rows, bytes, at): (i64, i64, Option<i64>) = counted.map_err(|error| {
            let late = began.elapsed() >= options.statement_timeout && is_canceled(&error);
            if !late {
                return error;
            }
            session.error(FootprintError::TimedOut {
                client,
                table: leaf.name.clone(),
                after: options.statement_timeout,
            })
        })?;
        match leaf.latest {
            Some(_) => newest.add(&leaf.name, at.and_then(moment)),
            None => newest.not_asked.push(leaf.name.clone()),
        }
        tables.push(TableFootprint {
            table: leaf.name.clone(),
            rows: Figure::Exact(rows.unsigned_abs()),
            bytes: Figure::Exact(bytes.unsigned_abs()),
        });
    }
    Ok((tables, newest))
}

/// The newest change of the client in the tables that have an index which leads to it.
pub(super) async fn newest(session: &mut Session, leaves: &[Leaf], client: ClientId) -> Result<Newest> {
    let (mut newest, mut asked, mut names) = (Newest::default(), Vec::new(), Vec::new());
    for leaf in roots(leaves) {
        match &leaf.latest {
            Some(column) if leaf.latest_indexed => {
                asked.push(format!(
                    "select {}::int8, {} from {} and {column} > '-infinity' and {column} < 'infinity'",
                    names.len(),
                    micros(&format!("max({column})")),
                    rows_of(leaf).replace("$1", "($1::uuid[])[1]")
                ));
                names.push(leaf.name.as_str());
            }
            _ => newest.not_asked.push(leaf.name.clone()),
        }
    }
    if asked.is_empty() {
        return Ok(newest);
    }
    let step = format!("looking for the latest change of client {client}");
    let rows: Vec<(i64, Option<i64>)> = session
        .of_ids(&step, asked.join(" union all "), &[client.as_uuid()])
        .await?;
    for (table, at) in rows {
        let name = usize::try_from(table).ok().and_then(|table| names.get(table));
        if let Some(name) = name {
            newest.add(name, at.and_then(moment));
        }
    }
    Ok(newest)
}

/// One entry a table, whatever its partitions.
pub(super) fn roots(leaves: &[Leaf]) -> impl Iterator<Item = &Leaf> {
    leaves
        .chunk_by(|one, other| one.root == other.root)
        .filter_map(|table| table.first())
}

fn micros(moment: &str) -> String {
    format!("(extract(epoch from {moment}) * 1000000)::int8")
}

fn is_canceled(error: &Error) -> bool {
    let Error::Footprint {
        source: FootprintError::Statement { source, .. },
        ..
    } = error
    else {
        return false;
    };
    let code = source
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("57014")
}
