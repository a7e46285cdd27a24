use std::borrow::Cow;

use super::bind::held;
use super::compare::Compare;
use super::cursor::Position;
use super::expr::{Expr, Node};
use super::join::Join;
use super::lock::{LockWait, RowLock};
use super::order::Order;
use super::relations::{Relation, Relations, name_of};
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::{Filtered, Shape, sealed};
use super::writer::Writer;
use crate::error::Result;
use crate::schema::Table;

/// A [`TenantQuery`] that reads rows.
#[derive(Default)]
pub struct Select<'t> {
    /// Each with the name that it goes by in a row.
    items: Vec<(Node<'t>, Option<Cow<'t, str>>)>,
    distinct: Distinct<'t>,
    groups: Vec<Node<'t>>,
    having: Vec<(Node<'t>, &'static str, Node<'t>)>,
    pub(super) order: Vec<(Node<'t>, Order)>,
    pub(super) limit: Option<u32>,
    offset: Option<u32>,
    lock: Option<(RowLock, LockWait)>,
    pub(super) position: Option<Position>,
}

#[derive(Default)]
enum Distinct<'t> {
    #[default]
    No,
    Rows,
    On(Vec<Node<'t>>),
}

impl<'t> TenantQuery<'t, Select<'t>> {
    /// The columns of a row, in this order. Defaults to all of the table but `client_id`, in its order.
    pub fn columns<C: Into<Expr<'t>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        let columns = columns.into_iter().map(|column| (column.into().0, None));
        self.verb.items = columns.collect();
        self
    }

    /// One more column of a row, under a name of its own.
    pub fn column_as(mut self, column: impl Into<Expr<'t>>, name: impl Into<Cow<'t, str>>) -> Self {
        self.verb.items.push((column.into().0, Some(name.into())));
        self
    }

    /// Each row once.
    pub fn distinct(mut self) -> Self {
        self.verb.distinct = Distinct::Rows;
        self
    }

    /// Of the rows that have the same in these columns, the first by the order, which begins with them.
    pub fn distinct_on<C: Into<Expr<'t>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.verb.distinct = Distinct::On(columns.into_iter().map(|column| column.into().0).collect());
        self
    }

    /// One row for each group of rows that have the same in these columns.
    pub fn group_by<C: Into<Expr<'t>>>(mut self, columns: impl IntoIterator<Item = C>) -> Self {
        self.verb
            .groups
            .extend(columns.into_iter().map(|column| column.into().0));
        self
    }

    /// Groups where two values compare so, such as [`Expr::count`] and an [`Expr::value`].
    pub fn having(mut self, left: impl Into<Expr<'t>>, how: Compare, right: impl Into<Expr<'t>>) -> Self {
        self.verb.having.push((left.into().0, how.sql(), right.into().0));
        self
    }

    /// Reads another table beside this one, along the foreign key between them: a row for each pair of rows.
    ///
    /// On a pool database the scope is on every table, and an outer join keeps the rows that have none there.
    /// Columns of a row default to those of this table; the others are named `table.column`.
    ///
    /// ```no_run
    /// # use tenantry::{Join, TenantDb};
    /// # async fn example(acme: TenantDb) -> tenantry::Result<()> {
    /// let talks: Vec<(uuid::Uuid, Option<String>)> = acme
    ///     .query("conversations")
    ///     .join(Join::left("agents"))
    ///     .columns(["id", "agents.name"])
    ///     .eq("user_id", "ada")
    ///     .fetch_all()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn join(mut self, table: impl Into<Join<'t>>) -> Self {
        self.source.joins.push(table.into());
        self
    }

    /// Orders rows, after what was said before.
    pub fn order_by(mut self, column: impl Into<Expr<'t>>, order: Order) -> Self {
        self.verb.order.push((column.into().0, order));
        self
    }

    /// At most so many rows. Defaults to all; of a [page](Self::fetch_page), to 100.
    pub fn limit(mut self, rows: u32) -> Self {
        self.verb.limit = Some(rows);
        self
    }

    /// Passes over so many rows first. Defaults to none. It reads them all the same; a
    /// [page](Self::fetch_page) does not.
    pub fn offset(mut self, rows: u32) -> Self {
        self.verb.offset = Some(rows);
        self
    }

    /// Locks the rows of this table until the transaction ends. Outside a transaction it is refused: the lock
    /// would end with the statement.
    pub fn lock(mut self, rows: RowLock, wait: LockWait) -> Self {
        self.verb.lock = Some((rows, wait));
        self
    }
}

