#![expect(clippy::disallowed_methods, reason = "reads the platform database")]

use super::symptom::Symptom;
use crate::directory::{Directory, PlatformDirectory, failed};
use crate::error::Result;
use crate::schema;

const ABOUT: &str = "platform database";

/// What keeps its catalogue from being that of this version.
pub(super) async fn catalogue(platform: &PlatformDirectory) -> Result<Vec<Symptom>> {
    const CHECK: &str = "platform.catalogue";
    let step = "reading the version of its catalogue";
    let mut reading = platform.snapshot(step).await?;
    let there: bool = sqlx::query_scalar("select to_regclass('platform.migrations') is not null")
        .fetch_one(reading.conn()?)
        .await
        .map_err(failed(step))?;
    if !there {
        let what = "it has no catalogue";
        return Ok(vec![Symptom::problem(CHECK, ABOUT, what, "tenantry init")]);
    }
    let applied: Vec<(i64, Vec<u8>, bool)> =
        sqlx::query_as("select version, checksum, success from platform.migrations order by version")
            .fetch_all(reading.conn()?)
            .await
            .map_err(failed(step))?;
    reading.commit().await?;
    let known = schema::platform_migrations();
    let mut symptoms = Vec::new();
    for (version, checksum, success) in &applied {
        match known.iter().find(|(known, _)| known == version) {
            None => symptoms.push(Symptom::problem(
                CHECK,
                ABOUT,
                format!("its catalogue has version {version}, which this version of tenantry does not know"),
                "use the version of tenantry that brought it there, or a newer one",
            )),
            Some((_, expected)) if expected != checksum => symptoms.push(Symptom::problem(
                CHECK,
                ABOUT,
                format!("version {version} of its catalogue is not the one of this version of tenantry"),
                "use the version of tenantry that brought it there; do not edit its ledger",
            )),
            Some(_) if !success => symptoms.push(Symptom::problem(
                CHECK,
                ABOUT,
                format!("version {version} of its catalogue was begun and not ended"),
                "restore it from its backup, or ask for help: each version is applied whole or not at all",
            )),
            Some(_) => {}
        }
    }
    let missing = known
        .iter()
        .filter(|(version, _)| !applied.iter().any(|(applied, ..)| applied == version));
    let missing: Vec<String> = missing.map(|(version, _)| version.to_string()).collect();
    if !missing.is_empty() {
        let what = format!("its catalogue lacks versions {}", missing.join(", "));
        symptoms.push(Symptom::problem(CHECK, ABOUT, what, "tenantry init"));
    }
    Ok(symptoms)
}

/// Keys that values are sealed with and that the keyring does not have.
pub(super) async fn keys(platform: &PlatformDirectory) -> Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let newest = platform.keys.newest().await;
    for (key_id, values) in platform.sealed_by_key().await? {
        if let Err(error) = platform.keys.fetch(key_id).await {
            symptoms.push(Symptom::problem(
                "platform.keys",
                format!("key {key_id}"),
                format!("{values} values are sealed with it, and it cannot be had: {error}"),
                "give the keyring that key again; values that no key opens are to be set anew",
            ));
        } else if newest.as_ref().is_ok_and(|newest| *newest != key_id) {
            symptoms.push(Symptom::advice(
                "platform.old_key",
                format!("key {key_id}"),
                format!("{values} values are still sealed with it, and it is not the newest"),
                "seal them anew (PlatformDirectory::reseal), and retire the key then",
            ));
        }
    }
    Ok(symptoms)
}

/// That no tier is offered: no client can be created.
pub(super) async fn tiers(platform: &PlatformDirectory) -> Result<Vec<Symptom>> {
    let offered = platform.tiers().await?.iter().next().is_some();
    Ok(if offered {
        Vec::new()
    } else {
        let (what, mend) = (
            "it offers no tier: no client can be created",
            "tenantry init --tiers",
        );
        vec![Symptom::problem("platform.tiers", ABOUT, what, mend)]
    })
}

/// That no pool takes another client.
pub(super) async fn room(platform: &PlatformDirectory) -> Result<Vec<Symptom>> {
    let pools = platform.pools().await?;
    let room = |pool: &crate::directory::PoolRecord| pool.active && pool.client_count < pool.capacity;
    Ok(if pools.is_empty() || pools.iter().any(room) {
        Vec::new()
    } else {
        let what = "no pool takes another client";
        let mend = "tenantry pool add, or open one that is closed";
        vec![Symptom::problem("platform.room", ABOUT, what, mend)]
    })
}
