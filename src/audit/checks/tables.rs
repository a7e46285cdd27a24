//! Tables of clients, their partitions, and tables that all clients read.

use super::Look;
use super::look::{grantee, literal, protect, quoted};
use crate::audit::catalogue::Relation;
use crate::audit::finding::{AuditFinding, AuditSeverity};

checks! {
    NO_CLIENT_ID = "table.no_client_id", High,
        "the app role reaches a table that says of no row whose it is: every client has all of them",
        "give it client_id uuid not null and protect it, or declare it by `tenantry.share`";
    NULLABLE = "table.client_id_nullable", High,
        "a row may belong to nobody: it is lost to every client, and to whoever moves one",
        "`alter column client_id set not null`";
    TYPE = "table.client_id_type", High,
        "client_id is compared by something else than the equality of uuids, which the policy and its index are made for",
        "make it a uuid";
    NO_DEFAULT = "table.client_id_default", Medium,
        "a row that names no client is stamped by something else than the client that is bound",
        "`tenantry.protect` sets it";
    GENERATED = "table.client_id_generated", High,
        "client_id is computed from what a client writes: its rows go wherever that says",
        "make it a plain column";
    RLS_OFF = "table.rls_off", Critical,
        "row-level security is off: whoever may read the table reads the rows of all clients",
        "`tenantry.protect`";
    RLS_NOT_FORCED = "table.rls_not_forced", High,
        "row-level security does not hold the owner of the table, nor what runs with the owner's rights",
        "`tenantry.protect`";
    OWNER = "table.foreign_owner", Medium,
        "another role than the owner of the database owns the table, and may change its policies",
        "give it to the owner of the database";
    PARTITION_RLS_OFF = "partition.rls_off", High,
        "a partition, or a table that inherits, is not held by the policies of the table above it when it is named itself",
        "`tenantry.protect` of the table above it";
    PARTITION_RLS_NOT_FORCED = "partition.rls_not_forced", Medium,
        "row-level security of a partition does not hold the owner of the table",
        "`tenantry.protect` of the table above it";
    PARTITION_GRANTED = "partition.granted", High,
        "the app role may name the partition itself, past the policies of the table above it",
        "`revoke all`";
    PARTITION_POLICY = "partition.open_policy", High,
        "a partition has a policy of its own that lets rows of all clients through",
        "drop the policy: without one a partition shows nothing but through its parent";
    PARTITION_FOREIGN = "partition.foreign", High,
        "rows of clients are in a foreign table, which has no row-level security",
        "detach it";
    SHARED_CLIENT = "shared.has_client_id", High,
        "a table that is declared to be read by all clients has a client_id",
        "take the declaration back and protect it";
    SHARED_WRITTEN = "shared.writable", High,
        "the app role may write a table that all clients read: one client decides what the others see",
        "`tenantry.share`";
    SHARED_STALE = "shared.stale", Medium,
        "a table that is gone is declared to be read by all clients: the next one that gets its number is, too",
        "delete it from tenantry.shared_tables";
}

pub(super) fn look(look: &Look<'_>, found: &mut Vec<AuditFinding>) {
    for table in look.tenants() {
        of_client_id(table, found);
        if !table.rls {
            let severity = if table.is_reached() {
                AuditSeverity::Critical
            } else {
                AuditSeverity::Medium
            };
            let evidence = if table.is_reached() {
                "row-level security is not enabled, and the app role has rights on it"
            } else {
                "row-level security is not enabled; the app role has no rights on it yet"
            };
            found.push(
                RLS_OFF
                    .found_at(severity, &table.sql, evidence)
                    .mended_by(protect(table)),
            );
        } else if !table.forced {
            found.push(
                RLS_NOT_FORCED
                    .found(&table.sql, "row-level security is enabled and not forced")
                    .mended_by(protect(table)),
            );
        }
    }
    let tables = look
        .catalogue
        .relations
        .iter()
        .filter(|relation| relation.is_table());
    for table in tables {
        if look.is_shared(table.oid) {
            of_shared(table, found);
        } else if table.client.is_none() && table.is_reached() && look.above(table).is_none() {
            let rights = rights_of(table);
            found.push(
                NO_CLIENT_ID
                    .found(
                        &table.sql,
                        format!("it has no column client_id, and the app role may {rights}"),
                    )
                    .mended_by(format!("select tenantry.share({});", literal(&table.sql))),
            );
        }
        if look.is_tenant(table) && !table.owner_trusted {
            let owner = quoted(&look.catalogue.installation.owner);
            found.push(
                OWNER
                    .found(&table.sql, format!("its owner is {}", table.owner))
                    .mended_by(format!("alter table {} owner to {owner};", table.sql)),
            );
        }
    }
    for (child, above) in look.below() {
        of_child(child, above, found);
    }
    for foreign in &look.catalogue.relations {
        let below = foreign.parents.iter().any(|parent| look.is_tenant_oid(*parent));
        if below && !foreign.is_table() {
            let parent = foreign.parents.iter().find_map(|parent| look.relation(*parent));
            let mut finding =
                PARTITION_FOREIGN.found(&foreign.sql, "a foreign table is a part of a table of clients");
            if let Some(parent) = parent {
                let verb = if foreign.partition {
                    "detach partition"
                } else {
                    "no inherit"
                };
                finding = if foreign.partition {
                    finding.mended_by(format!("alter table {} {verb} {};", parent.sql, foreign.sql))
                } else {
                    finding.mended_by(format!(
                        "alter foreign table {} {verb} {};",
                        foreign.sql, parent.sql
                    ))
                };
            }
            found.push(finding);
        }
    }
    for oid in &look.catalogue.shared {
        if look.relation(*oid).is_none() {
            found.push(
                SHARED_STALE
                    .found(
                        format!("relation {oid}"),
                        "tenantry.shared_tables names it, and there is none",
                    )
                    .mended_by(format!(
                        "delete from tenantry.shared_tables where relation = {oid};"
                    )),
            );
        }
    }
}

