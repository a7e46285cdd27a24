use std::borrow::Cow;
use std::fmt::Write as _;

use super::filter::Filter;
use super::tenant_query::TenantQuery;
use super::verb::sealed::Verb;
use super::verb::{Delete, Insert, Select, Update};
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::{CLIENT_COLUMN, Catalogue, Table, TableKind, nearest_name};

/// A statement being spelt, with what it is spelt from.
#[derive(Debug)]
#[expect(unnameable_types, reason = "a parameter of the sealed trait")]
pub struct Rendering<'a> {
    sql: String,
    client: ClientId,
    table: &'a Table,
    table_name: &'a str,
    filters: &'a [Filter<'a>],
    /// Whether the explicit predicate is needed: a tenant table on a pool.
    scoped: bool,
}

impl<V: Verb> TenantQuery<'_, V> {
    /// The SQL on this database. With `rows`, writing verbs return rows.
    pub(super) fn render(&self, catalogue: &Catalogue, scoped_database: bool, rows: bool) -> Result<String> {
        let client = self.arguments.client();
        let refused = |reason| {
            let what = format!("{} {}", V::NAME, self.table);
            Err(Error::StatementRefused { client, what, reason })
        };
        let table = catalogue.table(&self.table).ok_or_else(|| Error::UnknownTable {
            client,
            table: self.table.clone().into_owned(),
            nearest_name: nearest_name(&self.table, catalogue.table_names()),
        })?;
        match table.kind {
            TableKind::Shared if V::WRITES => {
                return refused("the table is shared by all clients and only read");
            }
            TableKind::Plain if scoped_database => {
                return refused("the table has no client_id and is not declared shared");
            }
            _ => {}
        }
        let mut rendering = Rendering {
            sql: String::with_capacity(table.visible_columns.len() + 160),
            client,
            table,
            table_name: &self.table,
            filters: &self.filters,
            scoped: scoped_database && table.kind == TableKind::Tenant,
        };
        self.verb.render(&mut rendering, rows)?;
        Ok(rendering.sql)
    }
}

impl<'a> Rendering<'a> {
    fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    fn column(&self, name: &str) -> Result<&'a str> {
        if name == CLIENT_COLUMN {
            return Err(Error::StatementRefused {
                client: self.client,
                what: format!("column client_id of {}", self.table_name),
                reason: "the scope supplies it, and it is not shown",
            });
        }
        self.table.column(name).ok_or_else(|| Error::UnknownColumn {
            client: self.client,
            table: self.table_name.to_owned(),
            column: name.to_owned(),
            nearest_name: nearest_name(name, self.table.column_names()),
        })
    }

    fn columns(&mut self, names: &[Cow<'_, str>]) -> Result<()> {
        if names.is_empty() {
            let table = self.table;
            self.push(&table.visible_columns);
            return Ok(());
        }
        for (at, name) in names.iter().enumerate() {
            let column = self.column(name)?;
            self.push(if at == 0 { "" } else { ", " });
            self.push(column);
        }
        Ok(())
    }

    /// ` where …`, with the scope first.
    fn conditions(&mut self) -> Result<()> {
        let mut joint = " where ";
        if self.scoped {
            self.push(" where client_id = $1");
            joint = " and ";
        }
        for filter in self.filters {
            let column = self.column(&filter.column)?;
            self.push(joint);
            filter.test.write(&mut self.sql, column);
            joint = " and ";
        }
        Ok(())
    }

    fn returning(&mut self, columns: &[Cow<'_, str>], rows: bool) -> Result<()> {
        if rows {
            self.push(" returning ");
            self.columns(columns)?;
        }
        Ok(())
    }

    fn refuse<T>(&self, verb: &str, reason: &'static str) -> Result<T> {
        let what = format!("{verb} {}", self.table_name);
        Err(Error::StatementRefused {
            client: self.client,
            what,
            reason,
        })
    }
}

impl Verb for Select<'_> {
    const NAME: &'static str = "select from";
    const WRITES: bool = false;

    fn render(&self, rendering: &mut Rendering<'_>, rows: bool) -> Result<()> {
        rendering.push("select ");
        if rows {
            rendering.columns(&self.columns)?;
        } else {
            rendering.push("count(*)");
        }
        rendering.push(" from ");
        let table = rendering.table;
        rendering.push(&table.sql);
        rendering.conditions()?;
        if !rows {
            return Ok(());
        }
        for (at, (name, order)) in self.order.iter().enumerate() {
            let column = rendering.column(name)?;
            rendering.push(if at == 0 { " order by " } else { ", " });
            rendering.push(column);
            rendering.push(order.sql());
        }
        // Writing to a String cannot fail.
        if let Some(at) = self.limit {
            let _ = write!(rendering.sql, " limit ${at}");
        }
        if let Some(at) = self.offset {
            let _ = write!(rendering.sql, " offset ${at}");
        }
        Ok(())
    }
}

