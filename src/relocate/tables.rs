//! The tables that a client moves with: each as it is on both sides.
#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::finding::Finding;
use super::session::Side;
use crate::error::{Error, PortableError, Result};
use crate::schema::{HostColumn, HostTable, Manifest};

/// What of a table a relocation needs to know beside its columns.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "a row of the catalogue")]
pub(super) struct Traits {
    oid: i64,
    pub(super) key: Option<Vec<String>>,
    key_has_client: bool,
    pub(super) owned: bool,
    pub(super) triggers: Vec<String>,
    pub(super) constraints: Vec<String>,
    pub(super) acts_on_delete: bool,
    /// Whether a column that is no key takes a number by itself, whatever is written: such a row cannot be updated to
    /// what it is on the other side.
    pub(super) numbers_itself: bool,
}

/// One side's tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) manifest: Manifest,
    traits: HashMap<i64, Traits>,
}

/// A table on both sides.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of a key")]
pub(super) struct Pair {
    /// No other's of the same list.
    pub(super) number: usize,
    pub(super) from: HostTable,
    pub(super) to: HostTable,
    /// The names of the columns that tell a row of the client from its others; empty where nothing does.
    pub(super) key: Vec<String>,
    /// Whether its key is the client, which has one row at most.
    single: bool,
    /// Whether the target's key begins with the client.
    pub(super) key_has_client: bool,
    /// The same of the source.
    key_back_has_client: bool,
    /// Whether rows of it on the target can be deleted and inserted again in one statement.
    pub(super) can_insert_again: bool,
    /// The same of the source.
    can_insert_back: bool,
}

impl Tables {
    /// Reads them in a transaction of its own.
    pub(super) async fn read(
        side: &Side,
        conn: &mut PgConnection,
        left_out: &[String],
    ) -> Result<Result<Self, Finding>> {
        let step = "reading its tables";
        side.run(conn, step, "begin isolation level repeatable read, read only")
            .await?;
        let manifest = Manifest::read(conn, side.client, side.placement, left_out).await;
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(Error::Portable {
                source: PortableError::UnclassifiedTable { table },
                ..
            }) => {
                side.run(conn, step, "rollback").await?;
                return Ok(Err(Finding::UnclassifiedTable {
                    side: side.name,
                    table,
                }));
            }
            Err(error) => return Err(error),
        };
        let oids: Vec<i64> = manifest.tables.iter().map(|table| table.oid).collect();
        let traits: Vec<Traits> = sqlx::query_as(include_str!("traits.sql"))
            .bind(oids)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await
            .map_err(|source| Error::of_statement(side.client, step, source))?;
        side.commit(conn, step).await?;
        let traits = traits.into_iter().map(|traits| (traits.oid, traits)).collect();
        Ok(Ok(Self { manifest, traits }))
    }

    pub(super) fn traits(&self, table: &HostTable) -> Option<&Traits> {
        self.traits.get(&table.oid)
    }

    /// What says within a millisecond whether the database still has these tables with these columns, and no others.
    pub(super) async fn outline(&self, side: &Side, conn: &mut PgConnection) -> Result<String> {
        let oids: Vec<String> = (self.manifest.tables.iter())
            .map(|table| table.oid.to_string())
            .collect();
        let sql = format!(
            "select concat(
                 (select sum(pg_catalog.hashtextextended(concat_ws(' ', attrelid, attnum, attname, atttypid, atttypmod), 0))
                  from pg_catalog.pg_attribute where attnum > 0 and attrelid = any ('{{{}}}'::oid[])), ' ',
                 (select sum(pg_catalog.hashtextextended(oid::text, 0)) from pg_catalog.pg_class
                  where relkind in ('r', 'p') and relpersistence <> 't'
                    and relnamespace not in ('pg_catalog'::regnamespace, 'tenantry'::regnamespace)))",
            oids.join(", ")
        );
        side.value(conn, "reading the outline of its tables", sql).await
    }

    /// What is compared to see whether tables changed: their columns, keys and constraints.
    pub(super) fn digest(&self, into: &mut Sha256) {
        let mut tables: Vec<&HostTable> = self.manifest.tables.iter().collect();
        tables.sort_by_key(|table| table.qualified());
        for table in tables {
            into.update(table.qualified());
            for column in table.columns() {
                into.update([0]);
                into.update(&column.name);
                into.update([1]);
                into.update(&column.type_name);
            }
            into.update([2]);
        }
    }
}

