#![expect(clippy::disallowed_methods, reason = "reads the platform database")]

use std::time::Duration;

use sqlx::PgConnection;

use super::symptom::Symptom;
use crate::client::ClientId;
use crate::directory::{PlatformDirectory, failed};
use crate::error::Result;

/// So many of each are named.
const MOST: i64 = 100;

/// What was begun longer ago than that and not ended.
pub(super) async fn unfinished(platform: &PlatformDirectory, age: Duration) -> Result<Vec<Symptom>> {
    let step = "reading what was begun";
    let mut reading = platform.snapshot(step).await?;
    let symptoms = all(reading.conn()?, age.as_secs_f64())
        .await
        .map_err(failed(step))?;
    reading.commit().await?;
    Ok(symptoms)
}

async fn all(conn: &mut PgConnection, age: f64) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = provisions(conn, age).await?;
    symptoms.extend(relocations(conn, age).await?);
    symptoms.extend(erasures(conn, age).await?);
    symptoms.extend(migrations(conn).await?);
    symptoms.extend(events(conn, age).await?);
    Ok(symptoms)
}

/// Clients that are half set up.
async fn provisions(conn: &mut PgConnection, age: f64) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let provisions: Vec<(ClientId, String, i32, Option<String>)> = sqlx::query_as(
        "select client_id, step, attempts, failure from platform.provisions
         where updated_at < now() - make_interval(secs => $1) order by started_at limit $2",
    )
    .bind(age)
    .bind(MOST)
    .fetch_all(conn)
    .await?;
    for (client, step, attempts, failure) in provisions {
        let failure = failure.map(|failure| format!(": {failure}")).unwrap_or_default();
        symptoms.push(Symptom::problem(
            "client.provisioning",
            format!("client {client}"),
            format!("its set-up ended after {step}, tried {attempts} times{failure}"),
            format!("tenantry client continue {client}"),
        ));
    }
    Ok(symptoms)
}

/// Clients on their way, and those whose rows are still where they were.
async fn relocations(conn: &mut PgConnection, age: f64) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let relocations: Vec<(ClientId, String, Option<String>)> = sqlx::query_as(
        "select client_id, phase, failure from platform.relocations
         where ended_at is null and updated_at < now() - make_interval(secs => $1) order by started_at limit $2",
    )
    .bind(age)
    .bind(MOST)
    .fetch_all(conn)
    .await?;
    for (client, phase, failure) in relocations {
        let about = format!("client {client}");
        let failure = failure.map(|failure| format!(": {failure}")).unwrap_or_default();
        symptoms.push(if phase == "moved" {
            Symptom::advice(
                "client.relocation",
                about,
                format!("it was relocated, and its rows are still where it was{failure}"),
                format!("tenantry relocate complete {client}, or revert"),
            )
        } else {
            Symptom::problem(
                "client.relocation",
                about,
                format!("its relocation is {phase}, and nobody is at it{failure}"),
                format!("tenantry relocate resume {client}, or cancel"),
            )
        });
    }
    Ok(symptoms)
}

/// Clients that are half erased.
async fn erasures(conn: &mut PgConnection, age: f64) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let erasures: Vec<(ClientId,)> = sqlx::query_as(
        "select client_id from platform.erasures
         where finished_at is null and began_at < now() - make_interval(secs => $1) order by began_at limit $2",
    )
    .bind(age)
    .bind(MOST)
    .fetch_all(conn)
    .await?;
    for (client,) in erasures {
        symptoms.push(Symptom::problem(
            "client.erasure",
            format!("client {client}"),
            "its erasure was begun and not ended: some of what it had is still there",
            format!("tenantry client erase {client} --yes"),
        ));
    }
    Ok(symptoms)
}

/// Databases that failed to be migrated.
async fn migrations(conn: &mut PgConnection) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let behind: Vec<(String, String)> = sqlx::query_as(
        "select coalesce('pool ' || p.name, 'client ' || c.slug), k.failure
         from platform.known_schemas k
         left join platform.pools p on p.id = k.id
         left join platform.clients c on c.id = k.id and c.deleted_at is null
         where k.failure is not null and coalesce(p.id, c.id) is not null order by 1 limit $1",
    )
    .bind(MOST)
    .fetch_all(conn)
    .await?;
    for (database, failure) in behind {
        symptoms.push(Symptom::problem(
            "fleet.failed",
            database,
            format!("it could not be migrated: {failure}"),
            "mend what stands against it, and tenantry migrate",
        ));
    }
    Ok(symptoms)
}

/// What nobody was told.
async fn events(conn: &mut PgConnection, age: f64) -> sqlx::Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let (waiting,): (i64,) = sqlx::query_as(
        "select count(*) from (select from platform.events
             where delivered_at is null and at < now() - make_interval(secs => $1) limit 100000) waiting",
    )
    .bind(age)
    .fetch_one(conn)
    .await?;
    if waiting > 0 {
        symptoms.push(Symptom::advice(
            "platform.events",
            "platform database",
            format!("{waiting} events of clients were told to nobody"),
            "call PlatformDirectory::deliver_events in a task of a process, or leave them if nobody wants to know",
        ));
    }
    Ok(symptoms)
}
