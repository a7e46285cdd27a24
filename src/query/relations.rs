use super::join::{By, Join};
use super::writer::Writer;
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::schema::{CLIENT_COLUMN, Column, ForeignKey, Table, TableKind, nearest_name};

/// The tables that names in a part of a statement can be of, the statement's own first.
pub(super) struct Relations<'c> {
    client: ClientId,
    base: Relation<'c>,
    joined: Vec<Relation<'c>>,
    /// Whether columns are spelt with the relation that they are of.
    qualified: bool,
}

/// A table under the name that its columns go by.
pub(super) struct Relation<'c> {
    pub(super) table: &'c Table,
    pub(super) name: String,
    /// Whether several of its rows may be joined to one.
    pub(super) is_many: bool,
}

/// Two columns that are equal: of the joined relation, and of the one before it.
pub(super) type Pair<'c> = (&'c Column, &'c Column);

impl<'c> Relations<'c> {
    /// One table, whose columns need no qualifier.
    pub(super) fn of(client: ClientId, table: &'c Table, name: &str) -> Self {
        Self {
            client,
            base: Relation {
                table,
                name: bare(name).to_owned(),
                is_many: false,
            },
            joined: Vec::new(),
            qualified: false,
        }
    }

    /// One table under an alias.
    pub(super) fn aliased(client: ClientId, table: &'c Table, alias: String) -> Self {
        Self {
            client,
            base: Relation {
                table,
                name: alias,
                is_many: false,
            },
            joined: Vec::new(),
            qualified: true,
        }
    }

    /// Spells columns with the relation that they are of.
    pub(super) fn qualify(&mut self) {
        self.qualified = true;
    }

    pub(super) fn is_qualified(&self) -> bool {
        self.qualified
    }

    pub(super) fn base(&self) -> &Relation<'c> {
        &self.base
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Relation<'c>> {
        std::iter::once(&self.base).chain(&self.joined)
    }

    pub(super) fn add(&mut self, relation: Relation<'c>) -> Result<()> {
        if self.all().any(|known| known.name == relation.name) {
            return Err(Error::StatementRefused {
                client: self.client,
                what: format!("join {}", relation.name),
                reason: "another table goes by this name; give it an alias",
            });
        }
        self.joined.push(relation);
        Ok(())
    }

    /// The column of that name, and the relation that it is of.
    pub(super) fn column(&self, name: &str) -> Result<(&Relation<'c>, &'c Column)> {
        if let Some(column) = self.base.table.column(name) {
            return Ok((&self.base, column));
        }
        let (relation, of) = match name.split_once('.') {
            Some((relation, of)) => match self.all().find(|known| known.name == relation) {
                Some(relation) => (relation, of),
                None => (&self.base, name),
            },
            None => (&self.base, name),
        };
        if of == CLIENT_COLUMN {
            return Err(Error::StatementRefused {
                client: self.client,
                what: format!("column client_id of {}", relation.name),
                reason: "the scope supplies it, and it is not shown",
            });
        }
        match relation.table.column(of) {
            Some(column) => Ok((relation, column)),
            None => Err(Error::UnknownColumn {
                client: self.client,
                table: relation.name.clone(),
                column: of.to_owned(),
                nearest_name: nearest_name(of, relation.table.column_names()),
            }),
        }
    }

    /// What connects a table to one of these, and to which.
    pub(super) fn connection(
        &self,
        join: &Join<'_>,
        table: &'c Table,
    ) -> Result<(&Relation<'c>, Vec<Pair<'c>>)> {
        let refused = |reason| {
            Err(Error::StatementRefused {
                client: self.client,
                what: format!("join {}", join.table),
                reason,
            })
        };
        let column = match &join.by {
            By::Columns(pairs) => return self.declared(pairs, join, table),
            By::Column(column) => Some(column.as_ref()),
            By::ForeignKey => None,
        };
        let mut found = Vec::new();
        for relation in self.all() {
            let near = relation.table;
            let wanted =
                |key: &&ForeignKey| column.is_none_or(|column| key.columns.iter().any(|of| of == column));
            let referring = near.foreign_keys_to(table).filter(wanted);
            found.extend(referring.filter_map(|key| {
                let pairs = pairs_of(table, &key.to_columns, near, &key.columns)?;
                Some((relation, pairs))
            }));
            let referred = table.foreign_keys_to(near).filter(wanted);
            found.extend(referred.filter_map(|key| {
                let pairs = pairs_of(table, &key.columns, near, &key.to_columns)?;
                Some((relation, pairs))
            }));
        }
        match (found.len(), column) {
            (1, _) => Ok(found.remove(0)),
            (0, None) => refused("no foreign key connects it to the tables before it; say on which columns"),
            (0, Some(_)) => refused("no foreign key of that column connects it to the tables before it"),
            (_, None) => {
                refused("several foreign keys connect it to the tables before it; say by which column")
            }
            (_, Some(_)) => refused("several foreign keys of that column connect it; say on which columns"),
        }
    }

    fn declared<A: AsRef<str>>(
        &self,
        declared: &[(A, A)],
        join: &Join<'_>,
        table: &'c Table,
    ) -> Result<(&Relation<'c>, Vec<Pair<'c>>)> {
        let own = Relations::aliased(self.client, table, name_of(join));
        let mut relation = &self.base;
        let mut pairs = Vec::with_capacity(declared.len());
        for (column, other) in declared {
            let (_, column) = own.column(column.as_ref())?;
            let (of, other) = self.column(other.as_ref())?;
            if !pairs.is_empty() && of.name != relation.name {
                return Err(Error::StatementRefused {
                    client: self.client,
                    what: format!("join {}", join.table),
                    reason: "its columns equal those of several tables",
                });
            }
            relation = of;
            pairs.push((column, other));
        }
        Ok((relation, pairs))
    }
}

impl Relation<'_> {
    /// Writes its name as a qualifier.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.quoted(&self.name);
        writer.push(".");
    }

    pub(super) fn is_tenant(&self) -> bool {
        self.table.kind == TableKind::Tenant
    }
}

/// The name that a joined table goes by.
pub(super) fn name_of(join: &Join<'_>) -> String {
    let name = join.alias.as_deref().unwrap_or_else(|| bare(&join.table));
    name.to_owned()
}

/// A table's name without its schema.
fn bare(table: &str) -> &str {
    table.rsplit_once('.').map_or(table, |(_, name)| name)
}

fn pairs_of<'c>(
    near: &'c Table,
    columns: &[String],
    far: &'c Table,
    others: &[String],
) -> Option<Vec<Pair<'c>>> {
    let pair = |(column, other): (&String, &String)| Some((near.column(column)?, far.column(other)?));
    let pairs: Vec<_> = columns.iter().zip(others).map(pair).collect::<Option<_>>()?;
    (!pairs.is_empty()).then_some(pairs)
}
