#![expect(
    clippy::disallowed_methods,
    reason = "reads the databases of the installation"
)]

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection};

use super::databases::connect;
use super::symptom::{Symptom, told};
use crate::client::{ClientId, Epoch};
use crate::directory::{PlatformDirectory, PoolRecord, column, failed, of_pool};
use crate::error::{Error, Result};
use crate::schema::{KnownLeaks, Strictness, check_pool, leaks_of};

/// So many clients of each kind are named.
const MOST: usize = 20;

pub(super) async fn examine(
    platform: &PlatformDirectory,
    pool: &PoolRecord,
    about: &str,
) -> Result<Vec<Symptom>> {
    let mut symptoms = Vec::new();
    let owner = || format!("pool {}", pool.id);
    let url = platform
        .open(&pool.connection, of_pool(pool.id, column::POOL_APP), owner)
        .await?;
    let mut app = connect(&url, about, "connecting as the app role").await?;
    for leak in leaks_of(&mut app, about).await? {
        let mend = "update the server or the extension";
        symptoms.push(Symptom::advice("pool.known_leak", about, leak, mend));
    }
    let strictness = Strictness {
        known_leaks: KnownLeaks::Warn,
    };
    match check_pool(&mut app, about, strictness).await {
        Ok(()) => {}
        Err(Error::UnsafeDatabase { findings, .. }) => symptoms.extend(findings.into_iter().map(|finding| {
            let mend = "mend it in the database: no client of the pool is served until then";
            Symptom::problem("pool.unsafe", about, finding, mend)
        })),
        Err(other) => return Err(other),
    }
    let _ = app.close().await;
    let admin = match platform.pool_admin_url(pool.id).await {
        Ok(url) => connect(&url, about, "connecting as the admin role").await,
        Err(error) => Err(error),
    };
    match admin {
        Ok(mut admin) => {
            symptoms.extend(as_admin(platform, &mut admin, pool, about).await?);
            let _ = admin.close().await;
        }
        Err(error) => symptoms.push(Symptom::problem(
            "pool.admin",
            about,
            format!(
                "clients are served, and none can be placed, moved or migrated: {}",
                told(&error)
            ),
            "tenantry pool connections",
        )),
    }
    Ok(symptoms)
}

async fn as_admin(
    platform: &PlatformDirectory,
    admin: &mut PgConnection,
    pool: &PoolRecord,
    about: &str,
) -> Result<Vec<Symptom>> {
    let reading = |source: sqlx::Error| Error::Unreachable {
        database: about.to_owned(),
        step: "reading its kernel as the admin role",
        source: source.into(),
    };
    let mut symptoms = Vec::new();
    let (bypasses, owns, there): (bool, bool, bool) = sqlx::query_as(
        "select r.rolbypassrls or r.rolsuper,
                pg_catalog.pg_has_role(d.datdba, 'usage'),
                to_regclass('tenantry.scope_keys') is not null
         from pg_catalog.pg_roles r, pg_catalog.pg_database d
         where r.rolname = current_user and d.datname = current_database()",
    )
    .fetch_one(&mut *admin)
    .await
    .map_err(reading)?;
    if !bypasses {
        symptoms.push(Symptom::problem(
            "pool.admin_rights",
            about,
            "its admin role has no BYPASSRLS: it sees no rows, so that exports and relocations are refused",
            "alter role … bypassrls, as a superuser",
        ));
    }
    if !owns {
        symptoms.push(Symptom::problem(
            "pool.admin_rights",
            about,
            "its admin role does not own the database",
            "alter database … owner to …",
        ));
    }
    if !there {
        // The app role was told so as well.
        return Ok(symptoms);
    }
    let has_key: bool =
        sqlx::query_scalar("select exists (select from tenantry.scope_keys where key_id = $1)")
            .bind(pool.scope_key_id)
            .fetch_one(&mut *admin)
            .await
            .map_err(reading)?;
    if !has_key {
        symptoms.push(Symptom::problem(
            "pool.scope_key",
            about,
            format!(
                "its kernel does not know scope key {}: every ticket is refused",
                pool.scope_key_id
            ),
            "tenantry pool rotate-key",
        ));
    }
    // The platform first: a client that is placed in between is found here and not missing there.
    let expected = placed(platform, pool).await?;
    let found: Vec<(ClientId, Epoch, bool)> =
        sqlx::query_as("select client_id, epoch, suspended from tenantry.placement where state = 'active'")
            .fetch_all(&mut *admin)
            .await
            .map_err(reading)?;
    symptoms.extend(placements(about, &expected, &found).into_iter().take(MOST));
    let unexpected = found.iter().filter(|(client, ..)| !expected.contains_key(client));
    let unexpected: Vec<ClientId> = unexpected.map(|(client, ..)| *client).collect();
    for client in elsewhere(platform, pool, &unexpected)
        .await?
        .into_iter()
        .take(MOST)
    {
        symptoms.push(Symptom::problem(
            "pool.served_twice",
            format!("client {client} in {about}"),
            "the platform has it elsewhere, and this database serves it as well, as after a restore from a backup of \
             before it moved: two places would take its writes",
            "as the admin role of this pool: select tenantry.place(client, 'moved', epoch), with the client's epoch",
        ));
    }
    Ok(symptoms)
}

