#![expect(clippy::disallowed_methods, reason = "reads which sequences there are")]

use super::arena::Arena;
use super::failure::statement_failed;
use super::values::quoted;
use crate::audit::{AuditFinding, AuditSeverity};
use crate::database::Answer;
use crate::error::Result;

/// How the one client leaves the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    Committed,
    RolledBack,
    /// In the middle of a transaction: its future was dropped.
    Dropped,
}

/// What a session can keep, and what tells of it.
const KEPT: [(&str, &str); 6] = [
    (
        "a cursor WITH HOLD",
        "exists (select from pg_catalog.pg_cursors c where c.name = 'tenantry_attack')",
    ),
    (
        "an advisory lock",
        "exists (select from pg_catalog.pg_locks l where l.pid = pg_catalog.pg_backend_pid()
             and l.locktype = 'advisory' and (l.classid, l.objid) = (1953392997, 1936942446))",
    ),
    (
        "a channel that it listens to",
        "exists (select from pg_catalog.pg_listening_channels() c where c = 'tenantry_attack')",
    ),
    (
        "a setting",
        "coalesce(pg_catalog.current_setting('tenantry_attack.left', true), '') <> ''",
    ),
    (
        "a temporary table",
        "exists (select from pg_catalog.pg_class c where c.relname = 'tenantry_attack' and c.relpersistence = 't'
             and c.relnamespace = pg_catalog.pg_my_temp_schema())",
    ),
    (
        "a prepared statement",
        "exists (select from pg_catalog.pg_prepared_statements s where s.name = 'tenantry_attack')",
    ),
];

/// The lock's key: the two halves above.
const LOCK: i64 = 0x746e_6965_7373_656e;

/// Looks for what one client left on a connection, as the next.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    let sequence = a_sequence(arena).await?;
    for leaves in [Leaves::Committed, Leaves::RolledBack, Leaves::Dropped] {
        // A session with statements of its own is closed rather than cleared: it is left once with one, once without.
        for prepares in [false, true] {
            round(arena, sequence.as_deref(), leaves, prepares).await?;
        }
    }
    if let Some(sequence) = sequence {
        let told = format!("values of {sequence} are spent");
        arena.report.side_effects.push(told);
    }
    Ok(())
}

/// One that values may be taken of.
async fn a_sequence(arena: &mut Arena<'_>) -> Result<Option<String>> {
    let found = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'S' and n.nspname not in ('tenantry', 'pg_catalog') and n.nspname !~ '^pg_'
           and has_schema_privilege($1, n.oid, 'usage')
           and case when c.relkind = 'S' then has_sequence_privilege($1, c.oid, 'usage') end
         order by 1 limit 1",
    )
    .bind(&arena.app_role)
    .fetch_optional(&mut arena.admin)
    .await;
    found.map_err(statement_failed(&arena.database, "reading its sequences"))
}

async fn round(arena: &mut Arena<'_>, sequence: Option<&str>, leaves: Leaves, prepares: bool) -> Result<()> {
    let mut lease = arena.pool.begin(arena.victim.client, arena.epoch).await?;
    let mut left = vec![
        "declare tenantry_attack cursor with hold for select 1".to_owned(),
        format!("select pg_catalog.pg_advisory_lock({LOCK})"),
        "listen tenantry_attack".to_owned(),
        "select pg_catalog.set_config('tenantry_attack.left', 'left', false)".to_owned(),
        "create temporary table tenantry_attack (number integer)".to_owned(),
    ];
    if prepares {
        left.push("prepare tenantry_attack as select 1".to_owned());
    }
    if let Some(sequence) = sequence {
        left.push(format!("select pg_catalog.nextval({})", quoted(sequence)));
    }
    for statement in left {
        let sql = format!("savepoint attack; {statement}");
        let answer = arena.pool.say(&mut lease, &sql).await?;
        if answer.refused.is_some() {
            arena.pool.say(&mut lease, "rollback to savepoint attack").await?;
        }
        arena.report.statements += 1;
    }
    let there = arena.pool.say(&mut lease, &state()).await?;
    match leaves {
        Leaves::Committed => {
            let committed = lease.commit().await;
            if let Err(error) = committed {
                arena.report.unclear("a connection", error.to_string());
                return Ok(());
            }
        }
        Leaves::RolledBack => lease.rollback().await?,
        Leaves::Dropped => drop(lease),
    }
    let mut lease = arena.pool.begin(arena.attacker.client, arena.epoch).await?;
    let found = arena.pool.say(&mut lease, &state()).await?;
    let last = match sequence {
        Some(sequence) => {
            let ask = format!(
                "savepoint attack; select pg_catalog.currval({})",
                quoted(sequence)
            );
            Some(arena.pool.say(&mut lease, &ask).await?)
        }
        None => None,
    };
    lease.rollback().await?;
    arena.report.statements += 4;
    if kept(&there).is_empty() || found.refused.is_some() {
        let told =
            "nothing could be left on a connection, so that it is no proof that nothing is found there";
        arena.report.unclear("a connection", told);
    }
    let mut seen = kept(&found);
    if last.is_some_and(|last| last.refused.is_none()) {
        seen.push("the last value that it took of a sequence");
    }
    if !seen.is_empty() {
        let how = match leaves {
            Leaves::Committed => "after a commit",
            Leaves::RolledBack => "after a rollback",
            Leaves::Dropped => "after a transaction that was dropped",
        };
        arena.report.found(AuditFinding::new(
            "attack.residue",
            AuditSeverity::High,
            "a connection",
            "a client finds what another left on the connection before it",
            format!("{how}, the next client finds {}", seen.join(", ")),
        ));
    }
    Ok(())
}

fn state() -> String {
    let told: Vec<String> = KEPT.iter().map(|(_, kept)| format!("({kept})::text")).collect();
    format!("select {}", told.join(", "))
}

fn kept(answer: &Answer) -> Vec<&'static str> {
    let places = KEPT.iter().enumerate();
    places
        .filter(|(place, _)| matches!(answer.text(*place).as_deref(), Some("true" | "t")))
        .map(|(_, (what, _))| *what)
        .collect()
}