fn of_client_id(table: &Relation, found: &mut Vec<AuditFinding>) {
    let Some(client) = &table.client else { return };
    let sql = &table.sql;
    if client.type_name != "uuid" {
        // They name the column.
        let mut mend = String::new();
        for policy in &table.policies {
            mend.push_str("drop policy ");
            mend.push_str(&policy.name);
            mend.push_str(" on ");
            mend.push_str(sql);
            mend.push_str(";\n");
        }
        mend.push_str("alter table ");
        mend.push_str(sql);
        mend.push_str(" alter column client_id drop default, alter column client_id type uuid using client_id::text::uuid;\n");
        mend.push_str(&protect(table));
        let evidence = format!("client_id is of type {}", client.type_name);
        found.push(TYPE.found(sql, evidence).mended_by(mend));
    }
    if !client.not_null {
        found.push(
            NULLABLE
                .found(sql, "client_id may be null")
                .mended_by(format!("alter table {sql} alter column client_id set not null;")),
        );
    }
    if client.generated {
        found.push(
            GENERATED
                .found(sql, "client_id is a generated column")
                .mended_by(format!(
                    "alter table {sql} alter column client_id drop expression;\n{}",
                    protect(table)
                )),
        );
    } else if client.default.as_deref() != Some("tenantry.current_client()") {
        let evidence = match &client.default {
            None => "client_id has no default".to_owned(),
            Some(other) => format!("the default of client_id is {other}"),
        };
        found.push(NO_DEFAULT.found(sql, evidence).mended_by(protect(table)));
    }
}

fn of_shared(table: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &table.sql;
    if table.client.is_some() {
        found.push(
            SHARED_CLIENT
                .found(sql, "it is in tenantry.shared_tables and has a client_id")
                .mended_by(format!(
                    "delete from tenantry.shared_tables where relation = {}::regclass;\n{}",
                    literal(sql),
                    protect(table)
                )),
        );
        return;
    }
    let writes: Vec<&str> = table
        .app_rights()
        .filter(|right| matches!(right.right.as_str(), "INSERT" | "UPDATE" | "DELETE"))
        .map(|right| right.right.as_str())
        .collect();
    if !writes.is_empty() {
        found.push(
            SHARED_WRITTEN
                .found(sql, format!("the app role has {} on it", writes.join(", ")))
                .mended_by(format!("select tenantry.share({});", literal(sql))),
        );
    }
}

fn of_child(child: &Relation, above: &Relation, found: &mut Vec<AuditFinding>) {
    let sql = &child.sql;
    let of = &above.sql;
    if !child.rls {
        found.push(
            PARTITION_RLS_OFF
                .found(sql, format!("row-level security is off, and it is part of {of}"))
                .mended_by(protect(above)),
        );
    } else if !child.forced {
        found.push(
            PARTITION_RLS_NOT_FORCED
                .found(
                    sql,
                    format!("row-level security is not forced, and it is part of {of}"),
                )
                .mended_by(protect(above)),
        );
    }
    if child.is_reached() {
        let mut revoked: Vec<String> = child.app_rights().map(|right| grantee(&right.to)).collect();
        revoked.sort();
        revoked.dedup();
        found.push(
            PARTITION_GRANTED
                .found(
                    sql,
                    format!("the app role may {} it, which is part of {of}", rights_of(child)),
                )
                .mended_by(format!("revoke all on {sql} from {};", revoked.join(", "))),
        );
    }
    for policy in child
        .policies
        .iter()
        .filter(|policy| policy.permissive && policy.reaches_app)
    {
        let guarded = super::policies::is_guarded(child);
        if !guarded {
            found.push(
                PARTITION_POLICY
                    .found(
                        sql,
                        format!(
                            "policy {} is permissive, and no restrictive one stands behind it",
                            policy.name
                        ),
                    )
                    .mended_by(format!("drop policy {} on {sql};", policy.name)),
            );
        }
    }
}

/// What the app role may do, as a verb.
fn rights_of(relation: &Relation) -> String {
    let mut rights: Vec<String> = relation
        .app_rights()
        .map(|right| right.right.to_lowercase())
        .collect();
    rights.sort();
    rights.dedup();
    rights.join(", ")
}
