#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::PgConnection;

/// The tables and functions that the app role may name, with the SQL that each is spelt with.
///
/// Identifiers reach generated SQL only from here: a name that the catalogue does not know is an error
/// before anything is sent.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    tables: HashMap<String, Arc<Table>>,
    functions: HashMap<String, Vec<Arc<Function>>>,
}

/// How a table relates to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableKind {
    /// Has `client_id`: scoped on a pool.
    Tenant,
    /// Declared as read by all clients and written by none.
    Shared,
    /// Neither: refused on a pool, ordinary on a dedicated database.
    Plain,
}

#[derive(Debug)]
pub(crate) struct Table {
    /// Schema and name, quoted.
    pub(crate) sql: String,
    pub(crate) kind: TableKind,
    /// Whether a read runs code of the host's, which can leave something on the session; whether a write does.
    reads_run_code: bool,
    writes_run_code: bool,
    /// Every column but `client_id`, quoted and joined by commas.
    pub(crate) visible_columns: String,
    /// Each column but `client_id` by name, with its quoted spelling.
    columns: HashMap<String, String>,
}

impl Table {
    /// Whether a statement runs code of the host's.
    pub(crate) fn runs_code(&self, writes: bool) -> bool {
        if writes {
            self.writes_run_code
        } else {
            self.reads_run_code
        }
    }

    /// The quoted spelling of a column; never `client_id`.
    pub(crate) fn column(&self, name: &str) -> Option<&str> {
        self.columns.get(name).map(String::as_str)
    }

    pub(crate) fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }
}

#[derive(Debug)]
pub(crate) struct Function {
    /// Schema and name, quoted.
    pub(crate) sql: String,
    /// The names of its input parameters, each with its quoted spelling.
    parameters: Vec<(String, String)>,
    /// How many of the last parameters have defaults.
    defaults: usize,
    /// Runs with the rights of its owner, past row-level security.
    pub(crate) security_definer: bool,
    pub(crate) is_procedure: bool,
    /// Whether it may write: it is volatile.
    pub(crate) writes: bool,
    /// Its result columns but `client_id`, quoted and joined by commas; `*` where it has one unnamed.
    pub(crate) visible_columns: String,
}

impl Function {
    /// Whether it takes the client that calls it.
    pub(crate) fn takes_client(&self) -> bool {
        self.parameter(CLIENT_PARAMETER).is_some()
    }

