use super::arena::Arena;
use super::attempt::{Attempt, Reached};
use super::ground::{Object, Table};
use super::values::quoted;
use super::watch::{Watch, Watched};
use crate::audit::AuditSeverity;
use crate::error::Result;

const READS: &str = "a client reads rows of another past the table that guards them";
const WRITES: &str = "a client changes rows of another past the table that guards them";

/// So many partitions of a table that the app role has no right on are tried all the same.
const CLOSED: usize = 16;

/// Codes of views that are not made to be written to, or do not have the column.
const NO_WRITE: &[&str] = &["55000", "42809", "42703", "0A000", "428C9"];

/// What is tried on the partitions of a table, and on those that inherit from it, named directly.
pub(super) fn partitions(arena: &Arena<'_>, table: &Table) -> Vec<Attempt> {
    let victims = arena.victims(table);
    let mut closed = 0;
    let parts = arena
        .ground
        .of_kind(&["r", "p"])
        .filter(|part| part.tables.contains(&table.oid))
        .filter(|part| {
            closed += usize::from(!part.open);
            part.open || closed <= CLOSED
        });
    let mut attempts = Vec::new();
    for part in parts {
        let sql = &part.sql;
        let mend = format!("select tenantry.protect({})", quoted(&table.sql));
        let mut add = |meaning, reached, statement| {
            attempts
                .push(Attempt::new("attack.partition", sql, meaning, reached, statement).mend(mend.clone()));
        };
        add(
            READS,
            Reached::Rows,
            format!("select 1 from {sql} t where {victims} limit 1"),
        );
        if !part.open {
            continue;
        }
        // Rows of others may be in it, though none of the scratch client is.
        add(
            READS,
            Reached::Rows,
            format!(
                "select 1 where not pg_catalog.row_security_active({name}::pg_catalog.regclass)
                     and pg_catalog.has_any_column_privilege({name}, 'select')",
                name = quoted(sql)
            ),
        );
        add(
            WRITES,
            Reached::Affected,
            format!("delete from {sql} t where {victims}"),
        );
        if let Some(column) = super::writes::changeable(table) {
            add(
                WRITES,
                Reached::Affected,
                format!("update {sql} t set {column} = t.{column} where {victims}"),
            );
        }
    }
    attempts
}

/// Attacks what is derived from tables: views, materialized views and foreign tables.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    let objects: Vec<Object> = arena.ground.of_kind(&["v", "m", "f"]).cloned().collect();
    for object in objects {
        if arena.is_over() {
            arena
                .report
                .unclear(&object.sql, "time ran out before it was attacked");
            continue;
        }
        if arena.is_left_out(&object.sql) {
            continue;
        }
        match object.kind.as_str() {
            "v" => view(arena, &object).await?,
            _ => stored(arena, &object).await?,
        }
        arena.report.relations.push(object.sql.clone());
    }
    Ok(())
}

async fn view(arena: &mut Arena<'_>, view: &Object) -> Result<()> {
    let sql = &view.sql;
    let tables = arena.filled(&view.tables);
    let mend = format!("alter view {sql} set (security_invoker = true)");
    let watched = Watched {
        id: "attack.view",
        object: sql.clone(),
        meaning: READS,
        ask: format!(
            "select count(*) || ' ' || coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from {sql} t"
        ),
        mend: Some(mend.clone()),
        writes: false,
    };
    let seen = arena.watch(&tables, &watched).await?;
    if let Watch::Untold(told) = &seen
        && view.open
    {
        arena.report.unclear(sql, told);
    }
    let Some(&at) = tables.last() else { return Ok(()) };
    if !view.open || tables.is_empty() {
        return Ok(());
    }
    // Where it has no such column, nothing is told apart by it.
    let victim = arena.victim.client;
    let others = format!("t.client_id = '{victim}'");
    let attempts = vec![
        Attempt::new(
            "attack.view",
            sql,
            "a client learns by an error what another's row holds",
            Reached::Divides,
            format!(
                "select 1 from {sql} t where 1 / (case when t::text like '%{victim}%' or t::text like '%{}%' then 0 else 1 end) = 0",
                arena.victim.token
            ),
        )
        .mend(mend.clone()),
        Attempt::new(
            "attack.view",
            sql,
            WRITES,
            Reached::Affected,
            format!("delete from {sql} t where {others}"),
        )
        .held_by(NO_WRITE)
        .mend(mend.clone()),
        Attempt::new(
            "attack.view",
            sql,
            WRITES,
            Reached::Affected,
            format!("update {sql} t set client_id = t.client_id where {others}"),
        )
        .held_by(NO_WRITE)
        .mend(mend),
    ];
    if let Some(stage) = arena.stage(at, false).await?
        && let Some(stage) = arena.attempt_all(at, stage, attempts).await?
    {
        arena.end(stage).await;
    }
    Ok(())
}

/// A materialized view holds the rows of all as of when it was refreshed, a foreign table whatever there is.
async fn stored(arena: &mut Arena<'_>, object: &Object) -> Result<()> {
    if object.kind == "m" && object.tables.is_empty() {
        return Ok(());
    }
    let what = "a client reads what was stored of the rows of all";
    let mut attempt = Attempt::new(
        if object.kind == "m" {
            "attack.view"
        } else {
            "attack.read"
        },
        &object.sql,
        what,
        Reached::Accepted,
        format!("select 1 from {} limit 1", object.sql),
    )
    .held_by(&["55000"]);
    let app = arena.app_role.clone();
    attempt.mend = Some(format!("revoke all on {} from public, {app}", object.sql));
    arena.alone(&[attempt]).await
}

/// What is tried on tables that all clients read, on sequences, and on the statistics of all.
pub(super) fn at_large(arena: &Arena<'_>) -> Vec<Attempt> {
    let mut attempts = super::reads::statistics(arena);
    for table in &arena.ground.shared {
        let sql = &table.sql;
        let mut add = |reached, statement: String| {
            attempts.push(
                Attempt::new(
                    "attack.shared",
                    sql,
                    "a client changes what all clients read",
                    reached,
                    statement,
                )
                .severity(AuditSeverity::High)
                .mend(format!("select tenantry.share({})", quoted(sql))),
            );
        };
        if let Some(column) = table.columns.iter().find(|column| !column.generated) {
            let column = &column.sql;
            // It changes nothing where it is let by.
            let update = format!("update {sql} t set {column} = t.{column} where false");
            add(Reached::Accepted, update);
        }
        add(Reached::Accepted, format!("delete from {sql} t where false"));
        add(
            Reached::Accepted,
            format!("insert into {sql} select * from {sql} where false"),
        );
        add(
            Reached::Accepted,
            format!("lock table {sql} in access exclusive mode nowait; rollback to savepoint attack"),
        );
    }
    for sequence in arena.ground.of_kind(&["S"]) {
        let sql = &sequence.sql;
        let told = |meaning, statement: String| {
            Attempt::new("attack.sequence", sql, meaning, Reached::Rows, statement)
                .severity(AuditSeverity::Medium)
                .mend(format!(
                    "revoke all on sequence {sql} from public, {app}; grant usage on sequence {sql} to {app}",
                    app = arena.app_role
                ))
        };
        attempts.push(told(
            "a client learns how many rows others made",
            format!("select last_value from {sql}"),
        ));
        // Not tried: what is set of a sequence is not rolled back.
        attempts.push(told(
            "a client has the rows of others collide",
            format!(
                "select 1 where pg_catalog.has_sequence_privilege({}, 'update')",
                quoted(sql)
            ),
        ));
    }
    attempts
}
