use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::cell::{Cell, Named};
use super::data_set::{ClientData, DataSet, TableData};
use crate::client::{ClientKey, ClientSlug};
use crate::error::{Error, Result, SeedError};
use crate::schema::CLIENT_COLUMN;

/// What several data sets ask for together, before any database is asked.
#[derive(Debug)]
pub(super) struct Plan<'d> {
    pub(super) shared: Vec<TablePlan<'d>>,
    pub(super) clients: Vec<ClientPlan<'d>>,
}

/// What they ask for one client.
#[derive(Debug)]
pub(super) struct ClientPlan<'d> {
    pub(super) slug: ClientSlug,
    /// What it is to be in the platform database; `None` where it is only to be there.
    pub(super) data: Option<(Arc<str>, &'d ClientData)>,
    pub(super) tables: Vec<TablePlan<'d>>,
}

/// The rows of one table.
#[derive(Clone, Debug)]
pub(super) struct TablePlan<'d> {
    pub(super) table: &'d str,
    pub(super) key: &'d [String],
    pub(super) rows: Vec<RowPlan<'d>>,
}

#[derive(Clone, Debug)]
pub(super) struct RowPlan<'d> {
    /// The data set, and the place in it.
    pub(super) at: Arc<str>,
    pub(super) cells: &'d Named<Cell>,
}

impl<'d> Plan<'d> {
    pub(super) fn of(sets: &'d [DataSet]) -> Result<Self> {
        let (mut shared, mut each) = (Tables::default(), Tables::default());
        let mut clients: BTreeMap<&str, ClientPlan<'d>> = BTreeMap::new();
        for set in sets {
            for (number, data) in set.document.clients.iter().enumerate() {
                let at = Place {
                    set,
                    path: format!("clients[{number}]"),
                };
                check_client(data, &at)?;
                let plan = client(&mut clients, data.slug.as_str(), &at)?;
                let place = format!("{}: {}", set.name, at.path).into();
                if plan.data.replace((place, data)).is_some() {
                    return Err(at.refuse(format!("client {} is described twice", data.slug)));
                }
            }
            shared.add(set, "shared", &set.document.shared)?;
            each.add(set, "each_client", &set.document.each_client)?;
        }
        let mut own: BTreeMap<&str, Tables<'d>> = BTreeMap::new();
        for set in sets {
            for (slug, tables) in &set.document.of_client.0 {
                let path = format!("of_client.{slug}");
                client(
                    &mut clients,
                    slug,
                    &Place {
                        set,
                        path: path.clone(),
                    },
                )?;
                own.entry(slug)
                    .or_insert_with(|| each.clone())
                    .add(set, &path, tables)?;
            }
        }
        let mut planned = Vec::with_capacity(clients.len());
        for (slug, mut plan) in clients {
            plan.tables = own.remove(slug).unwrap_or_else(|| each.clone()).in_order;
            planned.push(plan);
        }
        Ok(Self {
            shared: shared.in_order,
            clients: planned,
        })
    }

    /// The names of all secrets that are asked for.
    pub(super) fn secrets(&self) -> BTreeSet<&'d str> {
        let of_clients = self.clients.iter().filter_map(|client| client.data.as_ref());
        let credentials = of_clients.flat_map(|(_, data)| &data.credentials);
        let tables = self
            .shared
            .iter()
            .chain(self.clients.iter().flat_map(|client| &client.tables));
        let cells = tables
            .flat_map(|table| &table.rows)
            .flat_map(|row| row.cells.0.values());
        let made = cells.filter_map(|cell| match cell {
            Cell::Secret(made) => Some(made.secret.0.as_str()),
            _ => None,
        });
        credentials
            .map(|credential| credential.secret.0.as_str())
            .chain(made)
            .collect()
    }
}

fn client<'p, 'd>(
    clients: &'p mut BTreeMap<&'d str, ClientPlan<'d>>,
    slug: &'d str,
    at: &Place<'_>,
) -> Result<&'p mut ClientPlan<'d>> {
    let parsed: ClientSlug = slug
        .parse()
        .map_err(|error: crate::InvalidName| at.refuse(error.to_string()))?;
    Ok(clients.entry(slug).or_insert_with(|| ClientPlan {
        slug: parsed,
        data: None,
        tables: Vec::new(),
    }))
}

/// A place in a data set.
struct Place<'d> {
    set: &'d DataSet,
    path: String,
}

impl Place<'_> {
    fn refuse(&self, reason: String) -> Error {
        self.fail(SeedError::Document {
            at: self.path.clone(),
            reason,
        })
    }

    fn fail(&self, source: SeedError) -> Error {
        Error::Seed {
            of: format!("data set {}", self.set.name),
            step: "reading",
            source: Box::new(source),
        }
    }
}