impl Verb for Insert<'_> {
    const NAME: &'static str = "insert into";
    const WRITES: bool = true;

    fn render(&self, rendering: &mut Rendering<'_>, rows: bool) -> Result<()> {
        if self.rows.is_empty() {
            return rendering.refuse(Self::NAME, "it has no rows");
        }
        rendering.push("insert into ");
        let table = rendering.table;
        rendering.push(&table.sql);
        if self.columns.is_empty() && !rendering.scoped {
            if self.rows.len() > 1 {
                return rendering.refuse(Self::NAME, "several rows of nothing but defaults");
            }
            rendering.push(" default values");
            return rendering.returning(&self.returning, rows);
        }
        rendering.push(" (");
        let mut joint = "";
        if rendering.scoped {
            rendering.push("client_id");
            joint = ", ";
        }
        for name in &self.columns {
            let column = rendering.column(name)?;
            rendering.push(joint);
            rendering.push(column);
            joint = ", ";
        }
        rendering.push(") values ");
        for (number, row) in self.rows.iter().enumerate() {
            rendering.push(if number == 0 { "(" } else { ", (" });
            let mut joint = "";
            if rendering.scoped {
                rendering.push("$1");
                joint = ", ";
            }
            for at in row {
                let _ = write!(rendering.sql, "{joint}${at}");
                joint = ", ";
            }
            rendering.push(")");
        }
        rendering.returning(&self.returning, rows)
    }
}

impl Verb for Update<'_> {
    const NAME: &'static str = "update";
    const WRITES: bool = true;

    fn render(&self, rendering: &mut Rendering<'_>, rows: bool) -> Result<()> {
        if self.assignments.is_empty() {
            return rendering.refuse(Self::NAME, "it sets nothing");
        }
        if rendering.filters.is_empty() && !self.all {
            return rendering.refuse(Self::NAME, UNFILTERED);
        }
        rendering.push("update ");
        let table = rendering.table;
        rendering.push(&table.sql);
        for (number, (name, at)) in self.assignments.iter().enumerate() {
            let column = rendering.column(name)?;
            rendering.push(if number == 0 { " set " } else { ", " });
            let _ = write!(rendering.sql, "{column} = ${at}");
        }
        rendering.conditions()?;
        rendering.returning(&self.returning, rows)
    }
}

impl Verb for Delete<'_> {
    const NAME: &'static str = "delete from";
    const WRITES: bool = true;

    fn render(&self, rendering: &mut Rendering<'_>, rows: bool) -> Result<()> {
        if rendering.filters.is_empty() && !self.all {
            return rendering.refuse(Self::NAME, UNFILTERED);
        }
        rendering.push("delete from ");
        let table = rendering.table;
        rendering.push(&table.sql);
        rendering.conditions()?;
        rendering.returning(&self.returning, rows)
    }
}

const UNFILTERED: &str = "it has no condition; say .all() where every row of the client is meant";
