//! How statements of a client are run under row-level security.

mod condition;
mod node;

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::types::Json;

use self::condition::{calls_per_row, names, operators_on};
use self::node::Scan;
use super::checks::{checks, sort};
use super::finding::AuditFinding;
use super::report::AuditReport;
use crate::error::{Error, Result};
use crate::tenant::TenantDb;

checks! {
    NOT_SCOPED = "plan.not_scoped", Critical,
        "a table of clients is read with no condition on client_id: the rows of all clients are",
        "`tenantry.protect`, and views with security_invoker";
    PER_ROW = "plan.policy_per_row", Medium,
        "who is bound is asked for each row of the table and not once for the statement",
        "`(select tenantry.current_client())` in the policy, as `tenantry.protect` writes it";
    UNUSABLE = "plan.index_unusable", Medium,
        "row-level security keeps a condition from an index: its operator is not leakproof, so that it is asked row by row",
        "a condition that is leakproof and narrows first, or a column of another type";
    NOT_PRUNED = "plan.not_pruned", Low,
        "every partition is planned and locked: the statement does not say whose rows it is about",
        "add `client_id = …` to the statement: what the policy says comes too late";
    NO_INDEX = "plan.no_index", Medium,
        "the table is read from end to end: no index of it leads with client_id",
        "an index that leads with client_id";
}

/// What the catalogue says of the tables that plans name.
#[derive(Debug, Deserialize)]
struct Known {
    /// Schema and name, quoted.
    sql: String,
    schema: String,
    name: String,
    /// The table at the top, where it is a partition.
    root: String,
    tenant: bool,
    by_client: bool,
    indexed: bool,
    /// Names of columns that an index has, each with the operators that it answers and that are not leakproof.
    guarded: Vec<Guarded>,
}

#[derive(Debug, Deserialize)]
struct Guarded {
    index: String,
    column: String,
    operators: Vec<String>,
}

/// How the statements of a client are run: `explain` as the app role, in the scope of that client. Nothing is run.
///
/// Each is one statement, with values in place of parameters: what a plan is depends on them. What is found has the
/// number of the statement, from 1 on, and its table as its object. On a database of a client's own there is no
/// row-level security, and nothing is found.
///
/// ```no_run
/// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
/// let report = tenantry::lint_plans(&acme, ["select * from agents where settings @> '{\"tone\": \"kind\"}'"]).await?;
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`TenantDb::begin`]; [`Error::Statement`] with the number of the statement that the database refuses, and
/// [`Error::StatementRefused`] where it is none that is explained.
///
/// # Cancel safety
/// Dropped, its transaction is rolled back.
pub async fn lint_plans<I>(db: &TenantDb, statements: I) -> Result<AuditReport>
where
    I: IntoIterator<Item: Into<String>>,
{
    let statements: Vec<String> = statements.into_iter().map(Into::into).collect();
    let client = db.client().id;
    let mut found = Vec::new();
    if db.is_scoped() {
        let mut tx = db.begin().await?;
        for (at, statement) in statements.iter().enumerate() {
            let number = at + 1;
            let step = || format!("explain of statement {number}");
            let verb = statement
                .trim_start()
                .split(|c: char| !c.is_ascii_alphabetic())
                .next();
            let verb = verb.unwrap_or_default().to_ascii_lowercase();
            if !matches!(
                verb.as_str(),
                "select" | "with" | "insert" | "update" | "delete" | "merge" | "values"
            ) {
                return Err(Error::StatementRefused {
                    client,
                    what: step(),
                    reason: "it is none that is planned",
                });
            }
            let explain = format!("explain (format json, verbose) {statement}");
            #[expect(clippy::disallowed_methods, reason = "explains statements as their client")]
            let plan: Json<Value> = sqlx::query_scalar(AssertSqlSafe(explain))
                .persistent(false)
                .fetch_one(&mut tx)
                .await
                .map_err(|source| Error::of_statement(client, step(), source))?;
            let scans = node::scans(&plan.0);
            let (schemas, tables): (Vec<String>, Vec<String>) = scans
                .iter()
                .map(|scan| (scan.schema.clone(), scan.table.clone()))
                .unzip();
            #[expect(clippy::disallowed_methods, reason = "reads the catalogue as the app role")]
            let known: Json<Vec<Known>> = sqlx::query_scalar(include_str!("known.sql"))
                .bind(schemas)
                .bind(tables)
                .persistent(false)
                .fetch_one(&mut tx)
                .await
                .map_err(|source| Error::of_statement(client, "reading what plans name", source))?;
            of_plan(number, &scans, &known.0, &mut found);
        }
        tx.rollback().await?;
    }
    sort(&mut found);
    Ok(AuditReport::of(format!("plans of client {client}"), found))
}

