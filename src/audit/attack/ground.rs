#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Deserialize;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::failure::statement_failed;
use crate::error::Result;
use crate::schema::CLIENT_COLUMN;

/// What there is to attack in a pool database.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// The tables with rows of clients, parents first as far as they are no circle.
    pub(super) tables: Vec<Table>,
    /// The tables that all clients read.
    pub(super) shared: Vec<Table>,
    pub(super) objects: Vec<Object>,
    /// Settings that policies and functions go by, and such that others use for it.
    pub(super) settings: Vec<String>,
    /// Roles that the app role is a member of.
    pub(super) roles: Vec<String>,
    /// Tables that somebody held locked against everybody.
    pub(super) locked: Vec<String>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Table {
    pub(super) oid: i64,
    /// Schema and name, quoted.
    pub(super) sql: String,
    pub(super) name: String,
    pub(super) shared: bool,
    pub(super) reads: bool,
    pub(super) inserts: bool,
    pub(super) writes: bool,
    pub(super) deletes: bool,
    pub(super) triggered: bool,
    pub(super) columns: Json<Vec<Column>>,
    pub(super) checks: Json<Vec<Check>>,
    pub(super) keys: Json<Vec<Key>>,
    pub(super) partial_keys: Json<Vec<Check>>,
    pub(super) references: Json<Vec<Reference>>,
    /// The bounds of its partitions.
    pub(super) bounds: Json<Vec<String>>,
    pub(super) partition_columns: Json<Vec<i16>>,
    policies: Json<Vec<String>>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Column {
    pub(super) attnum: i16,
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) type_sql: String,
    /// The type below all domains.
    pub(super) base_sql: String,
    #[serde(flatten)]
    pub(super) kind: Kind,
    pub(super) typmod: i32,
    pub(super) domain_checks: Vec<String>,
    pub(super) required: bool,
    pub(super) default: bool,
    pub(super) generated: bool,
    pub(super) identity_always: bool,
    pub(super) inserts: bool,
    pub(super) updates: bool,
}

/// What a type is, below all domains.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) base: String,
    pub(super) category: String,
    /// Of an array.
    pub(super) element: Option<String>,
    /// Of an enumeration, or of an array of one.
    pub(super) labels: Vec<String>,
    /// Of a composite type, or of an array of one. Those of a part of a part are left out.
    #[serde(default)]
    pub(super) parts: Vec<Part>,
}

/// A field of a composite type.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Part {
    pub(super) name: String,
    /// Null is what any domain is likely to take.
    pub(super) domain: bool,
    #[serde(flatten)]
    pub(super) kind: Kind,
    pub(super) typmod: i32,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Check {
    pub(super) sql: String,
    pub(super) columns: Vec<i16>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Key {
    pub(super) primary: bool,
    /// Of those in its expressions as well.
    pub(super) columns: Option<Vec<i16>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) columns: Vec<i16>,
    pub(super) to: i64,
    pub(super) to_columns: Vec<String>,
    pub(super) cascades: bool,
}

/// A partition (`r`, `p`), view (`v`), materialized view (`m`), foreign table (`f`), sequence (`S`), function (`function`) or
/// procedure (`procedure`).
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Object {
    pub(super) kind: String,
    #[expect(dead_code, reason = "orders and tells apart what has one name")]
    oid: i64,
    pub(super) sql: String,
    /// Whether the app role has any right on it.
    pub(super) open: bool,
    /// The tables behind it.
    pub(super) tables: Vec<i64>,
    pub(super) definition: String,
    pub(super) arguments: Json<Vec<Argument>>,
    pub(super) definer: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Argument {
    pub(super) name: String,
    pub(super) type_sql: String,
    #[serde(flatten)]
    pub(super) kind: Kind,
}

/// Settings that others name the client by.
const SETTINGS: [&str; 6] = [
    "tenantry.client",
    "tenantry.client_id",
    "app.client_id",
    "app.tenant_id",
    "app.current_tenant",
    "request.jwt.claims",
];

impl Ground {
    pub(super) async fn read(admin: &mut PgConnection, app: &str, database: &str) -> Result<Self> {
        let failed = statement_failed(database, "reading the catalogue");
        let mut locked: Vec<(i64, String)> = Vec::new();
        let tables: Vec<Table> = loop {
            let without: Vec<i64> = locked.iter().map(|(oid, _)| *oid).collect();
            let read = sqlx::query_as(include_str!("ground.sql"))
                .bind(app)
                .bind(without)
                .fetch_all(&mut *admin)
                .await;
            match read {
                // Conditions are spelled out under a lock on their table: one that others hold is left out.
                Err(source) if locked.is_empty() && is_locked(&source) => {
                    locked = sqlx::query_as(
                        "select distinct r.oid::int8, format('%I.%I', n.nspname, r.relname)
                         from pg_catalog.pg_locks l
                         join pg_catalog.pg_class r on r.oid = coalesce(pg_catalog.pg_partition_root(l.relation), l.relation)
                         join pg_catalog.pg_namespace n on n.oid = r.relnamespace
                         where l.granted and l.mode = 'AccessExclusiveLock' and r.relkind in ('r', 'p')
                           and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())",
                    )
                    .fetch_all(&mut *admin)
                    .await
                    .map_err(&failed)?;
                    if locked.is_empty() {
                        return Err(failed(source));
                    }
                }
                read => break read.map_err(&failed)?,
            }
        };
        let objects: Vec<Object> = sqlx::query_as(include_str!("objects.sql"))
            .bind(app)
            .fetch_all(&mut *admin)
            .await
            .map_err(&failed)?;
        let roles = sqlx::query_scalar(
            "select r.rolname::text from pg_catalog.pg_roles r
             where r.rolname <> $1 and pg_has_role($1, r.oid, 'member') order by 1",
        )
        .bind(app)
        .fetch_all(&mut *admin)
        .await
        .map_err(&failed)?;
        let kernel: Vec<String> = sqlx::query_scalar(
            "select coalesce(p.prosrc, '') from pg_catalog.pg_proc p where p.pronamespace = 'tenantry'::regnamespace",
        )
        .fetch_all(&mut *admin)
        .await
        .map_err(&failed)?;
        let mut settings: BTreeSet<String> = SETTINGS.iter().map(|name| (*name).to_owned()).collect();
        let texts = kernel
            .iter()
            .chain(objects.iter().map(|object| &object.definition))
            .chain(tables.iter().flat_map(|table| table.policies.iter()));
        for text in texts {
            settings.extend(settings_of(text));
        }
        let (shared, tables) = tables.into_iter().partition(|table: &Table| table.shared);
        Ok(Self {
            tables: parents_first(tables),
            shared,
            objects,
            settings: settings.into_iter().take(24).collect(),
            roles,
            locked: locked.into_iter().map(|(_, table)| table).collect(),
        })
    }

    pub(super) fn position(&self, oid: i64) -> Option<usize> {
        self.tables.iter().position(|table| table.oid == oid)
    }

    /// The tables that those refer to, with them, parents first.
    pub(super) fn with_parents(&self, of: &[usize]) -> Vec<usize> {
        let mut needed: HashSet<usize> = HashSet::new();
        let mut next = of.to_vec();
        while let Some(at) = next.pop() {
            if needed.insert(at) {
                let to = self.tables[at].references.iter();
                next.extend(to.filter_map(|reference| self.position(reference.to)));
            }
        }
        let mut needed: Vec<usize> = needed.into_iter().collect();
        needed.sort_unstable();
        needed
    }

    pub(super) fn of_kind<'a>(&'a self, kinds: &'a [&'a str]) -> impl Iterator<Item = &'a Object> {
        self.objects
            .iter()
            .filter(|object| kinds.contains(&object.kind.as_str()))
    }
}