fn check_client(data: &ClientData, at: &Place<'_>) -> Result<()> {
    for (index, keys) in &data.keys.0 {
        for key in keys {
            ClientKey::new(index, key).map_err(|error| at.refuse(format!("keys: {error}")))?;
        }
    }
    let mut named = BTreeSet::new();
    for credential in &data.credentials {
        if !named.insert((&credential.provider, &credential.kind)) {
            let twice = format!(
                "the {} of {} is named twice",
                credential.kind, credential.provider
            );
            return Err(at.refuse(twice));
        }
    }
    Ok(())
}

/// Tables in the order that they are first named in, each once.
#[derive(Clone, Default)]
struct Tables<'d> {
    in_order: Vec<TablePlan<'d>>,
    /// Where the row of a table and a key is.
    keys: HashMap<(&'d str, String), Arc<str>>,
}

impl<'d> Tables<'d> {
    fn add(&mut self, set: &'d DataSet, path: &str, tables: &'d [TableData]) -> Result<()> {
        for (number, data) in tables.iter().enumerate() {
            let at = Place {
                set,
                path: format!("{path}[{number}]"),
            };
            check_key(data, &at)?;
            let known = self.in_order.iter().position(|rows| rows.table == data.table);
            let position = known.unwrap_or(self.in_order.len());
            if known.is_none() {
                self.in_order.push(TablePlan {
                    table: &data.table,
                    key: &data.key,
                    rows: Vec::with_capacity(data.rows.len()),
                });
            }
            let Some(rows) = self.in_order.get_mut(position) else {
                continue;
            };
            if rows.key != data.key {
                return Err(at.refuse(format!(
                    "the rows of {} are told apart by another key elsewhere",
                    data.table
                )));
            }
            for (number, cells) in data.rows.iter().enumerate() {
                let at = Place {
                    set,
                    path: format!("{}.rows[{number}]", at.path),
                };
                check_row(data, cells, &at)?;
                let place: Arc<str> = format!("{}: {}", set.name, at.path).into();
                let key = (data.table.as_str(), key_text(&data.key, cells));
                if let Some(first) = self.keys.insert(key, Arc::clone(&place)) {
                    return Err(at.fail(SeedError::NamedTwice {
                        table: data.table.clone(),
                        key: key_text(&data.key, cells),
                        first: first.to_string(),
                        at: place.to_string(),
                    }));
                }
                rows.rows.push(RowPlan { at: place, cells });
            }
        }
        Ok(())
    }
}

fn check_key(data: &TableData, at: &Place<'_>) -> Result<()> {
    let of = &data.table;
    if data.key.is_empty() {
        return Err(at.refuse(format!("the rows of {of} have no key")));
    }
    if data.key.iter().any(|column| column == CLIENT_COLUMN) {
        return Err(at.refuse(format!(
            "the key of {of} names {CLIENT_COLUMN}, which is never given"
        )));
    }
    let columns: BTreeSet<_> = data.key.iter().collect();
    if columns.len() < data.key.len() {
        return Err(at.refuse(format!("the key of {of} names a column twice")));
    }
    Ok(())
}

fn check_row(data: &TableData, cells: &Named<Cell>, at: &Place<'_>) -> Result<()> {
    if cells.0.contains_key(CLIENT_COLUMN) {
        let of = &data.table;
        return Err(at.refuse(format!(
            "a row of {of} names {CLIENT_COLUMN}, which is never given"
        )));
    }
    for column in &data.key {
        let reason = match cells.0.get(column) {
            None => "is missing, and is part of the key",
            Some(Cell::Value(serde_json::Value::Null)) => "is null, and is part of the key",
            Some(Cell::Secret(_)) => "is made of a secret, and is part of the key",
            Some(_) => continue,
        };
        return Err(at.refuse(format!("{}.{column} {reason}", data.table)));
    }
    let references = cells.0.values().filter_map(|cell| match cell {
        Cell::Row(reference) => Some(reference),
        _ => None,
    });
    let mut open: Vec<_> = references.collect();
    while let Some(reference) = open.pop() {
        let refuse = |reason: &str| Err(at.refuse(format!("the reference to {} {reason}", reference.table)));
        if reference.key.0.is_empty() {
            return refuse("has no key");
        }
        if reference.key.0.contains_key(CLIENT_COLUMN) || reference.column.as_deref() == Some(CLIENT_COLUMN) {
            return refuse(
                "names client_id, which is never given: a row refers to its own client's, or to shared ones",
            );
        }
        for cell in reference.key.0.values() {
            match cell {
                Cell::Row(inner) => open.push(inner),
                Cell::Secret(_) => return refuse("is by a secret"),
                Cell::Value(serde_json::Value::Null) => return refuse("is by a null"),
                Cell::Value(_) => {}
            }
        }
    }
    Ok(())
}

/// The natural key of a row as text.
pub(super) fn key_text(key: &[String], cells: &Named<Cell>) -> String {
    let mut named: Vec<_> = key
        .iter()
        .filter_map(|column| cells.0.get_key_value(column))
        .collect();
    named.sort_by_key(|(column, _)| *column);
    let named = named
        .into_iter()
        .map(|(column, cell)| format!("{column}={}", cell.text()));
    format!("({})", named.collect::<Vec<_>>().join(", "))
}
