use sqlx::PgConnection;

use super::journal::Found;
use crate::client::ClientId;
use crate::error::{Error, PortableError, Result};
use crate::provision::TableRows;
use crate::provision::portable::session;
use crate::schema::vectors::{Metric, OwnIndexes, VectorColumn};
use crate::schema::{ContentHash, HostTable, Manifest, by_reference};

/// Keeps everybody from the tables of a database that is all the client's. On a pool database the client is kept out
/// of it otherwise.
pub(super) async fn lock(admin: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    if manifest.shared || manifest.tables.is_empty() {
        return Ok(());
    }
    let sql = format!("lock table {} in access exclusive mode", names(manifest));
    session::execute(admin, manifest.client, "locking its tables", sql)
        .await
        .map(drop)
}

/// What there is, in a transaction.
pub(super) async fn count(admin: &mut PgConnection, manifest: &Manifest) -> Result<Found> {
    let client = manifest.client;
    let mut tables = Vec::with_capacity(manifest.tables.len());
    for table in &manifest.tables {
        let content = ContentHash::of(admin, manifest, table, table.columns(), false).await?;
        tables.push(TableRows {
            table: table.qualified(),
            rows: content.rows,
        });
    }
    let indexes = OwnIndexes::load(admin)
        .await
        .map_err(|source| Error::of_statement(client, "reading its own indexes", source))?;
    let columns = vector_columns(manifest).into_iter();
    let own = columns.flat_map(|column| Metric::ALL.map(|metric| indexes.find(column, client, metric)));
    Ok(Found {
        tables,
        vector_indexes: own.flatten().map(|index| index.name.clone()).collect(),
        credentials: 0,
        database: if manifest.shared {
            None
        } else {
            Some(session::database(admin, client).await?)
        },
    })
}

/// The columns that the client can have an index of its own on.
pub(crate) fn vector_columns(manifest: &Manifest) -> Vec<VectorColumn<'_>> {
    let tables = manifest.tables.iter();
    tables
        .flat_map(|table| {
            let columns = table
                .columns()
                .filter(|column| column.type_name.starts_with("vector("));
            columns.map(|column| VectorColumn {
                schema: &table.schema,
                table: &table.name,
                column: &column.name,
            })
        })
        .collect()
}

/// Drops the client's own indexes in a database that others use.
pub(crate) async fn drop_own_indexes(admin: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    crate::provision::vectors::drop_own(admin, manifest.client, vector_columns(manifest)).await
}

/// Takes all rows out of a database that is all the client's, in the transaction.
pub(crate) async fn empty(admin: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    if manifest.tables.is_empty() {
        return Ok(());
    }
    // All at once, whatever refers to what.
    let sql = format!("truncate {}", names(manifest));
    session::execute(admin, manifest.client, "removing its rows", sql)
        .await
        .map(drop)
}

/// Deletes the client's rows from tables that others have rows in, children first, so many in a transaction.
pub(crate) async fn delete(admin: &mut PgConnection, manifest: &Manifest, batch: u32) -> Result<()> {
    let client = manifest.client;
    for group in by_reference(manifest.tables.clone()).into_iter().rev() {
        match &group[..] {
            [table]
                if table
                    .references()
                    .iter()
                    .all(|reference| reference.to != table.oid) =>
            {
                for leaf in leaves(table) {
                    delete_from(admin, client, table, leaf, batch).await?;
                }
            }
            circle => delete_circle(admin, manifest, circle).await?,
        }
    }
    // What was done once for it may be done again for a client that is restored under its id.
    let steps = format!("delete from tenantry.steps where client_id = '{client}'");
    session::execute(admin, client, "forgetting what was set up", steps)
        .await
        .map(drop)
}

async fn delete_from(
    admin: &mut PgConnection,
    client: ClientId,
    table: &HostTable,
    leaf: &str,
    batch: u32,
) -> Result<()> {
    // The place of a row that was deleted can be another client's meanwhile.
    let sql = format!(
        "delete from only {leaf} where client_id = '{client}'
         and ctid = any (array(select ctid from only {leaf} where client_id = '{client}' limit {batch}))"
    );
    let step = step(&table.qualified());
    loop {
        let deleted = session::execute(admin, client, &step, sql.clone()).await?;
        if deleted == 0 {
            return Ok(());
        }
    }
}

/// Rows that refer to each other go in one statement: the server checks at its end.
async fn delete_circle(admin: &mut PgConnection, manifest: &Manifest, circle: &[HostTable]) -> Result<()> {
    let mut deletes: Vec<String> = circle
        .iter()
        .map(|table| format!("delete from {}", manifest.rows_of(table)))
        .collect();
    let Some(last) = deletes.pop() else {
        return Ok(());
    };
    let before: Vec<String> = (deletes.iter().enumerate())
        .map(|(at, delete)| format!("d{at} as ({delete})"))
        .collect();
    let sql = if before.is_empty() {
        last
    } else {
        format!("with {} {last}", before.join(", "))
    };
    let tables: Vec<String> = circle.iter().map(HostTable::qualified).collect();
    session::execute(admin, manifest.client, &step(&tables.join(" and ")), sql)
        .await
        .map(drop)
}

/// Nothing of the client is left.
pub(crate) async fn expect_none(admin: &mut PgConnection, manifest: &Manifest) -> Result<()> {
    for table in &manifest.tables {
        let sql = format!("select exists (select from {})", manifest.rows_of(table));
        if session::is_so(admin, manifest.client, "looking for rows that are left", sql).await? {
            return Err(Error::Portable {
                client: manifest.client,
                source: PortableError::RowsLeft {
                    table: table.qualified(),
                },
            });
        }
    }
    Ok(())
}

pub(super) async fn commit(admin: &mut PgConnection, client: ClientId, step: &str) -> Result<()> {
    session::commit(admin)
        .await
        .map_err(|source| Error::of_statement(client, step, source))
}

fn names(manifest: &Manifest) -> String {
    let tables: Vec<&str> = (manifest.tables.iter().map(|table| table.sql.as_str())).collect();
    tables.join(", ")
}

/// Where the rows of a table are.
fn leaves(table: &HostTable) -> Vec<&str> {
    if table.partitioned {
        table.leaves.iter().map(String::as_str).collect()
    } else {
        vec![&table.sql]
    }
}

fn step(tables: &str) -> String {
    format!("deleting the rows of {tables}")
}
