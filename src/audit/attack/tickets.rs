#![expect(
    clippy::disallowed_methods,
    reason = "moves scratch clients, and asks who holds their locks"
)]

use std::time::Duration;

use super::arena::{Arena, Stage};
use super::failure::statement_failed;
use super::rows::Who;
use super::scratch;
use crate::audit::{AuditFinding, AuditSeverity};
use crate::client::Epoch;
use crate::database::Ticket;
use crate::directory::Binding;
use crate::error::Result;

const ENTER: &str = "tenantry.enter(text)";
const FENCE: &str = "tenantry.current_client()";

/// Shows the kernel tickets that it must not admit, and looks whether it holds up who is not to be served.
pub(super) async fn attack(arena: &mut Arena<'_>) -> Result<()> {
    let mut stage = arena.begin().await?;
    let shown = show(arena, &mut stage).await;
    arena.end(stage).await;
    shown?;
    let epoch = states(arena).await?;
    held(arena, epoch).await
}

/// A ticket, changed or told otherwise than it was made.
type Changed = Box<dyn Fn(&Stage) -> String + Send + Sync>;

async fn show(arena: &mut Arena<'_>, stage: &mut Stage) -> Result<()> {
    let (victim, attacker, epoch) = (arena.victim.client, arena.attacker.client, arena.epoch);
    let says = move |stage: &Stage| Ticket {
        client: victim,
        epoch,
        pid: stage.probe.pid(),
        turn: stage.probe.turn(),
        age: Duration::ZERO,
    };
    let made = move |change: fn(&mut Ticket)| -> Changed {
        Box::new(move |stage| {
            let mut ticket = says(stage);
            change(&mut ticket);
            stage.probe.ticket(ticket)
        })
    };
    let told = move |change: fn(String) -> String| -> Changed {
        Box::new(move |stage| change(stage.probe.ticket(says(stage))))
    };
    let own_with_the_victims_id: Changed = Box::new(move |stage| {
        let own = stage.probe.ticket(Ticket {
            client: attacker,
            ..says(stage)
        });
        format!("{}{}{}", &own[..8], victim.as_uuid().simple(), &own[40..])
    });
    let tickets: Vec<(&str, Changed)> = vec![
        (
            "one whose code is changed in a digit",
            told(|ticket| flipped(&ticket, 159)),
        ),
        (
            "one whose client is changed in a digit",
            told(|ticket| flipped(&ticket, 39)),
        ),
        (
            "one whose code is nought",
            told(|ticket| format!("{}{}", &ticket[..96], "0".repeat(64))),
        ),
        (
            "one of a key that there is not",
            told(|ticket| format!("7fffffff{}", &ticket[8..])),
        ),
        ("one that is cut off", told(|ticket| ticket[..159].to_owned())),
        ("one that is empty", told(|_| String::new())),
        (
            "one of another client under its own code",
            own_with_the_victims_id,
        ),
        (
            "one of another backend",
            made(|ticket| ticket.pid = ticket.pid.wrapping_add(1)),
        ),
        (
            "one of a turn that is over",
            made(|ticket| ticket.turn = ticket.turn.saturating_sub(1)),
        ),
        (
            "one of a turn to come",
            made(|ticket| ticket.turn = ticket.turn.saturating_add(1_000)),
        ),
        (
            "one that is an hour old",
            made(|ticket| ticket.age = Duration::from_hours(1)),
        ),
        ("one of an epoch that is over", made(|ticket| ticket.epoch -= 1)),
        ("one of an epoch to come", made(|ticket| ticket.epoch += 1)),
        (
            "one of no backend, in a session that somebody is bound to",
            made(|ticket| (ticket.pid, ticket.turn) = (0, 0)),
        ),
    ];
    for (what, ticket) in tickets {
        arena.enter(stage, Who::Attacker, "savepoint attack").await?;
        let ticket = ticket(stage);
        admitted(arena, stage, what, &ticket).await?;
    }
    arena.enter(stage, Who::Attacker, "savepoint attack").await?;
    let right = stage.probe.ticket(says(stage));
    let answer = stage.probe.show(&right, "").await?;
    arena.report.statements += 2;
    if !answer.text(0).is_some_and(|status| status.starts_with("entered")) {
        let told =
            "the kernel does not admit a right ticket either, so that it is no proof that it refuses others";
        arena.report.unclear(ENTER, told);
    }
    arena.send(stage, "savepoint attack").await?;
    admitted(arena, stage, "one that was shown before", &right).await
}

