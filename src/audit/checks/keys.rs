//! Keys and indexes of tables of clients.

use super::Look;
use crate::audit::catalogue::{Index, Relation};
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    PRIMARY = "key.not_by_client", High,
        "the primary key is one of all clients: an insert tells a client that another has the value, and keeps it from having its own",
        "a key that leads with client_id";
    UNIQUE = "key.unique_not_by_client", High,
        "a unique constraint is one of all clients: it tells a client what the others have, and `on conflict do nothing` drops its write",
        "a constraint that leads with client_id";
    UNIQUE_INDEX = "key.unique_index_not_by_client", High,
        "a unique index is one of all clients: it tells a client what the others have",
        "an index that leads with client_id";
    EXCLUSION = "key.exclusion_without_client", High,
        "an exclusion constraint is one of all clients: rows of one keep out those of another",
        "a constraint that has client_id with =";
    NO_KEY = "key.none", Low,
        "the table has no primary key: nothing names one row of a client, and a relocation has to lock the table",
        "a primary key that leads with client_id";
    INDEX = "index.not_by_client", Low,
        "an index does not lead with client_id: a client's statement walks the entries of all clients",
        "an index that leads with client_id";
    NONE = "index.none_by_client", Medium,
        "no index leads with client_id: each statement of each client reads the rows of all",
        "an index that leads with client_id";
    VECTORS = "index.vectors_shared", Medium,
        "an approximate index is one of all clients: a small client finds too few rows, and what others store decides which",
        "an index for each client that is large enough: `Provisioning::promote_vectors`";
    INVALID = "index.invalid", Low,
        "an index was not built to the end: it serves nobody, and a unique one holds nobody to it",
        "drop it, and build it again";
    NOT_LEAKPROOF = "index.not_leakproof", Low,
        "the operators of an indexed column are not leakproof: under row-level security conditions on it do not reach the index",
        "ask by columns of other types, or put up with it: the index still serves by its leading columns";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for index in &look.catalogue.keys.indexes {
        let Some(table) = look.relation(index.relation) else {
            continue;
        };
        if look.is_tenant(table) {
            of_index(table, index, found);
        }
    }
    for table in look.tenants() {
        let indexes = || {
            look.catalogue
                .keys
                .indexes
                .iter()
                .filter(|index| index.relation == table.oid)
        };
        if !indexes().any(|index| index.primary) {
            found.push(NO_KEY.found(&table.sql, "it has no primary key"));
        }
        if !indexes().any(|index| leads(index) && index.valid && index.predicate.is_none()) {
            let finding = NONE.found(&table.sql, "none of its indexes leads with client_id");
            found.push(finding.mended_by(format!("create index concurrently on {} (client_id);", table.sql)));
        }
    }
}

fn leads(index: &Index) -> bool {
    index
        .columns
        .first()
        .is_some_and(|column| column.as_deref() == Some("client_id"))
}

/// Whether it has rows of one client alone.
fn is_of_one_client(index: &Index) -> bool {
    index
        .predicate
        .as_deref()
        .is_some_and(|predicate| predicate.contains("client_id = '") && !predicate.contains(" OR "))
}

fn of_index(table: &Relation, index: &Index, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    let columns: Vec<&str> = index
        .columns
        .iter()
        .map(|column| column.as_deref().unwrap_or("an expression"))
        .collect();
    let evidence = format!("{} is on ({})", index.name, columns.join(", "));
    let anew = |what: &str| {
        let name = index.constraint.as_ref().unwrap_or(&index.name);
        let columns: Vec<String> = index
            .columns
            .iter()
            .flatten()
            .filter(|column| *column != "client_id")
            .map(|column| super::look::quoted(column))
            .collect();
        (!index.columns.iter().any(Option::is_none) && index.predicate.is_none()).then(|| {
            format!(
                "alter table {sql} drop constraint {name}, add constraint {name} {what} (client_id, {});",
                columns.join(", ")
            )
        })
    };
    let mended = |finding: AuditFinding, sql: Option<String>| match sql {
        Some(sql) => finding.mended_by(sql),
        None => finding,
    };
    // A partition has its parent's, which is said of the parent.
    if index.of_partition {
        return;
    }
    let holds_client = index.columns.iter().flatten().any(|column| column == "client_id");
    if index.primary && !leads(index) {
        let finding = PRIMARY.found(sql, evidence);
        // With client_id in it, it is one of each client, and in the wrong order.
        let finding = if holds_client {
            AuditFinding {
                severity: AuditSeverity::Low,
                ..finding
            }
        } else {
            finding
        };
        found.push(mended(finding, anew("primary key")));
    } else if index.exclusion {
        if !holds_client {
            found.push(EXCLUSION.found(sql, evidence));
        }
    } else if index.unique && !leads(index) {
        if is_of_one_client(index) {
            return;
        }
        let check = if index.constraint.is_some() {
            &UNIQUE
        } else {
            &UNIQUE_INDEX
        };
        let finding = check.found(sql, evidence);
        let finding = if holds_client {
            AuditFinding {
                severity: AuditSeverity::Low,
                ..finding
            }
        } else {
            finding
        };
        let mend = if index.constraint.is_some() {
            anew("unique")
        } else {
            led(index)
        };
        found.push(mended(finding, mend));
    } else if is_approximate(index) {
        if !is_of_one_client(index) {
            found.push(
                VECTORS
                    .found(sql, evidence)
                    .mended_by(format!("drop index {};", index.sql)),
            );
        }
    } else if !leads(index) && !is_of_one_client(index) {
        found.push(mended(INDEX.found(sql, evidence), led(index)));
    }
    if !index.valid {
        let finding = INVALID.found(sql, format!("{} is not valid", index.name));
        found.push(finding.mended_by(format!("reindex index {};", index.sql)));
    }
    if !index.not_leakproof.is_empty() && !is_approximate(index) {
        let evidence = format!("{} is on {}", index.name, index.not_leakproof.join(", "));
        found.push(NOT_LEAKPROOF.found(sql, evidence));
    }
}

fn is_approximate(index: &Index) -> bool {
    matches!(index.method.as_str(), "hnsw" | "ivfflat" | "diskann")
}

/// The same index, led by `client_id`, where it is a plain one.
fn led(index: &Index) -> Option<String> {
    if index.method != "btree" || index.columns.iter().any(Option::is_none) {
        return None;
    }
    let opens = index.definition.find(" USING btree (")? + " USING btree (".len();
    let (head, tail) = index.definition.split_at(opens);
    Some(format!("drop index {};\n{head}client_id, {tail};", index.sql))
}
