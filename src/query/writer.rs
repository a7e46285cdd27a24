use std::fmt::{self, Write as _};

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, TypeInfo as _};

use super::array::element_of;
use super::bind::{Value, held};
use super::condition::{Condition, Related, SubQuery, Whether};
use super::expr::Node;
use super::fragment::{Fragment, Piece};
use super::relations::{Relation, Relations};
use super::text_search::TextSearch;
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::{Catalogue, Column, Table, TableKind, nearest_name};

/// A statement being spelt: its SQL, and its values in the order that it names them in.
#[expect(unnameable_types, reason = "a parameter of the sealed trait")]
pub struct Writer<'c> {
    sql: String,
    arguments: PgArguments,
    client: ClientId,
    catalogue: &'c Catalogue,
    /// On a pool database.
    scoped: bool,
    /// The place of the client, once it was named.
    client_at: Option<usize>,
    /// How many related tables it is inside of.
    depth: usize,
    /// Whether it runs code of the host's.
    runs_code: bool,
    /// What was held against which column, where that is asked for.
    notes: Option<Notes>,
    /// The types of values that are not their columns' own.
    types: String,
}

/// What conditions and assignments hold against columns.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) compared: Vec<Compared>,
    pub(super) tested: Vec<Tested>,
}

/// A column of a tenant table under an operator.
pub(super) struct Tested {
    /// As SQL names it.
    pub(super) table: String,
    pub(super) column: String,
    pub(super) operator: String,
}

/// A value that was held against a column.
pub(super) struct Compared {
    pub(super) column: String,
    pub(super) type_sql: String,
    pub(super) type_oid: u32,
    pub(super) given: PgTypeInfo,
    /// Whether it is an array of values that are each held against the column.
    pub(super) each: bool,
}

/// A statement as it is sent.
pub(super) struct Spelt {
    pub(super) sql: String,
    pub(super) arguments: PgArguments,
    pub(super) runs_code: bool,
    pub(super) notes: Notes,
    types: String,
}

/// The number of values that the protocol can carry.
const MOST_VALUES: usize = 65_535;

impl<'c> Writer<'c> {
    pub(super) fn new(client: ClientId, catalogue: &'c Catalogue, scoped: bool) -> Self {
        Self {
            sql: String::with_capacity(192),
            arguments: PgArguments::default(),
            client,
            catalogue,
            scoped,
            client_at: None,
            depth: 0,
            runs_code: false,
            notes: None,
            types: String::new(),
        }
    }

    /// Notes what is held against which column.
    pub(super) fn take_notes(&mut self) {
        self.notes = Some(Notes::default());
    }

    pub(super) fn finish(self) -> Result<Spelt> {
        if self.arguments.len() > MOST_VALUES {
            return self.refuse("a statement", "it binds more than 65,535 values");
        }
        Ok(Spelt {
            sql: self.sql,
            arguments: self.arguments,
            runs_code: self.runs_code,
            notes: self.notes.unwrap_or_default(),
            types: self.types,
        })
    }

    pub(super) fn client(&self) -> ClientId {
        self.client
    }