fn flipped(ticket: &str, at: usize) -> String {
    let digit = if &ticket[at..=at] == "0" { "1" } else { "0" };
    format!("{}{digit}{}", &ticket[..at], &ticket[at + 1..])
}

async fn admitted(arena: &mut Arena<'_>, stage: &mut Stage, what: &str, ticket: &str) -> Result<()> {
    arena.report.statements += 2;
    let answer = stage.probe.show(ticket, "").await?;
    let entered =
        answer.refused.is_none() && answer.text(0).is_some_and(|status| status.starts_with("entered"));
    if entered {
        arena.report.found(AuditFinding::new(
            "attack.ticket",
            AuditSeverity::Critical,
            ENTER,
            "a client becomes another by a ticket that is not its own, or is good no more",
            format!("the kernel admits {what}"),
        ));
    }
    stage.probe.send("rollback to savepoint attack").await?;
    Ok(())
}

fn not_held(arena: &mut Arena<'_>, told: impl Into<String>) {
    arena.report.found(AuditFinding::new(
        "attack.fence",
        AuditSeverity::Critical,
        FENCE,
        "a client that is not served here any more goes on reading and writing here",
        told,
    ));
}

/// A client that is not to be served is not let in. Returns the epoch that it is placed under at last.
async fn states(arena: &mut Arena<'_>) -> Result<Epoch> {
    let client = arena.attacker.client;
    let mut epoch = arena.epoch;
    for (state, suspended) in [
        ("fenced", false),
        ("standby", false),
        ("incoming", false),
        ("moved", false),
        ("active", true),
    ] {
        epoch += 1;
        let database = arena.database.clone();
        scratch::place(&mut arena.admin, &database, client, state, epoch, suspended).await?;
        // Begun for the victim, which is served as before.
        let mut probe = arena.pool.probe(arena.victim.client, arena.epoch).await?;
        let answer = probe
            .enter(client, epoch, "select tenantry.current_client()")
            .await?;
        let status = answer.text(0).unwrap_or_default();
        probe.end().await;
        arena.report.statements += 4;
        if status.starts_with("entered") {
            let what = if suspended { "suspended" } else { state };
            not_held(arena, format!("the kernel lets in a client that is {what}"));
        }
    }
    epoch += 1;
    let database = arena.database.clone();
    scratch::place(&mut arena.admin, &database, client, "active", epoch, false).await?;
    Ok(epoch)
}

/// Who moves a client waits for its transactions, and what was bound before is not served.
async fn held(arena: &mut Arena<'_>, epoch: Epoch) -> Result<()> {
    let client = arena.attacker.client;
    let mut probe = arena.pool.probe(arena.victim.client, arena.epoch).await?;
    let bound = probe
        .enter(client, epoch, "select tenantry.current_client()")
        .await?;
    let free: bool = sqlx::query_scalar(
        "select pg_try_advisory_xact_lock(tenantry.lock_key(p.handle)) from tenantry.placement p
         where p.client_id = $1",
    )
    .bind(client)
    .fetch_one(&mut arena.admin)
    .await
    .map_err(statement_failed(
        &arena.database,
        "asking for the lock of a scratch client",
    ))?;
    probe.end().await;
    arena.report.statements += 5;
    if bound.refused.is_some() {
        let told = format!("a client that is placed anew is not let in: {:?}", bound.text(0));
        arena.report.unclear(FENCE, told);
    } else if free {
        not_held(
            arena,
            "a transaction of the client holds no lock: whoever moves the client does not wait for it",
        );
    }
    if arena.binding != Binding::Session {
        return Ok(());
    }
    let mut lease = arena.pool.bound(client, epoch).await?;
    let ask = "select tenantry.current_client()";
    let before = arena.pool.say(&mut lease, ask).await?;
    let database = arena.database.clone();
    scratch::place(&mut arena.admin, &database, client, "moved", epoch + 1, false).await?;
    let after = arena.pool.say(&mut lease, ask).await?;
    arena.report.statements += 2;
    drop(lease);
    if before.refused.is_some() {
        let told = "a session that is bound is not served, so that it is no proof that it is held up";
        arena.report.unclear(FENCE, told);
    } else if after.refused.is_none() {
        not_held(
            arena,
            "a session that was bound before the client moved is served as before",
        );
    }
    Ok(())
}
