//! The statements of a plan, from the catalogue's names alone.

use uuid::Uuid;

use super::assign::{Assign, Rule};
use super::catalogue::{HostTable, Reference, UniqueKey};

/// Triggers fire in the order of their names: behind those of the host, which may change what a rule goes by.
const ON_INSERT: &str = "\"~tenantry_assign_insert\"";
const ON_UPDATE: &str = "\"~tenantry_assign_update\"";

/// A text as a literal.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

pub(super) fn joined(statements: &[String]) -> String {
    statements.join("; ")
}

/// What stands for the client of the row `r`.
pub(super) fn client_of_row(retrofit: Uuid, table: i64, assign: &Assign, rule: RuleSql<'_>) -> String {
    let found = match (&assign.rule, rule) {
        (Rule::To(client), _) => return format!("'{client}'::uuid"),
        (_, RuleSql::Column(column)) => format!(
            "(select v.client_id from tenantry.retrofit_values v \
             where v.retrofit = '{retrofit}' and v.relation = {table} and v.value = r.{column}::text)"
        ),
        (_, RuleSql::Parent(key)) => {
            let same: Vec<String> = (key.far_columns.iter().zip(&key.columns))
                .map(|(far, mine)| format!("p.{far} = r.{mine}"))
                .collect();
            format!(
                "(select p.client_id from {} p where {})",
                key.far_sql,
                same.join(" and ")
            )
        }
    };
    match assign.otherwise {
        Some(client) => format!("coalesce({found}, '{client}'::uuid)"),
        None => found,
    }
}

/// What a rule goes by.
#[derive(Clone, Copy, Debug)]
pub(super) enum RuleSql<'a> {
    /// A column, quoted; of no meaning where all rows go to one client.
    Column(&'a str),
    Parent(&'a Reference),
}

/// What has rows that are written meanwhile get the client of the row `r`.
pub(super) fn triggers(table: &HostTable, client: &str) -> String {
    let query = literal(&format!("select {client} from (select ($1).*) r"));
    let sql = &table.sql;
    format!(
        "create trigger {ON_INSERT} before insert on {sql} for each row when (new.client_id is null) \
             execute function tenantry.assign_client({query}); \
         create trigger {ON_UPDATE} before update on {sql} for each row \
             when (new.client_id is not distinct from old.client_id) \
             execute function tenantry.assign_client({query})"
    )
}

pub(super) fn no_triggers(table: &HostTable) -> String {
    let sql = &table.sql;
    format!("drop trigger if exists {ON_INSERT} on {sql}; drop trigger if exists {ON_UPDATE} on {sql}")
}

/// The names of a key while it is built: as it is to be, and as it was.
impl UniqueKey {
    pub(super) fn new_name(&self) -> String {
        format!("tenantry_by_client_{}", self.oid)
    }

    pub(super) fn old_name(&self) -> String {
        format!("tenantry_as_before_{}", self.oid)
    }

    pub(super) fn qualified(&self, name: &str) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(name))
    }

    /// What builds it under another name, with the client in front or without. `None` where it is not defined as
    /// unique indexes are.
    pub(super) fn build(&self, table: &HostTable, name: &str, by_client: bool) -> Option<String> {
        let columns = self.definition.strip_prefix(&self.head)?;
        let client = if by_client { "client_id, " } else { "" };
        Some(format!(
            "create unique index concurrently {} on {} using btree ({client}{columns}",
            quoted(name),
            table.sql
        ))
    }

    /// What drops it.
    pub(super) fn drop(&self, table: &HostTable) -> String {
        match self.constraint_kind {
            Some(_) => format!("alter table {} drop constraint {}", table.sql, quoted(&self.name)),
            None => format!("drop index {}", self.qualified(&self.name)),
        }
    }

    /// What gives its place to an index of another name.
    pub(super) fn put(&self, table: &HostTable, index: &str) -> Vec<String> {
        let (name, index) = (quoted(&self.name), quoted(index));
        let kind = match self.constraint_kind.as_deref() {
            Some("p") => "primary key",
            Some(_) => "unique",
            None => "",
        };
        let mut sql = if kind.is_empty() {
            let index = format!("{}.{index}", quoted(&self.schema));
            vec![format!("alter index {index} rename to {name}")]
        } else {
            let when = deferral(self.deferrable, self.deferred);
            let table = &table.sql;
            vec![format!(
                "alter table {table} add constraint {name} {kind} using index {index}{when}"
            )]
        };
        if let Some(comment) = &self.constraint_comment {
            sql.push(format!(
                "comment on constraint {name} on {} is {comment}",
                table.sql
            ));
        }
        if let Some(comment) = &self.index_comment {
            sql.push(format!(
                "comment on index {} is {comment}",
                self.qualified(&self.name)
            ));
        }
        sql
    }
}

impl Reference {
    /// Its name until it has its place.
    pub(super) fn new_name(&self) -> String {
        format!("tenantry_by_client_{}", self.oid)
    }

    /// What adds it with the client, to be checked later.
    pub(super) fn add_by_client(&self) -> String {
        let mut sql = format!(
            "alter table {} add constraint {} foreign key (client_id, {}) references {} (client_id, {})",
            self.table_sql,
            quoted(&self.new_name()),
            self.columns.join(", "),
            self.far_sql,
            self.far_columns.join(", ")
        );
        match self.on_update.as_str() {
            "c" => sql.push_str(" on update cascade"),
            "r" => sql.push_str(" on update restrict"),
            _ => {}
        }
        let columns = self.set_columns.join(", ");
        match self.on_delete.as_str() {
            "c" => sql.push_str(" on delete cascade"),
            "r" => sql.push_str(" on delete restrict"),
            "n" => sql.extend([" on delete set null (", &columns, ")"]),
            "d" => sql.extend([" on delete set default (", &columns, ")"]),
            _ => {}
        }
        sql.push_str(deferral(self.deferrable, self.deferred));
        sql.push_str(" not valid");
        sql
    }

    /// What gives its place to the one with the client.
    pub(super) fn switch(&self) -> Vec<String> {
        let (table, name) = (&self.table_sql, quoted(&self.name));
        vec![
            format!("alter table {table} drop constraint {name}"),
            format!(
                "alter table {table} rename constraint {} to {name}",
                quoted(&self.new_name())
            ),
        ]
    }

    pub(super) fn drop(&self) -> String {
        format!(
            "alter table {} drop constraint {}",
            self.table_sql,
            quoted(&self.name)
        )
    }

    /// What adds it as it was, to be checked later.
    pub(super) fn add_as_before(&self) -> String {
        format!(
            "alter table {} add constraint {} {} not valid",
            self.table_sql,
            quoted(&self.name),
            self.definition
        )
    }

    pub(super) fn validate(&self, name: &str) -> String {
        format!(
            "alter table {} validate constraint {}",
            self.table_sql,
            quoted(name)
        )
    }

    pub(super) fn comment(&self) -> Option<String> {
        let comment = self.comment.as_deref()?;
        Some(format!(
            "comment on constraint {} on {} is {comment}",
            quoted(&self.name),
            self.table_sql
        ))
    }
}

const fn deferral(deferrable: bool, deferred: bool) -> &'static str {
    match (deferrable, deferred) {
        (true, true) => " deferrable initially deferred",
        (true, false) => " deferrable",
        _ => "",
    }
}

/// A name as an identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_end_where_they_end() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }
}