/// What both sides' tables are, as text.
pub(super) fn fingerprint(source: &Tables, target: &Tables) -> String {
    let mut digest = Sha256::new();
    source.digest(&mut digest);
    digest.update([3]);
    target.digest(&mut digest);
    hex::encode(digest.finalize())
}

/// Pairs the tables of both sides by their names, in the order of references of the target.
pub(super) fn pairs(source: &Tables, target: &Tables) -> Vec<Pair> {
    let mut names: Vec<String> = source.manifest.tables.iter().map(HostTable::qualified).collect();
    names.sort();
    let tables = target.manifest.tables.iter();
    tables
        .filter_map(|to| {
            let from = source.manifest.table(&to.schema, &to.name)?;
            let number = names.iter().position(|name| *name == from.qualified())?;
            let (here, there) = (source.traits(from)?, target.traits(to)?);
            let numbers_itself = here.numbers_itself || there.numbers_itself;
            // Where it says whose they are the client is its key; where it does not, there is nobody else.
            let single = |traits: &Traits| traits.key.is_none() && traits.key_has_client;
            let bare = |traits: &Traits, table: &HostTable| traits.key.is_none() && !table.has_client();
            let single =
                (single(here) && (single(there) || bare(there, to))) || (bare(here, from) && single(there));
            let single = single && !numbers_itself;
            let key = match (&here.key, &there.key) {
                (Some(here), Some(there)) if same(here, there) && !numbers_itself => there.clone(),
                _ => Vec::new(),
            };
            Some(Pair {
                number,
                from: from.clone(),
                to: to.clone(),
                key,
                single,
                key_has_client: there.key_has_client,
                key_back_has_client: here.key_has_client,
                can_insert_again: !there.acts_on_delete,
                can_insert_back: !here.acts_on_delete,
            })
        })
        .collect()
}

fn same(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|column| other.contains(column))
}

impl Pair {
    /// The same, from the other side.
    pub(super) fn reversed(&self) -> Self {
        Self {
            number: self.number,
            from: self.to.clone(),
            to: self.from.clone(),
            key: self.key.clone(),
            single: self.single,
            key_has_client: self.key_back_has_client,
            key_back_has_client: self.key_has_client,
            can_insert_again: self.can_insert_back,
            can_insert_back: self.can_insert_again,
        }
    }

    /// Whether it has one row at most and no key there that says so: the row is written anew.
    pub(super) fn is_written_anew(&self) -> bool {
        self.single && !self.key_has_client
    }

    pub(super) fn name(&self) -> String {
        self.to.qualified()
    }

    /// The columns of both sides, in the order of the source.
    pub(super) fn columns(&self) -> Vec<(&HostColumn, &HostColumn)> {
        let there = self.to.by_name();
        self.from
            .columns()
            .filter_map(|column| Some((column, *there.get(column.name.as_str())?)))
            .collect()
    }

    /// The key's columns, as the source spells them and as the target does.
    pub(super) fn key_columns(&self) -> Vec<(&HostColumn, &HostColumn)> {
        let columns = self.columns();
        self.key
            .iter()
            .filter_map(|name| columns.iter().find(|(from, _)| from.name == *name).copied())
            .collect()
    }

    /// Whether what changes in it can be followed.
    pub(super) fn has_key(&self) -> bool {
        self.single || (!self.key.is_empty() && self.key_columns().iter().all(|(column, _)| !column.as_text))
    }
}
