//! Rows that cannot go where they belong as they come: they wait in temporary tables until all are there.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::session;
use super::target::Target;
use crate::client::ClientId;
use crate::error::Result;
use crate::schema::{HostTable, by_reference};

/// The name of the table where the rows of a table wait.
pub(super) fn name(number: usize) -> String {
    format!("pg_temp.tenantry_waiting_{number}")
}

/// Makes that table. It goes with the transaction.
pub(super) async fn create(
    admin: &mut PgConnection,
    client: ClientId,
    number: usize,
    target: &Target<'_>,
) -> Result<()> {
    let columns: Vec<String> = target
        .columns
        .iter()
        .map(|column| {
            if column.as_text {
                format!("{0}::pg_catalog.text as {0}", column.sql)
            } else {
                column.sql.clone()
            }
        })
        .collect();
    let sql = format!(
        "create temporary table tenantry_waiting_{number} on commit drop as select {} from {} with no data",
        columns.join(", "),
        target.here.sql
    );
    session::execute(admin, client, "making a temporary table", sql)
        .await
        .map(drop)
}

/// Moves the rows to where they belong, parents first. Tables that refer to each other in a circle are filled by one
/// statement: the server checks at its end.
pub(super) async fn unstage(
    admin: &mut PgConnection,
    client: ClientId,
    targets: &[Target<'_>],
) -> Result<()> {
    let staged: HashMap<i64, usize> = (targets.iter().enumerate())
        .filter(|(_, target)| target.staged)
        .map(|(number, target)| (target.here.oid, number))
        .collect();
    let tables: Vec<HostTable> = staged
        .values()
        .map(|number| targets[*number].here.clone())
        .collect();
    for group in by_reference(tables) {
        let numbers = group.iter().filter_map(|table| staged.get(&table.oid).copied());
        let mut inserts: Vec<String> = numbers
            .map(|number| insert(client, number, &targets[number]))
            .collect();
        let Some(last) = inserts.pop() else { continue };
        let before: Vec<String> = (inserts.iter().enumerate())
            .map(|(at, insert)| format!("w{at} as ({insert})"))
            .collect();
        let sql = if before.is_empty() {
            last
        } else {
            format!("with {} {last}", before.join(", "))
        };
        let names: Vec<String> = group.iter().map(HostTable::qualified).collect();
        let step = format!("loading the rows of {}", names.join(" and "));
        session::execute(admin, client, &step, sql).await?;
    }
    Ok(())
}

fn insert(client: ClientId, number: usize, target: &Target<'_>) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut values: Vec<String> = Vec::new();
    if target.here.has_client() {
        names.push("client_id");
        values.push(format!("'{client}'::pg_catalog.uuid"));
    }
    for column in &target.columns {
        names.push(&column.sql);
        values.push(if column.as_text {
            format!("{}::{}", column.sql, column.type_sql)
        } else {
            column.sql.clone()
        });
    }
    format!(
        "insert into {} ({}) overriding system value select {} from {}",
        target.here.sql,
        names.join(", "),
        values.join(", "),
        name(number)
    )
}
