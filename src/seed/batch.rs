use std::collections::BTreeMap;
use std::collections::hash_map::Entry;

use serde_json::Value;
use sqlx::FromRow as _;

use super::bound::{BoundCell, BoundRow, BoundTable};
use super::cell::MadeOf;
use super::conn::{Conn, Failed, Suspects, record, recordset};
use super::references::resolved;
use super::work::Work;
use crate::error::SeedError;
use crate::schema::Column;

/// Rows of one table that name the same columns, and refer to none of each other.
#[derive(Debug)]
pub(super) struct Batch<'b> {
    pub(super) of: &'b BoundTable,
    pub(super) rows: Vec<&'b BoundRow>,
}

/// A row of a batch and how it compares.
pub(super) struct Compared<'b> {
    pub(super) row: &'b BoundRow,
    /// By column; `None` where it refers to a row that is not there yet.
    pub(super) values: BTreeMap<&'b str, Option<Value>>,
    pub(super) secrets: Vec<(&'b str, &'b MadeOf)>,
    pub(super) state: State,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    /// In these columns, if in any.
    There {
        different: Vec<String>,
    },
}

impl<'b> Batch<'b> {
    /// All rows of the tables in batches of so many at most, in the order that they are to be there in.
    pub(super) fn all(tables: &'b [BoundTable], most: usize) -> Vec<Self> {
        let mut batches = Vec::new();
        for of in tables {
            let mut alike: BTreeMap<(usize, Vec<&str>), Vec<&'b BoundRow>> = BTreeMap::new();
            for row in &of.rows {
                let columns = row.cells.iter().map(|(column, _)| column.as_str()).collect();
                alike.entry((row.level, columns)).or_default().push(row);
            }
            for rows in alike.values() {
                batches.extend(rows.chunks(most.max(1)).map(|rows| Self {
                    of,
                    rows: rows.to_vec(),
                }));
            }
        }
        batches
    }