    pub(super) fn catalogue(&self) -> &'c Catalogue {
        self.catalogue
    }

    pub(super) fn is_scoped(&self) -> bool {
        self.scoped
    }

    pub(super) fn push(&mut self, text: &str) {
        self.sql.push_str(text);
    }

    /// A name that is not from the catalogue.
    pub(super) fn quoted(&mut self, name: &str) {
        self.sql.push('"');
        for c in name.chars() {
            if c == '"' {
                self.sql.push('"');
            }
            self.sql.push(c);
        }
        self.sql.push('"');
    }

    pub(super) fn place(&mut self, at: usize) {
        // Writing to a String cannot fail.
        let _ = write!(self.sql, "${at}");
    }

    /// The client, who has one place however often it is named.
    pub(super) fn own_client(&mut self) -> Result<()> {
        let at = if let Some(at) = self.client_at {
            at
        } else {
            let added = self.arguments.add(self.client.as_uuid());
            self.added("client_id", added)?
        };
        self.client_at = Some(at);
        self.place(at);
        Ok(())
    }

    /// A value of any type, for a parameter or an expression.
    pub(super) fn value(&mut self, value: &dyn Value, column: &str) -> Result<()> {
        let at = self.bind(value, column)?;
        self.place(at);
        Ok(())
    }

    /// A value that has the same type wherever the same SQL is sent.
    pub(super) fn value_of_one_type(&mut self, value: &dyn Value, column: &str) -> Result<()> {
        let added = value.add_to(&mut self.arguments);
        let at = self.added(column, added)?;
        self.place(at);
        Ok(())
    }

    /// Binds a value of any type and returns its place, to be named once or more.
    pub(super) fn bind(&mut self, value: &dyn Value, column: &str) -> Result<usize> {
        self.mark(&value.info());
        let added = value.add_to(&mut self.arguments);
        self.added(column, added)
    }

    /// Notes the type of the next value for the statement's name.
    fn mark(&mut self, info: &PgTypeInfo) {
        let at = self.arguments.len() + 1;
        // Writing to a String cannot fail.
        let _ = match info.oid() {
            Some(oid) => write!(self.types, " {at}:{}", oid.0),
            // The name of a type of the host's, none of whose letters may end a comment.
            None => write!(self.types, " {at}:{}", hex::encode(info.name())),
        };
    }

    fn added(&self, column: &str, added: Result<(), BoxDynError>) -> Result<usize> {
        match added {
            Ok(()) => Ok(self.arguments.len()),
            Err(source) => Err(Error::Encode {
                client: self.client,
                column: column.to_owned(),
                source: source.into(),
            }),
        }
    }

    pub(super) fn refuse<T>(&self, what: impl Into<String>, reason: &'static str) -> Result<T> {
        Err(Error::StatementRefused {
            client: self.client,
            what: what.into(),
            reason,
        })
    }

    /// The table of that name, where it may be read here, or written.
    pub(super) fn table(&mut self, name: &str, verb: &'static str, writes: bool) -> Result<&'c Table> {
        let table = self.catalogue.table(name).ok_or_else(|| Error::UnknownTable {
            client: self.client,
            table: name.to_owned(),
            nearest_name: nearest_name(name, self.catalogue.table_names()),
        })?;
        let refused = match table.kind {
            TableKind::Shared if writes => Some("the table is shared by all clients and only read"),
            TableKind::Plain if self.scoped => Some("the table has no client_id and is not declared shared"),
            _ => None,
        };
        if let Some(reason) = refused {
            return self.refuse(format!("{verb} {name}"), reason);
        }
        self.runs_code |= table.runs_code(writes);
        Ok(table)
    }

    /// The name of an alias or label, as the database takes it.
    pub(super) fn label(&mut self, name: &str) -> Result<()> {
        if name.is_empty() || name.len() > 63 || name.contains('\0') {
            return self.refuse(
                format!("the name {name:?}"),
                "a name has 1 to 63 bytes and no NUL",
            );
        }
        self.quoted(name);
        Ok(())
    }

    /// A column, with its relation where that is needed.
    pub(super) fn column(&mut self, relations: &Relations<'c>, name: &str) -> Result<&'c Column> {
        let (relation, column) = relations.column(name)?;
        if relations.is_qualified() {
            relation.write(self);
        }
        self.push(&column.sql);
        Ok(column)
    }

    pub(super) fn node(&mut self, node: &Node<'_>, relations: &Relations<'c>) -> Result<()> {
        match node {
            Node::Column(name) => self.column(relations, name).map(drop),
            Node::Value(value) => self.value(&**value, "an expression"),
            Node::Call(function, of) => {
                self.push(function);
                self.push("(");
                for (at, of) in of.iter().enumerate() {
                    self.push(if at == 0 { "" } else { ", " });
                    self.node(of, relations)?;
                }
                self.push(")");
                Ok(())
            }
            Node::Infix(left, operator, right) => {
                self.push("(");
                self.node(left, relations)?;
                self.push(operator);
                self.node(right, relations)?;
                self.push(")");
                Ok(())
            }
            Node::Aggregate {
                function,
                distinct,
                of,
            } => {
                self.push(function);
                self.push(if *distinct { "(distinct " } else { "(" });
                match of {
                    Some(of) => self.node(of, relations)?,
                    None => self.push("*"),
                }
                self.push(")");
                Ok(())
            }
            Node::Cast(of, to) => {
                self.node(of, relations)?;
                self.push("::");
                self.push(to);
                Ok(())
            }
            Node::Raw(fragment) => self.fragment(fragment),
        }
    }

    fn fragment(&mut self, fragment: &Fragment<'_>) -> Result<()> {
        if let Some(reason) = fragment.refusal() {
            return self.refuse("a fragment of SQL", reason);
        }
        self.runs_code = true;
        self.push("(");
        for piece in &fragment.pieces {
            match piece {
                Piece::Text(sql) => self.push(sql.as_str()),
                Piece::Value(value) => self.value(&**value, "a fragment of SQL")?,
            }
        }
        self.push(")");
        Ok(())
    }

    /// ` where …`: the scope of the relation first, then the conditions.
    pub(super) fn conditions(
        &mut self,
        conditions: &[Condition<'_>],
        relations: &Relations<'c>,
    ) -> Result<()> {
        let mut joint = " where ";
        if self.scoped && relations.base().is_tenant() {
            self.push(joint);
            if relations.is_qualified() {
                relations.base().write(self);
            }
            self.push("client_id = ");
            self.own_client()?;
            joint = " and ";
        }
        for condition in conditions {
            self.push(joint);
            self.condition(condition, relations)?;
            joint = " and ";
        }
        Ok(())
    }

    pub(super) fn condition(&mut self, condition: &Condition<'_>, relations: &Relations<'c>) -> Result<()> {
        match condition {
            Condition::Test(node, operator, value) => self.test(node, operator, &**value, relations),
            Condition::Compare(left, operator, right) => {
                self.node(left, relations)?;
                self.push(operator);
                self.node(right, relations)
            }
            Condition::Between(node, low, high) => {
                self.test(node, " between ", &**low, relations)?;
                self.push(" and ");
                self.held_against(node, &**high, relations, false)
            }
            Condition::AnyOf(node, values) => {
                self.note_tested(node, "=", relations);
                self.node(node, relations)?;
                self.push(" = any (");
                self.held_against(node, &**values, relations, true)?;
                self.push(")");
                Ok(())
            }
            Condition::NoneOf(node, values) => {
                self.node(node, relations)?;
                self.push(" <> all (");
                self.held_against(node, &**values, relations, true)?;
                self.push(")");
                Ok(())
            }
            Condition::IsNull(node) => {
                self.node(node, relations)?;
                self.push(" is null");
                Ok(())
            }
            Condition::IsNotNull(node) => {
                self.node(node, relations)?;
                self.push(" is not null");
                Ok(())
            }
            Condition::Matches(node, search) => self.text_search(node, search, relations),
            Condition::Within(node, query, whether) => self.within(node, query, *whether, relations),
            Condition::Has(related, whether) => self.has(related, *whether, relations),
            Condition::Any(list) => self.group(list, " or ", "false", relations),
            Condition::All(list) => self.group(list, " and ", "true", relations),
            Condition::NotAny(list) => {
                self.push("not ");
                self.group(list, " or ", "false", relations)
            }
            Condition::Raw(fragment) => self.fragment(fragment),
        }
    }

    /// Notes that a column is under an operator.
    fn note_tested(&mut self, node: &Node<'_>, operator: &str, relations: &Relations<'c>) {
        if let (Some(notes), Node::Column(name)) = (&mut self.notes, node)
            && let Ok((relation, column)) = relations.column(name)
            && relation.is_tenant()
        {
            notes.tested.push(Tested {
                table: relation.table.sql.clone(),
                column: column.name.clone(),
                // As the catalogue has them.
                operator: match operator.trim() {
                    "like" => "~~",
                    "ilike" => "~~*",
                    operator => operator,
                }
                .to_owned(),
            });
        }
    }

    fn test(
        &mut self,
        node: &Node<'_>,
        operator: &str,
        value: &dyn Value,
        relations: &Relations<'c>,
    ) -> Result<()> {
        if let Node::Column(name) = node {
            self.note_tested(node, operator, relations);
            let column = self.column(relations, name)?;
            self.push(operator);
            return self.value_of(column, value);
        }
        self.node(node, relations)?;
        self.push(operator);
        self.value(value, "an expression")
    }

    /// A value that is held against a column, or given to it.
    pub(super) fn value_of(&mut self, column: &Column, value: &dyn Value) -> Result<()> {
        let info = value.info();
        self.note_compared(column, &info, false);
        if element_of(&info, column) != Some(column.type_oid) {
            self.mark(&info);
        }
        self.value_of_one_type(value, &column.name)
    }

    /// An array of values that are each held against a column, or given to it.
    pub(super) fn values_of(&mut self, column: &Column, values: &dyn Value, each: &PgTypeInfo) -> Result<()> {
        let info = values.info();
        self.note_compared(column, each, true);
        if info.oid().map(|oid| oid.0) != self.catalogue.array_of(column.type_oid) {
            self.mark(&info);
        }
        self.value_of_one_type(values, &column.name)
    }

    /// A value that is held against another, which is written already.
    fn held_against(
        &mut self,
        node: &Node<'_>,
        value: &dyn Value,
        relations: &Relations<'c>,
        each: bool,
    ) -> Result<()> {
        match node {
            Node::Column(name) => {
                let (_, column) = relations.column(name)?;
                if each {
                    self.values_of(column, value, &value.info())
                } else {
                    self.value_of(column, value)
                }
            }
            _ => self.value(value, "an expression"),
        }
    }

    fn note_compared(&mut self, column: &Column, given: &PgTypeInfo, each: bool) {
        if let Some(notes) = &mut self.notes {
            notes.compared.push(Compared {
                column: column.name.clone(),
                type_sql: column.type_sql.clone(),
                type_oid: column.type_oid,
                given: given.clone(),
                each,
            });
        }
    }

    fn group(
        &mut self,
        list: &[Condition<'_>],
        joint: &str,
        none: &str,
        relations: &Relations<'c>,
    ) -> Result<()> {
        self.push("(");
        if list.is_empty() {
            self.push(none);
        }
        for (at, condition) in list.iter().enumerate() {
            self.push(if at == 0 { "" } else { joint });
            self.condition(condition, relations)?;
        }
        self.push(")");
        Ok(())
    }

    fn text_search(
        &mut self,
        node: &Node<'_>,
        search: &TextSearch<'_>,
        relations: &Relations<'c>,
    ) -> Result<()> {
        if !search.has_plain_language() {
            return self.refuse(
                "a text search",
                "the name of its language has letters, digits and _ alone",
            );
        }
        self.note_tested(node, "@@", relations);
        let language = search.language.as_ref().map(|name| format!("'{name}', "));
        let is_document = match node {
            Node::Column(name) => relations.column(name)?.1.type_sql == "tsvector",
            _ => false,
        };
        if is_document {
            self.node(node, relations)?;
        } else {
            self.push("to_tsvector(");
            self.push(language.as_deref().unwrap_or_default());
            self.node(node, relations)?;
            self.push(")");
        }
        self.push(" @@ ");
        self.push(search.reader);
        self.push("(");
        self.push(language.as_deref().unwrap_or_default());
        self.value_of_one_type(&held(search.text.as_str()), "a text search")?;
        self.push(")");
        Ok(())
    }

    fn within(
        &mut self,
        node: &Node<'_>,
        query: &SubQuery<'_>,
        whether: Whether,
        relations: &Relations<'c>,
    ) -> Result<()> {
        if query.select.width(self.catalogue, &query.source.table) != 1 {
            return self.refuse(
                format!("a sub-query of {}", query.source.table),
                "it has another number of columns than one",
            );
        }
        self.push(if whether == Whether::IsNot { "not (" } else { "" });
        // Nothing is equal to null, so a null on either side would make `not` neither true nor false.
        if whether == Whether::IsNot {
            self.push("coalesce(");
        }
        self.node(node, relations)?;
        self.push(if whether == Whether::IsNot {
            " in (select found from ("
        } else {
            " in ("
        });
        query.select.write(&query.source, self)?;
        self.push(match whether {
            Whether::Is => ")",
            Whether::IsNot => ") as found (found) where found is not null), false))",
        });
        Ok(())
    }

    /// `exists (…)`: the rows of another table that are connected to this row, in scope.
    fn has(&mut self, related: &Related<'_>, whether: Whether, relations: &Relations<'c>) -> Result<()> {
        let table = self.table(&related.join.table, "select from", false)?;
        let (near, pairs) = relations.connection(&related.join, table)?;
        self.depth += 1;
        let mut alias = match &related.join.alias {
            Some(alias) => alias.clone().into_owned(),
            None => format!("related_{}", self.depth),
        };
        while relations.all().any(|relation| relation.name == alias) {
            alias.push('_');
        }
        let far = Relation {
            table,
            name: alias,
            is_many: false,
        };
        self.push(if whether == Whether::IsNot { "not " } else { "" });
        self.push("exists (select from ");
        self.push(&table.sql);
        self.push(" as ");
        self.label(&far.name)?;
        self.push(" where ");
        self.connected(&far, near, &pairs)?;
        let inner = Relations::aliased(self.client, table, far.name);
        for condition in &related.conditions {
            self.push(" and ");
            self.condition(condition, &inner)?;
        }
        self.push(")");
        self.depth -= 1;
        Ok(())
    }

    /// That two relations are of the same client, and that their columns are equal.
    pub(super) fn connected(
        &mut self,
        far: &Relation<'c>,
        near: &Relation<'c>,
        pairs: &[(&Column, &Column)],
    ) -> Result<()> {
        let mut joint = "";
        if far.table.has_client {
            // Of one client in either kind of database; the keys lead with it.
            if self.scoped {
                far.write(self);
                self.push("client_id = ");
                self.own_client()?;
                joint = " and ";
            } else if near.table.has_client {
                far.write(self);
                self.push("client_id = ");
                near.write(self);
                self.push("client_id");
                joint = " and ";
            }
        }
        for (column, other) in pairs {
            self.push(joint);
            far.write(self);
            self.push(&column.sql);
            self.push(" = ");
            near.write(self);
            self.push(&other.sql);
            joint = " and ";
        }
        Ok(())
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("sql", &self.sql)
            .finish_non_exhaustive()
    }
}

impl Spelt {
    /// The SQL as it is sent. sqlx knows a prepared statement by its text alone, so that one that was prepared for
    /// values of other types has to have another: their bytes would be read as what they are not.
    pub(super) fn sent(mut self) -> (String, PgArguments) {
        if !self.types.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(self.sql, " /*{} */", self.types);
        }
        (self.sql, self.arguments)
    }
}

impl Compared {
    /// Whether the value's type is of another kind than the column's.
    pub(super) fn is_of_another_kind(&self) -> bool {
        let given = self.given.oid().map(|oid| oid.0);
        if given == Some(self.type_oid) {
            return false;
        }
        let base = self.type_sql.split(['(', '[']).next().unwrap_or_default().trim();
        let given = match self.given.name().strip_suffix("[]") {
            Some(element) if self.each => element,
            _ => self.given.name(),
        };
        let is_array = self.type_sql.ends_with("[]") || given.ends_with("[]");
        is_array || kind_of(&base.to_ascii_lowercase()) != kind_of(&given.to_ascii_lowercase())
    }
}

/// The types that the database turns into each other by itself, under one name.
fn kind_of(name: &str) -> &str {
    match name {
        "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8" | "numeric" | "real"
        | "double precision" | "float4" | "float8" | "oid" => "number",
        "text" | "character varying" | "character" | "varchar" | "bpchar" | "char" | "name" | "\"char\"" => {
            "text"
        }
        "date" | "timestamp" | "timestamptz" | "timestamp without time zone" | "timestamp with time zone" => {
            "time"
        }
        "json" | "jsonb" => "json",
        "boolean" | "bool" => "bool",
        other => other,
    }
}
