//! The moment at which a client is served elsewhere, across three databases.
#![expect(
    clippy::disallowed_methods,
    reason = "says in the platform database where a client is"
)]

use super::journal::{self, Entry};
use super::phase::Phase;
use crate::client::{ClientId, Epoch};
use crate::directory::{PlatformDirectory, Writing, refused};
use crate::error::{Error, RelocationError, Result};

const STEP: &str = "saying where it is served";

/// A change of where a client is served that the platform database has accepted and not committed.
pub(super) struct Accepted {
    writing: Writing,
    pub(super) epoch: Epoch,
    pub(super) suspended: bool,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

/// Has the platform database accept that the client is served at the other side from now on, under an epoch that is at
/// least that, and how far the relocation is then. What its rules have against it is told before anything is closed.
pub(super) async fn accept(
    platform: &PlatformDirectory,
    client: ClientId,
    entry: &Entry,
    (way, after): (Way, Phase),
    at_least: Epoch,
) -> Result<Accepted> {
    let mut writing = journal::begin(platform).await?;
    let sql = match way {
        Way::There => THERE,
        Way::Back => BACK,
    };
    let what = || format!("client {client}");
    sqlx::query("select pg_catalog.set_config('lock_timeout', '150ms', true), platform.lock_placement()")
        .execute(writing.conn()?)
        .await
        .map_err(|source| refused(STEP, what(), source))?;
    let accepted: Option<(Epoch, bool)> = sqlx::query_as(sql)
        .bind(client)
        .bind(entry.id)
        .bind(at_least)
        .fetch_optional(writing.conn()?)
        .await
        .map_err(|source| refused(STEP, what(), source))?;
    let Some((epoch, suspended)) = accepted else {
        return Err(Error::Relocation {
            client,
            step: STEP,
            source: RelocationError::OutOfPhase {
                what: "to say where it is served",
                phase: "not where it was when it was planned".to_owned(),
            },
        });
    };
    let noted = sqlx::query(
        "update platform.relocations set phase = $2, was_moved = true, failure = null
         where id = $1 and attempt = $3",
    )
    .bind(entry.id)
    .bind(after.as_str())
    .bind(entry.attempt)
    .execute(writing.conn()?)
    .await
    .map_err(|source| refused(STEP, what(), source))?;
    entry.expect_one(&noted)?;
    Ok(Accepted {
        writing,
        epoch,
        suspended,
    })
}

impl Accepted {
    pub(super) async fn commit(self) -> Result<()> {
        self.writing.commit().await
    }

    /// Takes it back.
    pub(super) async fn withdraw(self) -> Result<()> {
        self.writing.roll_back().await
    }
}

/// Hosting that the tier does not have is allowed by name; hosting that it has needs no such leave.
macro_rules! served_at {
    ($pool:literal, $app:literal, $admin:literal, $tier:literal, $from:literal) => {
        concat!(
            "update platform.clients c
             set tier = t.name, hosting = h.hosting, pool_id = r.",
            $pool,
            ", app_connection = r.",
            $app,
            ", admin_connection = r.",
            $admin,
            ",
                 epoch = greatest(c.epoch + 1, $3),
                 limit_overrides = case when t.hosting = h.hosting then c.limit_overrides - 'hosting'
                                        else c.limit_overrides || '{\"hosting\": null}' end
             from platform.relocations r
             cross join lateral (
                 select case when r.",
            $pool,
            " is null then 'dedicated' else 'shared' end) h (hosting),
             platform.tiers t
             where c.id = $1 and r.id = $2 and c.deleted_at is null
               and t.name = ",
            $tier,
            " and c.pool_id is not distinct from r.",
            $from,
            "
             returning c.epoch, c.status <> 'active'"
        )
    };
}

const THERE: &str = served_at!(
    "target_pool",
    "target_app",
    "target_admin",
    "coalesce(r.target_tier, c.tier)",
    "source_pool"
);

const BACK: &str = served_at!(
    "source_pool",
    "source_app",
    "source_admin",
    "case when r.target_tier is null then c.tier else r.source_tier end",
    "target_pool"
);
