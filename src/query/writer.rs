use std::fmt::{self, Write as _};

use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArguments, PgTypeInfo};
use sqlx::{Arguments as _, TypeInfo as _};

use super::array::element_of;
use super::bind::Value;
use super::expr::Node;
use super::notes::Notes;
use super::relations::{Relation, Relations};
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

/// A statement as it is sent.
pub(super) struct Spelt {
    pub(super) sql: String,
    pub(super) arguments: PgArguments,
    pub(super) runs_code: bool,
    pub(super) notes: Notes,
    types: String,
    /// Which reading of the catalogue it is spelt by.
    generation: u32,
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

    /// Notes that a column is under an operator.
    pub(super) fn note_tested(&mut self, node: &Node<'_>, operator: &str, relations: &Relations<'c>) {
        if let Some(notes) = &mut self.notes {
            notes.tested(node, operator, relations);
        }
    }

    /// How many related tables it is inside of, once it is inside of one more.
    pub(super) fn deeper(&mut self) -> usize {
        self.depth += 1;
        self.depth
    }

    pub(super) fn less_deep(&mut self) {
        self.depth -= 1;
    }

    /// Says that SQL of the host's is in it, which may run any code.
    pub(super) fn expect_code(&mut self) {
        self.runs_code = true;
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
            generation: self.catalogue.generation,
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

    pub(super) fn ends_with(&self, what: fn(char) -> bool) -> bool {
        self.sql.ends_with(what)
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

    /// Binds a value of any type and returns its place, to be named once or more.
    pub(super) fn bind(&mut self, value: &dyn Value, column: &str) -> Result<usize> {
        self.mark(&value.info());
        let added = value.add_to(&mut self.arguments);
        self.added(column, added)
    }

    /// A value that has the same type wherever the same SQL is sent.
    pub(super) fn value_of_one_type(&mut self, value: &dyn Value, column: &str) -> Result<()> {
        let added = value.add_to(&mut self.arguments);
        let at = self.added(column, added)?;
        self.place(at);
        Ok(())
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

    /// A value that is held against a column, or given to it.
    pub(super) fn value_of(&mut self, column: &Column, value: &dyn Value) -> Result<()> {
        let info = value.info();
        if let Some(notes) = &mut self.notes {
            notes.compared(column, &info, false);
        }
        if element_of(&info, column) != Some(column.type_oid) {
            self.mark(&info);
        }
        self.value_of_one_type(value, &column.name)
    }

    /// An array of values that are each held against a column, or given to it.
    pub(super) fn values_of(&mut self, column: &Column, values: &dyn Value, each: &PgTypeInfo) -> Result<()> {
        let info = values.info();
        if let Some(notes) = &mut self.notes {
            notes.compared(column, each, true);
        }
        if info.oid().map(|oid| oid.0) != self.catalogue.array_of(column.type_oid) {
            self.mark(&info);
        }
        self.value_of_one_type(values, &column.name)
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
    /// values of other types has to have another: their bytes would be read as what they are not. So has one that was
    /// prepared before the catalogue was read again, for the columns may have other types now.
    pub(super) fn sent(mut self) -> (String, PgArguments) {
        // Writing to a String cannot fail.
        let _ = match self.generation {
            0 if self.types.is_empty() => Ok(()),
            0 => write!(self.sql, " /*{} */", self.types),
            generation => write!(self.sql, " /* {generation}{} */", self.types),
        };
        (self.sql, self.arguments)
    }
}
