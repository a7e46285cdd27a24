//! The tables of a file, each with the one here that takes its rows.

use std::collections::{HashMap, HashSet};

use super::heading::{FileTable, Heading};
use crate::error::{Error, PortableError, Result};
use crate::schema::{HostColumn, HostTable, Manifest};

/// A table of the file and of this database.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) there: &'a FileTable,
    pub(super) here: &'a HostTable,
    /// In the order of the file.
    pub(super) columns: Vec<&'a HostColumn>,
    /// Whether its rows wait in a temporary table: they are text in the file, or refer to rows that come later.
    pub(super) staged: bool,
}

/// Pairs the tables of both sides, which have the same ones with the same columns, but for `client_id` and what is
/// computed.
pub(super) fn targets<'a>(heading: &'a Heading, manifest: &'a Manifest) -> Result<Vec<Target<'a>>> {
    let differs = |table: String, reason: String| Error::Portable {
        client: manifest.client,
        source: PortableError::SchemaDiffers { table, reason },
    };
    let mut seen = HashSet::new();
    let mut targets = Vec::with_capacity(heading.tables.len());
    for there in &heading.tables {
        let name = there.qualified();
        let Some(here) = manifest.table(&there.schema, &there.name) else {
            return Err(differs(
                name,
                "the database to restore into has no such table of clients".to_owned(),
            ));
        };
        if !seen.insert(here.oid) {
            return Err(Error::Portable {
                client: manifest.client,
                source: PortableError::Damaged {
                    reason: "it names a table twice",
                },
            });
        }
        let columns = columns(there, here).map_err(|reason| differs(name, reason))?;
        targets.push(Target {
            there,
            here,
            columns,
            staged: false,
        });
    }
    if let Some(missing) = manifest.tables.iter().find(|table| !seen.contains(&table.oid)) {
        return Err(differs(
            missing.qualified(),
            "the file does not have it".to_owned(),
        ));
    }
    stage(&mut targets);
    Ok(targets)
}

fn columns<'a>(there: &FileTable, here: &'a HostTable) -> Result<Vec<&'a HostColumn>, String> {
    let mut known = here.by_name();
    let mut columns = Vec::with_capacity(there.columns.len());
    for column in &there.columns {
        let Some(found) = known.remove(column.name.as_str()) else {
            return Err(format!("column {} is only in the file", column.name));
        };
        if found.type_name != column.r#type || found.as_text != column.as_text {
            return Err(format!(
                "column {} is {} in the file, and {} in the database to restore into",
                column.name, column.r#type, found.type_name
            ));
        }
        columns.push(found);
    }
    match known.into_keys().min() {
        Some(column) => Err(format!("the file does not have column {column}")),
        None => Ok(columns),
    }
}

/// A row is checked against those it refers to at the end of the statement that loads it, unless that can be deferred.
fn stage(targets: &mut [Target<'_>]) {
    let positions: HashMap<i64, usize> = (targets.iter().enumerate())
        .map(|(at, target)| (target.here.oid, at))
        .collect();
    for at in 0..targets.len() {
        let here = targets[at].here;
        let waits = here.references().iter().any(|reference| {
            let to = positions.get(&reference.to).filter(|to| **to != at);
            !reference.deferrable && to.is_some_and(|to| *to > at || targets[*to].staged)
        });
        targets[at].staged = waits || targets[at].columns.iter().any(|column| column.as_text);
    }
}