fn of_plan(number: usize, scans: &[Scan], known: &[Known], found: &mut Vec<AuditFinding>) {
    let known: HashMap<(&str, &str), &Known> = known
        .iter()
        .map(|table| ((table.schema.as_str(), table.name.as_str()), table))
        .collect();
    let mut parts: HashMap<&str, usize> = HashMap::new();
    let mut said = HashSet::new();
    for scan in scans {
        let Some(table) = known.get(&(scan.schema.as_str(), scan.table.as_str())) else {
            continue;
        };
        if !table.tenant {
            continue;
        }
        let of = format!("statement {number}: {}", table.root);
        let mut say = |finding: AuditFinding| {
            // Each partition says the same.
            if said.insert((finding.id, finding.object.clone())) {
                found.push(finding);
            }
        };
        *parts.entry(&table.root).or_default() += 1;
        if !scan
            .conditions
            .iter()
            .any(|condition| names(condition, "client_id"))
            && !scan.never
        {
            say(NOT_SCOPED.found(&of, format!("{} with no condition on client_id", scan.kind)));
        }
        if scan.conditions.iter().any(|condition| calls_per_row(condition)) {
            say(PER_ROW.found(&of, scan.conditions.join(" and ")));
        }
        for guarded in &table.guarded {
            let uses = scan.index.as_deref() == Some(guarded.index.as_str())
                && scan
                    .index_conditions
                    .iter()
                    .any(|condition| names(condition, &guarded.column));
            let asked = scan
                .filters
                .iter()
                .flat_map(|filter| operators_on(filter, &guarded.column))
                .find(|operator| guarded.operators.contains(operator));
            if let Some(operator) = asked.filter(|_| !uses) {
                say(UNUSABLE.found(
                    &of,
                    format!(
                        "{} {operator} is not asked of the index {}",
                        guarded.column, guarded.index
                    ),
                ));
            }
        }
        if scan.kind == "Seq Scan" && !table.indexed {
            let finding = NO_INDEX.found(&of, format!("Seq Scan on {}", table.sql));
            say(finding.mended_by(format!(
                "create index concurrently on {} (client_id);",
                table.root
            )));
        }
    }
    let mut parts: Vec<_> = parts.into_iter().filter(|(_, scanned)| *scanned > 1).collect();
    parts.sort_unstable();
    for (root, scanned) in parts {
        let by_client = known.values().any(|table| table.root == root && table.by_client);
        // Two of the same table are two of the statement's own: as many as one are left each.
        let partitions: HashSet<&str> = scans
            .iter()
            .filter(|scan| {
                known
                    .get(&(scan.schema.as_str(), scan.table.as_str()))
                    .is_some_and(|table| table.root == root)
            })
            .map(|scan| scan.table.as_str())
            .collect();
        if by_client && partitions.len() > 1 {
            let object = format!("statement {number}: {root}");
            found.push(NOT_PRUNED.found(
                object,
                format!("{scanned} scans of {} partitions", partitions.len()),
            ));
        }
    }
}