impl Table {
    pub(super) fn column(&self, attnum: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.attnum == attnum)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that says whose a row is.
    pub(super) fn client(&self) -> Option<&Column> {
        self.columns
            .iter()
            .find(|column| column.name == CLIENT_COLUMN && column.kind.base == "uuid")
    }

    pub(super) fn is_client(&self, attnum: i16) -> bool {
        self.client().is_some_and(|client| client.attnum == attnum)
    }

    pub(super) fn in_key(&self, attnum: i16) -> bool {
        let mut keys = self.keys.iter().filter_map(|key| key.columns.as_ref());
        keys.any(|columns| columns.contains(&attnum))
    }

    pub(super) fn reference_of(&self, attnum: i16) -> Option<&Reference> {
        self.references
            .iter()
            .find(|reference| reference.columns.contains(&attnum))
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("55P03")
}

/// The names in calls of `current_setting`.
fn settings_of(text: &str) -> Vec<String> {
    let calls = text.split("current_setting(").skip(1);
    let names = calls.filter_map(|rest| rest.trim_start().strip_prefix('\'')?.split('\'').next());
    names
        .filter(|name| name.contains('.'))
        .map(str::to_owned)
        .collect()
}

fn parents_first(tables: Vec<Table>) -> Vec<Table> {
    let known: HashMap<i64, usize> = tables
        .iter()
        .enumerate()
        .map(|(at, table)| (table.oid, at))
        .collect();
    let mut order = Vec::with_capacity(tables.len());
    let mut placed = vec![false; tables.len()];
    while order.len() < tables.len() {
        let ready = |at: usize, placed: &[bool], optional: bool| {
            tables[at].references.iter().all(|reference| {
                let parent = known.get(&reference.to);
                parent.is_none_or(|parent| *parent == at || placed[*parent])
                    || (optional && may_be_null(&tables[at], reference))
            })
        };
        let free = |placed: &[bool], optional| {
            (0..tables.len()).find(|at| !placed[*at] && ready(*at, placed, optional))
        };
        // A circle is begun where a reference may be null, or anywhere.
        let next = free(&placed, false)
            .or_else(|| free(&placed, true))
            .or_else(|| placed.iter().position(|placed| !placed));
        let Some(next) = next else { break };
        placed[next] = true;
        order.push(next);
    }
    let mut tables: Vec<Option<Table>> = tables.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| tables[at].take()).collect()
}

/// Whether a row can do without the reference.
pub(super) fn may_be_null(table: &Table, reference: &Reference) -> bool {
    let mut columns = reference
        .columns
        .iter()
        .filter_map(|attnum| table.column(*attnum));
    columns.any(|column| !column.required && !table.is_client(column.attnum))
}

#[cfg(test)]
mod tests {
    use super::settings_of;

    #[test]
    fn settings_are_found_wherever_they_are_asked_for() {
        let text = "nullif(current_setting('app.tenant', true), '') || current_setting( 'x.y') || current_setting('role')";
        assert_eq!(settings_of(text), ["app.tenant", "x.y"]);
    }
}
