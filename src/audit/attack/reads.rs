use super::arena::{Arena, PREPARED, Stage};
use super::attempt::{Attempt, Reached, Verdict, Way};
use super::ground::Table;
use super::rows::Who;
use super::values::quoted;
use crate::audit::AuditSeverity;
use crate::database::text;
use crate::error::Result;

const MEANING: &str = "a client reads rows of another";

/// What is tried to read the victim's row of a table.
pub(super) fn attempts(arena: &Arena<'_>, table: &Table) -> Vec<Attempt> {
    let victims = arena.victims(table);
    let (sql, mend) = (&table.sql, protect(table));
    let found = format!("select 1 from {sql} t where {victims} limit 1");
    let rows =
        |id, statement: String| Attempt::new(id, sql, MEANING, Reached::Rows, statement).mend(mend.clone());
    let mut attempts = vec![
        rows("attack.read", found.clone()),
        rows(
            "attack.row_security",
            format!("set local row_security = off; {found}"),
        ),
        rows(
            "attack.cursor",
            format!("declare tenantry_cursor scroll cursor for {found}; fetch first from tenantry_cursor"),
        ),
        Attempt::new(
            "attack.message",
            sql,
            "a client learns by an error what another's row holds",
            Reached::Divides,
            format!("select 1 from {sql} t where 1 / (case when {victims} then 0 else 1 end) = 0"),
        )
        .mend(mend.clone()),
        rows("attack.copy", format!("copy ({found}) to stdout")).way(Way::CopyOut),
        Attempt::new(
            "attack.copy",
            sql,
            "a client copies rows in past the policies",
            Reached::Accepted,
            format!("copy {sql} from stdin"),
        )
        .way(Way::CopyIn)
        .mend(mend.clone()),
    ];
    if !arena.ground.settings.is_empty() {
        let victim = arena.victim.client.to_string();
        let set = arena.ground.settings.iter().map(|name| {
            let value = if name.ends_with("claims") {
                format!("{{\"client_id\": \"{victim}\", \"tenant_id\": \"{victim}\", \"sub\": \"{victim}\"}}")
            } else {
                victim.clone()
            };
            format!("set local {} = {}", setting(name), quoted(&value))
        });
        let set = set.collect::<Vec<_>>().join("; ");
        let mut attempt = rows("attack.scope", format!("{set}; {found}"));
        attempt.meaning = "a client becomes another by a setting that any SQL can change";
        attempts.push(attempt);
    }
    for role in &arena.ground.roles {
        let role = role.replace('"', "\"\"");
        let mut attempt = rows("attack.role", format!("set local role \"{role}\"; {found}"));
        attempt.meaning = "a client takes a role that is not held to its own rows";
        attempt.mend = None;
        attempts.push(attempt);
    }
    attempts
}

/// A name with dots, each part quoted.
fn setting(name: &str) -> String {
    let parts = name
        .split('.')
        .map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    parts.collect::<Vec<_>>().join(".")
}

/// What makes a table one of many clients again.
pub(super) fn protect(table: &Table) -> String {
    format!("select tenantry.protect({})", quoted(&table.sql))
}

/// What is tried on a table that the app role has no right to fill.
pub(super) fn bare(arena: &Arena<'_>, table: &Table) -> Vec<Attempt> {
    let sql = &table.sql;
    let others = match table.client() {
        Some(_) => format!("where t.client_id is distinct from '{}'", arena.attacker.client),
        None => String::new(),
    };
    vec![
        Attempt::new(
            "attack.read",
            sql,
            MEANING,
            Reached::Rows,
            format!("select 1 from {sql} t {others} limit 1"),
        )
        .mend(protect(table)),
        Attempt::new(
            "attack.delete",
            sql,
            "a client removes rows of another",
            Reached::Affected,
            format!("delete from {sql} t {others}"),
        )
        .mend(protect(table)),
    ]
}

