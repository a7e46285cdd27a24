use std::collections::BTreeMap;

use futures_core::future::BoxFuture;
use serde_json::Value;
use sqlx::FromRow as _;

use super::bound::{BoundCell, BoundReference};
use super::conn::{Conn, Failed, Suspects, record, recordset};
use crate::client::ClientId;
use crate::error::SeedError;

/// What rows refer to: of each the value that is meant, or `None` where the row is described and not there yet.
///
/// Those that are named by other rows are asked for once those are known.
pub(super) fn resolved<'a>(
    conn: &'a mut Conn<'_>,
    client: Option<ClientId>,
    references: Vec<&'a BoundReference>,
) -> BoxFuture<'a, Result<Vec<Option<Value>>, Failed>> {
    Box::pin(async move {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let inner = references.iter().flat_map(|reference| &reference.key);
        let inner = inner.filter_map(|(_, cell)| match cell {
            BoundCell::Row(reference) => Some(reference),
            _ => None,
        });
        let mut inner = resolved(conn, client, inner.collect()).await?.into_iter();
        let mut asked: BTreeMap<_, Vec<(usize, Vec<Value>)>> = BTreeMap::new();
        let mut found = vec![None; references.len()];
        for (at, reference) in references.iter().enumerate() {
            let values: Vec<Option<Value>> = (reference.key.iter())
                .map(|(_, cell)| match cell {
                    BoundCell::Value(value) => Some(value.clone()),
                    BoundCell::Row(_) => inner.next().flatten(),
                    BoundCell::Secret(_) => None,
                })
                .collect();
            // Named by a row that is not there yet, it is not there either.
            let Some(values) = values.into_iter().collect::<Option<Vec<_>>>() else {
                missing(reference)?;
                continue;
            };
            let columns: Vec<&str> = reference.key.iter().map(|(column, _)| column.as_str()).collect();
            let question = (
                reference.table.qualified.as_str(),
                columns,
                reference.column.as_str(),
            );
            asked.entry(question).or_default().push((at, values));
        }
        for rows in asked.into_values() {
            for (at, value) in ask(conn, client, &references, rows).await? {
                found[at] = value;
            }
        }
        for (reference, found) in references.iter().zip(&found) {
            if found.is_none() {
                missing(reference)?;
            }
        }
        Ok(found)
    })
}

fn missing(reference: &BoundReference) -> Result<(), SeedError> {
    if reference.is_described {
        return Ok(());
    }
    Err(SeedError::MissingReference {
        at: reference.at.to_string(),
        table: reference.table.qualified.clone(),
        key: reference.text.clone(),
    })
}

/// Those of one table, by the same columns.
async fn ask(
    conn: &mut Conn<'_>,
    client: Option<ClientId>,
    references: &[&BoundReference],
    rows: Vec<(usize, Vec<Value>)>,
) -> Result<Vec<(usize, Option<Value>)>, Failed> {
    let Some(reference) = rows.first().and_then(|(at, _)| references.get(*at)) else {
        return Ok(Vec::new());
    };
    let table = &reference.table;
    let columns: Vec<_> = reference
        .key
        .iter()
        .filter_map(|(column, _)| table.column(column))
        .collect();
    let Some(meant) = table.column(&reference.column) else {
        return Ok(Vec::new());
    };
    let client = client.filter(|_| table.has_client);
    let equal = columns
        .iter()
        .enumerate()
        .map(|(number, column)| format!("t.{} = g.c{number}", column.sql));
    let scope = client.map(|_| "t.client_id = $2".to_owned());
    let sql = format!(
        "select g.n, t.{}::text from {} join {} t on {}",
        meant.sql,
        recordset(columns.iter().map(|column| column.type_sql.as_str())),
        table.sql,
        scope.into_iter().chain(equal).collect::<Vec<_>>().join(" and "),
    );
    let values = record(rows.iter().map(|(_, values)| values.iter().cloned()));
    let answered = conn.ask(sql, values, client).await;
    let answered = answered.map_err(|source| {
        if !Suspects::are_meant_by(&source) {
            return conn.failed(table, source);
        }
        let suspects = rows.iter().map(|(at, values)| {
            let place = references.get(*at).map(|reference| reference.at.to_string());
            (place.unwrap_or_default(), values.clone())
        });
        let columns = columns
            .iter()
            .map(|column| (column.name.clone(), column.type_sql.clone()));
        let suspects = Suspects {
            table: table.qualified.clone(),
            columns: columns.collect(),
            rows: suspects.collect(),
        };
        Failed::Values(suspects, source)
    })?;
    let mut found = Vec::with_capacity(answered.len());
    for row in answered {
        // A text, which every type reads again as what it was.
        let (number, value) =
            <(i64, Option<String>)>::from_row(&row).map_err(|source| conn.failed(table, source))?;
        if let Some((at, _)) = usize::try_from(number).ok().and_then(|number| rows.get(number)) {
            found.push((*at, value.map(Value::String)));
        }
    }
    Ok(found)
}