impl Select<'_> {
    /// The number of columns of a row.
    pub(super) fn width(&self, table: &Table) -> usize {
        match self.items.len() {
            0 => table.columns().len(),
            some => some,
        }
    }

    /// Whether rows of the result are rows of the table.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.distinct, Distinct::No) && self.groups.is_empty() && self.having.is_empty()
    }

    /// Why it cannot be read in pages, if it cannot.
    pub(super) fn unpaged(&self) -> Option<&'static str> {
        if !self.is_plain() {
            return Some("groups and distinct rows have no place in an order of rows");
        }
        self.offset
            .map(|_| "each page would pass over so many rows; a cursor says where it begins")
    }

    /// Writes the query as it is fetched.
    pub(super) fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>) -> Result<()> {
        let (joined, relations) = related(source, writer)?;
        self.write_list(writer, &relations)?;
        let joint = Self::write_from(source, writer, &joined, &relations)?;
        self.write_rest(joint, writer, &relations)
    }

    pub(super) fn write_list<'c>(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        writer.push("select ");
        match &self.distinct {
            Distinct::No => {}
            Distinct::Rows => writer.push("distinct "),
            Distinct::On(columns) => {
                writer.push("distinct on (");
                list(columns, writer, relations)?;
                writer.push(") ");
            }
        }
        let base = relations.base();
        if self.items.is_empty() && !relations.is_qualified() {
            writer.push(&base.table.visible_columns);
        } else if self.items.is_empty() {
            for (at, column) in base.table.columns().iter().enumerate() {
                writer.push(if at == 0 { "" } else { ", " });
                base.write(writer);
                writer.push(&column.sql);
            }
        }
        for (at, (node, name)) in self.items.iter().enumerate() {
            writer.push(if at == 0 { "" } else { ", " });
            writer.node(node, relations)?;
            if let Some(name) = name {
                writer.push(" as ");
                writer.label(name)?;
            }
        }
        if self.position.is_some() {
            Position::write_columns(&self.order, writer, relations)?;
        }
        Ok(())
    }

    pub(super) fn write_from<'c>(
        source: &Source<'_>,
        writer: &mut Writer<'c>,
        joined: &[Joined<'c>],
        relations: &Relations<'c>,
    ) -> Result<&'static str> {
        writer.push(" from ");
        writer.push(&relations.base().table.sql);
        if relations.is_qualified() {
            writer.push(" as ");
            writer.label(&relations.base().name)?;
        }
        for (join, (far, near, pairs)) in source.joins.iter().zip(joined) {
            writer.push(if join.is_outer { " left join " } else { " join " });
            writer.push(&far.table.sql);
            writer.push(" as ");
            writer.label(&far.name)?;
            writer.push(" on ");
            writer.connected(far, near, pairs)?;
        }
        writer.conditions(&source.conditions, relations)
    }

    fn write_groups<'c>(&self, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        for (at, node) in self.groups.iter().enumerate() {
            writer.push(if at == 0 { " group by " } else { ", " });
            writer.node(node, relations)?;
        }
        for (at, (left, operator, right)) in self.having.iter().enumerate() {
            writer.push(if at == 0 { " having " } else { " and " });
            writer.node(left, relations)?;
            writer.push(operator);
            writer.node(right, relations)?;
        }
        Ok(())
    }

    fn write_rest<'c>(&self, joint: &str, writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
        if let Some(position) = &self.position {
            position.write_condition(&self.order, writer, relations, joint)?;
        }
        self.write_groups(writer, relations)?;
        if let Some(position) = &self.position {
            position.write_order(&self.order, writer, relations)?;
        } else {
            for (at, (node, order)) in self.order.iter().enumerate() {
                writer.push(if at == 0 { " order by " } else { ", " });
                writer.node(node, relations)?;
                writer.push(order.sql());
            }
        }
        if let Some(rows) = self.limit {
            writer.push(" limit ");
            writer.value_of_one_type(&held(i64::from(rows)), "limit")?;
        }
        if let Some(rows) = self.offset {
            writer.push(" offset ");
            writer.value_of_one_type(&held(i64::from(rows)), "offset")?;
        }
        if let Some((lock, wait)) = self.lock {
            writer.push(lock.sql());
            if relations.is_qualified() {
                writer.push(" of ");
                writer.label(&relations.base().name)?;
            }
            writer.push(wait.sql());
        }
        Ok(())
    }
}

