//! Foreign keys, which are checked and followed past row-level security.

use super::Look;
use super::look::quoted;
use crate::audit::catalogue::{ForeignKey, Relation};
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    CROSSES = "fk.not_by_client", High,
        "a foreign key does not lead with client_id on both sides: a client refers to a row of another, and learns that it is there",
        "(client_id, other_id) references other (client_id, id)";
    CASCADE = "fk.cascade_crosses", Critical,
        "a foreign key that does not lead with client_id cascades: a client that deletes its row deletes or changes those of others",
        "(client_id, other_id) references other (client_id, id)";
    NULLS = "fk.nulls_client_id", High,
        "a foreign key sets client_id to null or its default when what it refers to goes: the row is nobody's",
        "name the columns: `on delete set null (other_id)`";
    FROM_SHARED = "fk.shared_to_tenant", High,
        "a table that all clients read refers to rows of a client: it tells the others of them, and keeps the client from deleting them",
        "drop the foreign key";
    SHARED_CASCADE = "fk.cascade_from_shared", Medium,
        "a row that goes from a table of all clients takes rows of clients with it",
        "`on delete restrict`, or none";
    NOT_CHECKED = "fk.not_checked", Low,
        "a foreign key is not validated or not enforced: rows may refer to nothing, or to what another client had",
        "`alter table … validate constraint`";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for key in &look.catalogue.keys.foreign_keys {
        let (Some(from), Some(to)) = (look.relation(key.relation), look.relation(key.to)) else {
            continue;
        };
        if look.is_tenant(from) {
            of_tenant(look, from, to, key, found);
        } else if look.is_shared(from.oid) && look.is_tenant(to) {
            let finding = FROM_SHARED.found(&from.sql, told(key, to));
            found.push(finding.mended_by(format!("alter table {} drop constraint {};", from.sql, key.name)));
        }
    }
}

fn told(key: &ForeignKey, to: &Relation) -> String {
    format!(
        "{} on ({}) refers to {} ({})",
        key.name,
        key.columns.join(", "),
        to.sql,
        key.to_columns.join(", ")
    )
}

fn of_tenant(
    look: &Look<'_>,
    from: &Relation,
    to: &Relation,
    key: &ForeignKey,
    found: &mut Vec<AuditFinding>,
) {
    let sql = &from.sql;
    let changes = |action: &str| matches!(action, "c" | "n" | "d");
    if look.is_tenant(to) {
        let first = |columns: &[String]| columns.first().is_some_and(|column| column == "client_id");
        let paired = key
            .columns
            .iter()
            .zip(&key.to_columns)
            .any(|(here, there)| here == "client_id" && there == "client_id");
        if !(first(&key.columns) && first(&key.to_columns)) {
            let cascades = changes(&key.on_delete) || changes(&key.on_update);
            // In another order it still holds to the client.
            let finding = if paired {
                CROSSES.found_at(AuditSeverity::Low, sql, told(key, to))
            } else if cascades {
                CASCADE.found(sql, told(key, to))
            } else {
                CROSSES.found(sql, told(key, to))
            };
            found.push(finding.mended_by(anew(from, to, key)));
        }
    } else if key.on_delete == "c" && to.client.is_none() {
        let finding = SHARED_CASCADE.found(sql, told(key, to));
        let definition = key.definition.replace(" ON DELETE CASCADE", "");
        found.push(finding.mended_by(replaced(from, key, &definition)));
    }
    let sets = |action: &str| matches!(action, "n" | "d");
    let has_client = key.columns.iter().any(|column| column == "client_id");
    let named = key
        .sets
        .as_ref()
        .is_some_and(|sets| !sets.iter().any(|column| column == "client_id"));
    if has_client && (sets(&key.on_delete) && !named || sets(&key.on_update)) {
        let finding = NULLS.found(sql, format!("{}: {}", key.name, key.definition));
        let others: Vec<String> = key
            .columns
            .iter()
            .filter(|column| *column != "client_id")
            .map(|column| quoted(column))
            .collect();
        let others = others.join(", ");
        let mut definition = key
            .definition
            .replace(" ON UPDATE SET NULL", "")
            .replace(" ON UPDATE SET DEFAULT", "");
        for action in [" ON DELETE SET NULL", " ON DELETE SET DEFAULT"] {
            if let Some(at) = definition.find(action) {
                let rest = definition[at + action.len()..].trim_start();
                // The columns that are named now.
                let rest = rest
                    .strip_prefix('(')
                    .and_then(|rest| rest.split_once(')'))
                    .map_or(rest, |(_, rest)| rest);
                definition = format!(
                    "{}{action} ({others}){}",
                    &definition[..at],
                    if rest.is_empty() {
                        String::new()
                    } else {
                        format!(" {rest}")
                    }
                );
            }
        }
        found.push(finding.mended_by(replaced(from, key, &definition)));
    }
    if !key.validated || !key.enforced {
        let what = if key.enforced {
            "not validated"
        } else {
            "not enforced"
        };
        let finding = NOT_CHECKED.found(sql, format!("{} is {what}", key.name));
        let mend = if key.enforced {
            format!("alter table {sql} validate constraint {};", key.name)
        } else {
            replaced(from, key, &key.definition.replace(" NOT ENFORCED", ""))
        };
        found.push(finding.mended_by(mend));
    }
}

fn replaced(from: &Relation, key: &ForeignKey, definition: &str) -> String {
    // Apart, so that keys can be made anew in between.
    format!(
        "alter table {table} drop constraint {name};\nalter table {table} add constraint {name} {definition};",
        table = from.sql,
        name = key.name
    )
}

fn anew(from: &Relation, to: &Relation, key: &ForeignKey) -> String {
    // What stands for the client on either side is its client_id from now on.
    let pairs = key.columns.iter().zip(&key.to_columns);
    let pairs: Vec<(String, String)> = pairs
        .filter(|(here, there)| *here != "client_id" && *there != "client_id")
        .map(|(here, there)| (quoted(here), quoted(there)))
        .collect();
    let here: Vec<&str> = pairs.iter().map(|(here, _)| here.as_str()).collect();
    let there: Vec<&str> = pairs.iter().map(|(_, there)| there.as_str()).collect();
    let (here, there) = (here.join(", "), there.join(", "));
    let action = match key.on_delete.as_str() {
        "c" => " on delete cascade".to_owned(),
        "r" => " on delete restrict".to_owned(),
        "n" => format!(" on delete set null ({here})"),
        "d" => format!(" on delete set default ({here})"),
        _ => String::new(),
    };
    let definition = format!(
        "foreign key (client_id, {here}) references {} (client_id, {there}){action}",
        to.sql
    );
    replaced(from, key, &definition)
}