/// Those of them that the platform has in another database.
async fn elsewhere(
    platform: &PlatformDirectory,
    pool: &PoolRecord,
    clients: &[ClientId],
) -> Result<Vec<ClientId>> {
    if clients.is_empty() {
        return Ok(Vec::new());
    }
    let step = "reading who is placed elsewhere";
    let mut reading = platform.snapshot(step).await?;
    let found: Vec<ClientId> = sqlx::query_scalar(
        "select c.id from platform.clients c
         where c.id = any ($1) and c.deleted_at is null and c.pool_id is distinct from $2
           and not exists (select from platform.relocations r where r.client_id = c.id and r.ended_at is null)
         order by c.id",
    )
    .bind(clients)
    .bind(pool.id)
    .fetch_all(reading.conn()?)
    .await
    .map_err(failed(step))?;
    reading.commit().await?;
    Ok(found)
}

/// Those that the platform has placed in the pool and that are to be found there.
async fn placed(
    platform: &PlatformDirectory,
    pool: &PoolRecord,
) -> Result<BTreeMap<ClientId, (Epoch, bool)>> {
    let step = "reading who is placed in a pool";
    let mut reading = platform.snapshot(step).await?;
    let rows: Vec<(ClientId, Epoch, bool)> = sqlx::query_as(
        "select c.id, c.epoch, c.status = 'active' from platform.clients c
         where c.pool_id = $1 and c.deleted_at is null and c.status <> 'provisioning'
           and not exists (select from platform.relocations r where r.client_id = c.id and r.ended_at is null)",
    )
    .bind(pool.id)
    .fetch_all(reading.conn()?)
    .await
    .map_err(failed(step))?;
    reading.commit().await?;
    Ok(rows
        .into_iter()
        .map(|(id, epoch, active)| (id, (epoch, active)))
        .collect())
}

fn placements(
    about: &str,
    expected: &BTreeMap<ClientId, (Epoch, bool)>,
    found: &[(ClientId, Epoch, bool)],
) -> Vec<Symptom> {
    let found: BTreeMap<ClientId, (Epoch, bool)> = found
        .iter()
        .map(|(id, epoch, suspended)| (*id, (*epoch, *suspended)))
        .collect();
    let mut symptoms = Vec::new();
    for (client, (epoch, active)) in expected {
        let what = match found.get(client) {
            None if *active => "the platform serves it here, and the database does not have it".to_owned(),
            Some((there, _)) if there != epoch => format!(
                "the platform has it under epoch {epoch}, and the database under {there}: it is refused, as after a \
                 restore of one of the two from an older backup"
            ),
            Some((_, true)) if *active => {
                "the platform serves it, and the database has it suspended".to_owned()
            }
            _ => continue,
        };
        symptoms.push(Symptom::problem(
            "pool.placement",
            format!("client {client} in {about}"),
            what,
            format!(
                "find out which of the two is right; to place it anew, suspend and resume client {client}"
            ),
        ));
    }
    symptoms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_that_differs_is_told() {
        let [served, missing, older, asleep, gone] = [(); 5].map(|()| ClientId::new());
        let expected = BTreeMap::from([
            (served, (1, true)),
            (missing, (1, true)),
            (older, (3, true)),
            (asleep, (1, true)),
            (gone, (2, false)),
        ]);
        let found = [(served, 1, false), (older, 2, false), (asleep, 1, true)];
        let symptoms = placements("pool p", &expected, &found);
        let of = |client: ClientId| {
            symptoms
                .iter()
                .filter(|symptom| symptom.about.contains(&client.to_string()))
                .count()
        };
        assert_eq!([served, missing, older, asleep, gone].map(of), [0, 1, 1, 1, 0]);
    }
}