/// A joined relation, and how it is connected to one before it.
type Joined<'c> = (Relation<'c>, Relation<'c>, Vec<super::relations::Pair<'c>>);

/// The tables of a query, and how they are connected.
pub(super) fn related<'c>(
    source: &Source<'_>,
    writer: &mut Writer<'c>,
) -> Result<(Vec<Joined<'c>>, Relations<'c>)> {
    let table = writer.table(&source.table, Select::NAME, false)?;
    let mut relations = Relations::of(writer.client(), table, &source.table);
    let mut joined = Vec::new();
    if !source.joins.is_empty() {
        relations.qualify();
    }
    for join in &source.joins {
        let table = writer.table(&join.table, "join", false)?;
        let (near, pairs) = relations.connection(join, table)?;
        let near = Relation {
            table: near.table,
            name: near.name.clone(),
            is_many: near.is_many,
        };
        let columns: Vec<&str> = pairs.iter().map(|(column, _)| column.name.as_str()).collect();
        let is_many = !table.is_unique_over(&columns);
        let far = || Relation {
            table,
            name: name_of(join),
            is_many,
        };
        joined.push((far(), near, pairs));
        relations.add(far())?;
    }
    Ok((joined, relations))
}

fn list<'c>(nodes: &[Node<'_>], writer: &mut Writer<'c>, relations: &Relations<'c>) -> Result<()> {
    for (at, node) in nodes.iter().enumerate() {
        writer.push(if at == 0 { "" } else { ", " });
        writer.node(node, relations)?;
    }
    Ok(())
}

impl Filtered for Select<'_> {}

impl Select<'_> {
    const NAME: &'static str = "select from";
}

impl sealed::Verb for Select<'_> {
    const NAME: &'static str = Select::NAME;
    const WRITES: bool = false;

    fn write(&self, source: &Source<'_>, writer: &mut Writer<'_>, shape: Shape) -> Result<()> {
        match shape {
            Shape::Rows | Shape::Done => Select::write(self, source, writer),
            // Order, limit and offset do not count.
            Shape::Count if self.is_plain() => {
                let (joined, relations) = related(source, writer)?;
                writer.push("select count(*)");
                Self::write_from(source, writer, &joined, &relations)?;
                Ok(())
            }
            Shape::Exists if self.is_plain() => {
                let (joined, relations) = related(source, writer)?;
                writer.push("select exists (select");
                Self::write_from(source, writer, &joined, &relations)?;
                writer.push(")");
                Ok(())
            }
            Shape::Count | Shape::Exists => {
                writer.push(if shape == Shape::Count {
                    "select count(*) from ("
                } else {
                    "select exists (select from ("
                });
                let (joined, relations) = related(source, writer)?;
                self.write_list(writer, &relations)?;
                Self::write_from(source, writer, &joined, &relations)?;
                self.write_groups(writer, &relations)?;
                writer.push(if shape == Shape::Count {
                    ") as counted"
                } else {
                    ") as counted)"
                });
                Ok(())
            }
        }
    }

    fn needs_transaction(&self) -> Option<&'static str> {
        self.lock
            .map(|_| "its lock would end with the statement; begin a transaction")
    }
}

impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Select")
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}