/// A statement that was prepared and planned for the victim is executed for the attacker.
pub(super) async fn prepared(arena: &mut Arena<'_>, stage: &mut Stage, table: &Table) -> Result<()> {
    let attempt = Attempt::new(
        "attack.prepared",
        &table.sql,
        "a statement that was prepared for one client answers another with its rows",
        Reached::Rows,
        format!(
            "select 1 from {} t where {} limit 1",
            table.sql,
            arena.victims(table)
        ),
    )
    .mend(protect(table));
    let prepare = format!(
        "set local plan_cache_mode = force_generic_plan; prepare {PREPARED} as {}; execute {PREPARED}",
        attempt.sql
    );
    arena.send(stage, "rollback to savepoint attack").await?;
    let of_victim = arena.enter(stage, Who::Victim, &prepare).await?;
    // Made where nothing was refused, and also where only its execution was.
    stage.prepared = of_victim.done.len() > 2;
    if of_victim.refused.is_some() || of_victim.rows.len() < 2 {
        let told = "the client that a statement was prepared for is not answered with its row";
        arena.report.unclear(&table.sql, told);
        arena.send(stage, "rollback to savepoint attack").await?;
        arena.enter(stage, Who::Attacker, "").await?;
        return Ok(());
    }
    let execute = format!("execute {PREPARED}");
    let mut of_attacker = arena.enter(stage, Who::Attacker, &execute).await?;
    let verdict = if of_attacker.rows.is_empty() {
        Verdict::Unclear("the kernel did not answer".to_owned())
    } else {
        of_attacker.rows.remove(0);
        attempt.judge(&of_attacker)
    };
    arena.told(&attempt, &verdict);
    let forgotten = arena
        .send(
            stage,
            &format!("rollback to savepoint attack; deallocate {PREPARED}"),
        )
        .await?;
    stage.prepared = forgotten.refused.is_some();
    Ok(())
}

/// What the server counts of the victim's rows where it explains how it kept them back.
pub(super) async fn explained(arena: &mut Arena<'_>, stage: &mut Stage, table: &Table) -> Result<()> {
    const TOLD: &str = "explain (analyze) tells how many rows of others a scan has passed over, as the time does that it takes";
    if arena.report.tolerated.iter().any(|known| known == TOLD) {
        return Ok(());
    }
    let explain = format!(
        "rollback to savepoint attack; set local enable_indexscan = off; set local enable_bitmapscan = off; \
         explain (analyze, costs off, timing off, summary off) select from {}",
        table.sql
    );
    let answer = arena.send(stage, &explain).await?;
    let mut lines = answer.rows.iter().filter_map(|row| text(row, 0));
    if lines.any(|line| line.contains("Rows Removed by Filter")) {
        arena.report.tolerate(TOLD);
    }
    Ok(())
}

/// Whether statistics of the values of any of those tables may be read: they are of the rows of all clients.
pub(super) fn statistics(arena: &Arena<'_>) -> Vec<Attempt> {
    let names = arena.ground.tables.iter().map(|table| quoted(&table.sql));
    let tables = names.collect::<Vec<_>>().join(", ");
    let found = |view: &str| {
        format!(
            "select 1 from pg_catalog.{view} s where format('%I.%I', s.schemaname, s.tablename) in ({tables}) limit 1"
        )
    };
    let told = |object: &str, sql: String| {
        Attempt::new(
            "attack.statistics",
            object,
            "a client reads which values the rows of all clients have",
            Reached::Rows,
            sql,
        )
        .severity(AuditSeverity::High)
    };
    vec![
        told("pg_catalog.pg_stats", found("pg_stats")),
        told("pg_catalog.pg_stats_ext", found("pg_stats_ext")),
        told(
            "pg_catalog.pg_statistic",
            "select 1 from pg_catalog.pg_statistic limit 1".to_owned(),
        ),
        told(
            "pg_catalog.pg_statistic_ext_data",
            "select 1 from pg_catalog.pg_statistic_ext_data limit 1".to_owned(),
        ),
    ]
}