    /// Reads what is there.
    pub(super) async fn compare(
        &self,
        conn: &mut Conn<'_>,
        work: &Work<'_>,
    ) -> Result<Vec<Compared<'b>>, Failed> {
        let cells = self.rows.iter().flat_map(|row| &row.cells);
        let references = cells.filter_map(|(_, cell)| match cell {
            BoundCell::Row(reference) => Some(reference),
            _ => None,
        });
        let mut found = resolved(conn, work.client, references.collect())
            .await?
            .into_iter();
        let mut compared: Vec<Compared<'b>> = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let (mut values, mut secrets) = (BTreeMap::new(), Vec::new());
            for (column, cell) in &row.cells {
                match cell {
                    BoundCell::Value(value) => drop(values.insert(column.as_str(), Some(value.clone()))),
                    BoundCell::Row(_) => drop(values.insert(column.as_str(), found.next().flatten())),
                    BoundCell::Secret(made) => secrets.push((column.as_str(), made)),
                }
            }
            compared.push(Compared {
                row,
                values,
                secrets,
                state: State::Missing,
            });
        }
        // Of what a row that is not there yet is a key of, nothing is there.
        let key = |row: &Compared<'_>| {
            let mut values = self.of.key.iter().map(|column| row.values.get(column.as_str()));
            values.all(|value| matches!(value, Some(Some(_))))
        };
        let asked: Vec<usize> = (0..compared.len())
            .filter(|at| compared.get(*at).is_some_and(key))
            .collect();
        if !asked.is_empty() {
            self.ask(conn, work, &mut compared, &asked).await?;
        }
        Ok(compared)
    }

    async fn ask(
        &self,
        conn: &mut Conn<'_>,
        work: &Work<'_>,
        compared: &mut [Compared<'b>],
        asked: &[usize],
    ) -> Result<(), Failed> {
        let Some(first) = asked.first().and_then(|at| compared.get(*at)) else {
            return Ok(());
        };
        let columns = self.columns(first.values.keys().copied());
        let secrets = self.columns(first.secrets.iter().map(|(column, _)| *column));
        let is_key = |column: &Column| self.of.key.contains(&column.name);
        let differ = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !is_key(column))
            .map(|(number, column)| format!("case when {} then {number} end", differs(&column.sql, number)));
        let stored = secrets.iter().map(|column| format!("t.{}::text", column.sql));
        let keys = columns.iter().enumerate().filter(|(_, column)| is_key(column));
        let keys: Vec<String> = keys.map(|(number, _)| format!("g.c{number}")).collect();
        let there = self
            .of
            .key
            .first()
            .and_then(|column| self.of.table.column(column));
        let sql = format!(
            "select g.n, t.{} is not null, array_remove(array[{}]::int4[], null),
                    jsonb_build_array({})::text, array[{}]::text[]
             from {} left join {} t on {} order by g.n",
            there.map(|column| column.sql.as_str()).unwrap_or_default(),
            differ.collect::<Vec<_>>().join(", "),
            keys.join(", "),
            stored.collect::<Vec<_>>().join(", "),
            recordset(columns.iter().map(|column| column.type_sql.as_str())),
            self.of.table.sql,
            self.by_key(work, &columns),
        );
        let rows = asked.iter().filter_map(|at| compared.get(*at));
        let values = record(rows.map(|row| values_of(row, &columns)));
        let answered = conn
            .ask(sql, values, work.client.filter(|_| self.of.table.has_client))
            .await;
        let answered = answered.map_err(|source| self.refused(conn, compared, &columns, source))?;
        for row in answered {
            let read = <(i64, bool, Vec<i32>, String, Vec<Option<String>>)>::from_row(&row);
            let (number, is_there, differ, key, stored) =
                read.map_err(|source| conn.failed(&self.of.table, source))?;
            let at = usize::try_from(number).ok().and_then(|number| asked.get(number));
            let Some(row) = at.and_then(|at| compared.get_mut(*at)) else {
                continue;
            };
            self.once(work, key, row.row)?;
            if !is_there {
                continue;
            }
            let differ = differ
                .into_iter()
                .filter_map(|number| columns.get(usize::try_from(number).ok()?));
            let mut different: Vec<String> = differ.map(|column| column.name.clone()).collect();
            // What it refers to and is not there yet is not what it has.
            let pending = row
                .values
                .iter()
                .filter(|(_, value)| value.is_none())
                .map(|(column, _)| *column);
            for column in pending {
                if !different.iter().any(|other| other == column) {
                    different.push(column.to_owned());
                }
            }
            for ((column, made), stored) in row.secrets.iter().zip(stored) {
                if !work.is_of(made, stored).await? {
                    different.push((*column).to_owned());
                }
            }
            row.state = State::There { different };
        }
        Ok(())
    }

    /// Two rows that are written differently can be one to the database.
    fn once(&self, work: &Work<'_>, key: String, row: &BoundRow) -> Result<(), SeedError> {
        let mut seen = work
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match seen.entry((self.of.table.qualified.clone(), key)) {
            Entry::Vacant(vacant) => {
                vacant.insert(row.at.to_string());
                Ok(())
            }
            // The same, in an attempt before.
            Entry::Occupied(first) if **first.get() == *row.at => Ok(()),
            Entry::Occupied(first) => Err(SeedError::NamedTwice {
                table: self.of.table.qualified.clone(),
                key: row.key.clone(),
                first: first.get().clone(),
                at: row.at.to_string(),
            }),
        }
    }

    pub(super) fn columns<'c>(&self, names: impl Iterator<Item = &'c str>) -> Vec<&'b Column> {
        names.filter_map(|name| self.of.table.column(name)).collect()
    }

    /// That a row `t` of the table is the one of a row `g`.
    pub(super) fn by_key(&self, work: &Work<'_>, columns: &[&Column]) -> String {
        let key = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| self.of.key.contains(&column.name));
        let equal = key.map(|(number, column)| format!("t.{} = g.c{number}", column.sql));
        let scope = work
            .client
            .filter(|_| self.of.table.has_client)
            .map(|_| "t.client_id = $2".to_owned());
        scope.into_iter().chain(equal).collect::<Vec<_>>().join(" and ")
    }

    fn refused(
        &self,
        conn: &Conn<'_>,
        compared: &[Compared<'_>],
        columns: &[&Column],
        source: sqlx::Error,
    ) -> Failed {
        if !Suspects::are_meant_by(&source) {
            return conn.failed(&self.of.table, source);
        }
        let rows = compared
            .iter()
            .map(|row| (row.row.at.to_string(), values_of(row, columns).collect()));
        let columns = columns
            .iter()
            .map(|column| (column.name.clone(), column.type_sql.clone()));
        let suspects = Suspects {
            table: self.of.table.qualified.clone(),
            columns: columns.collect(),
            rows: rows.collect(),
        };
        Failed::Values(suspects, source)
    }
}

/// By the value, as JSON: not every type has an equality, and that of some is of more than what is stored.
pub(super) fn differs(column: &str, number: usize) -> String {
    format!("to_jsonb(t.{column}) is distinct from to_jsonb(g.c{number})")
}

pub(super) fn values_of<'r>(
    row: &'r Compared<'_>,
    columns: &'r [&Column],
) -> impl Iterator<Item = Value> + use<'r> {
    columns.iter().map(|column| {
        let value = row.values.get(column.name.as_str());
        value.cloned().flatten().unwrap_or(Value::Null)
    })
}