    /// The quoted spelling of an input parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, quoted)| quoted.as_str())
    }

    /// The parameters without a default.
    pub(crate) fn required_parameters(&self) -> impl Iterator<Item = &str> {
        let required = self.parameters.len().saturating_sub(self.defaults);
        self.parameters[..required].iter().map(|(name, _)| name.as_str())
    }

    /// The parameters that a caller gives, for messages.
    pub(crate) fn parameter_names(&self) -> String {
        let names = self.parameters.iter().map(|(name, _)| name.as_str());
        names
            .filter(|name| *name != CLIENT_PARAMETER)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// The column that scopes a table.
pub(crate) const CLIENT_COLUMN: &str = "client_id";

/// The parameter that scopes a function.
pub(crate) const CLIENT_PARAMETER: &str = "p_client_id";

impl Catalogue {
    /// Reads what the role of the connection may name. Its statements have no names: behind a pooler, those
    /// would stay in a session that others use.
    pub(crate) async fn load(conn: &mut PgConnection) -> sqlx::Result<Self> {
        // A dedicated database that an older system made has no kernel.
        let has_kernel: bool = sqlx::query_scalar("select to_regprocedure('tenantry.kernel()') is not null")
            .persistent(false)
            .fetch_one(&mut *conn)
            .await?;
        let shared: Vec<i64> = if has_kernel {
            sqlx::query_scalar("select unnest(k.shared_tables)::int8 from tenantry.kernel() k")
                .persistent(false)
                .fetch_all(&mut *conn)
                .await?
        } else {
            Vec::new()
        };
        let tables: Vec<TableRow> = sqlx::query_as(TABLES)
            .bind(&shared)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        let functions: Vec<FunctionRow> = sqlx::query_as(FUNCTIONS)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;

        let mut catalogue = Self::default();
        for row in tables {
            let (qualified, name, visible) = (row.qualified.clone(), row.name.clone(), row.visible);
            let table = Arc::new(Table::from(row));
            if visible {
                catalogue.tables.insert(name, Arc::clone(&table));
            }
            catalogue.tables.insert(qualified, table);
        }
        for row in functions {
            let name = row.name.clone();
            catalogue
                .functions
                .entry(name)
                .or_default()
                .push(Arc::new(row.into()));
        }
        Ok(catalogue)
    }

    /// A table by its name, or by `schema.name` where it is not on the search path.
    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// The functions and procedures of that name on the search path.
    pub(crate) fn functions(&self, name: &str) -> &[Arc<Function>] {
        self.functions.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn table_names(&self) -> impl Iterator<Item = &str> {
        self.tables.keys().map(String::as_str)
    }

    pub(crate) fn function_names(&self) -> impl Iterator<Item = &str> {
        self.functions.keys().map(String::as_str)
    }
}

#[expect(clippy::struct_excessive_bools, reason = "a row of a catalogue")]
#[derive(sqlx::FromRow)]
struct TableRow {
    read_runs_code: bool,
    write_runs_code: bool,
    qualified: String,
    name: String,
    sql: String,
    visible: bool,
    shared: bool,
    columns: Vec<String>,
    quoted: Vec<String>,
}

impl From<TableRow> for Table {
    fn from(row: TableRow) -> Self {
        let has_client = row.columns.iter().any(|column| column == CLIENT_COLUMN);
        let shown: Vec<(String, String)> = row
            .columns
            .into_iter()
            .zip(row.quoted)
            .filter(|(name, _)| name != CLIENT_COLUMN)
            .collect();
        Self {
            sql: row.sql,
            reads_run_code: row.read_runs_code,
            writes_run_code: row.read_runs_code || row.write_runs_code,
            kind: match (row.shared, has_client) {
                (true, _) => TableKind::Shared,
                (false, true) => TableKind::Tenant,
                (false, false) => TableKind::Plain,
            },
            visible_columns: joined(shown.iter().map(|(_, quoted)| quoted)),
            columns: shown.into_iter().collect(),
        }
    }
}

#[derive(sqlx::FromRow)]
struct FunctionRow {
    name: String,
    sql: String,
    parameters: Vec<String>,
    quoted_parameters: Vec<String>,
    defaults: i16,
    security_definer: bool,
    is_procedure: bool,
    writes: bool,
    results: Vec<String>,
}

impl From<FunctionRow> for Function {
    fn from(row: FunctionRow) -> Self {
        let visible = joined(row.results.iter().filter(|column| *column != CLIENT_COLUMN));
        Self {
            sql: row.sql,
            parameters: row.parameters.into_iter().zip(row.quoted_parameters).collect(),
            writes: row.writes,
            defaults: usize::try_from(row.defaults).unwrap_or_default(),
            security_definer: row.security_definer,
            is_procedure: row.is_procedure,
            visible_columns: if visible.is_empty() {
                "*".to_owned()
            } else {
                visible
            },
        }
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The candidate that is fewest edits away, where that is few enough to be a slip.
pub(crate) fn nearest_name<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    candidates
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, _)| *edits <= 1 + name.chars().count() / 3)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// The Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Partitions are left out: they are named through their parents.
///
/// Code of the host's runs in a statement on a table by its views, policies, triggers, defaults, checks and indexes,
/// and by the triggers of whatever a write cascades into: those count for every table.
const TABLES: &str = "
with host_functions as (
    select p.oid from pg_proc p
    where p.oid >= 16384 and p.pronamespace is distinct from to_regnamespace('tenantry')
      and not exists (select from pg_depend d
                      where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
), in_expressions as (
    select d.classid, d.objid from pg_depend d join host_functions f on f.oid = d.refobjid
    where d.refclassid = 'pg_proc'::regclass
), in_policies as (
    select p.polrelid as relation from in_expressions e join pg_policy p on p.oid = e.objid
    where e.classid = 'pg_policy'::regclass
), in_rows as (
    select a.adrelid as relation from in_expressions e join pg_attrdef a on a.oid = e.objid
    where e.classid = 'pg_attrdef'::regclass
    union all
    select k.conrelid from in_expressions e join pg_constraint k on k.oid = e.objid
    where e.classid = 'pg_constraint'::regclass
    union all
    select i.indrelid from in_expressions e join pg_index i on i.indexrelid = e.objid
    where e.classid = 'pg_class'::regclass
)
select c.relkind in ('v', 'm', 'f') or c.oid in (select relation from in_policies) as read_runs_code,
       exists (select from pg_trigger t where not t.tgisinternal)
           or c.oid in (select relation from in_rows) as write_runs_code,
       n.nspname || '.' || c.relname as qualified,
       c.relname::text as name,
       format('%I.%I', n.nspname, c.relname) as sql,
       pg_table_is_visible(c.oid) as visible,
       c.oid::int8 = any ($1) as shared,
       array_agg(a.attname::text order by a.attnum) as columns,
       array_agg(quote_ident(a.attname) order by a.attnum) as quoted
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry') and n.nspname !~ '^pg_(toast|temp)'
  and has_schema_privilege(n.oid, 'usage')
  and has_any_column_privilege(c.oid, 'select, insert, update')
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
group by n.nspname, c.oid, c.relname";

/// Functions of extensions are left out, and those with an unnamed parameter: arguments go by name.
const FUNCTIONS: &str = "
select p.proname::text as name,
       format('%I.%I', n.nspname, p.proname) as sql,
       coalesce(array(select a.name from unnest(p.proargnames) with ordinality a(name, at)
                      where coalesce(p.proargmodes[a.at], 'i') in ('i', 'b', 'v') order by a.at), '{}') as parameters,
       coalesce(array(select quote_ident(a.name) from unnest(p.proargnames) with ordinality a(name, at)
                      where coalesce(p.proargmodes[a.at], 'i') in ('i', 'b', 'v') order by a.at), '{}') as quoted_parameters,
       p.pronargdefaults as defaults,
       p.prosecdef as security_definer,
       p.prokind = 'p' as is_procedure,
       p.provolatile = 'v' as writes,
       case when t.typtype = 'c'
            then array(select quote_ident(a.attname) from pg_attribute a
                       where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum)
            else array(select quote_ident(a.name) from unnest(p.proargnames) with ordinality a(name, at)
                       where p.proargmodes[a.at] in ('o', 'b', 't') order by a.at)
       end as results
from pg_proc p
join pg_namespace n on n.oid = p.pronamespace
join pg_type t on t.oid = p.prorettype
where p.prokind in ('f', 'p') and pg_function_is_visible(p.oid)
  and n.nspname not in ('pg_catalog', 'information_schema', 'tenantry')
  and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
  and t.typname not in ('trigger', 'event_trigger')
  and (p.pronargs = 0 or not '' = any (p.proargnames))
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
order by p.oid";

#[cfg(test)]
impl Catalogue {
    /// Adds a table of the schema public, as the database would tell of it.
    pub(crate) fn add_table<S: AsRef<str>>(&mut self, name: &str, shared: bool, columns: &[S]) {
        let row = TableRow {
            read_runs_code: false,
            write_runs_code: false,
            qualified: format!("public.{name}"),
            name: name.to_owned(),
            sql: format!("public.{}", quote_ident(name)),
            visible: true,
            shared,
            columns: columns.iter().map(|column| column.as_ref().to_owned()).collect(),
            quoted: columns
                .iter()
                .map(|column| quote_ident(column.as_ref()))
                .collect(),
        };
        let table = Arc::new(Table::from(row));
        self.tables.insert(format!("public.{name}"), Arc::clone(&table));
        self.tables.insert(name.to_owned(), table);
    }

    /// Adds a function of the schema public that runs with the rights of its caller and reads; `change` may
    /// say otherwise.
    pub(crate) fn add_function<S: AsRef<str>>(
        &mut self,
        name: &str,
        parameters: &[S],
        defaults: i16,
        results: &[&str],
        change: impl FnOnce(&mut Function),
    ) {
        let mut function = Function::from(FunctionRow {
            name: name.to_owned(),
            sql: format!("public.{}", quote_ident(name)),
            parameters: parameters.iter().map(|name| name.as_ref().to_owned()).collect(),
            quoted_parameters: parameters.iter().map(|name| quote_ident(name.as_ref())).collect(),
            defaults,
            security_definer: false,
            is_procedure: false,
            writes: false,
            results: results.iter().map(|name| quote_ident(name)).collect(),
        });
        change(&mut function);
        self.functions
            .entry(name.to_owned())
            .or_default()
            .push(Arc::new(function));
    }
}

/// As the database quotes an identifier, but for the reserved words.
#[cfg(test)]
fn quote_ident(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    if name.starts_with(plain) && name.chars().all(|c| plain(c) || c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_a_slip_away_or_none() {
        let names = ["agents", "documents", "conversations"];
        assert_eq!(
            nearest_name("agent", names.into_iter()).as_deref(),
            Some("agents")
        );
        assert_eq!(
            nearest_name("docments", names.into_iter()).as_deref(),
            Some("documents")
        );
        assert_eq!(nearest_name("zzz", names.into_iter()), None);
    }

    #[test]
    fn edits_count_insertions_deletions_and_substitutions() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }
}
