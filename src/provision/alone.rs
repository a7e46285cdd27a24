#![expect(
    clippy::disallowed_methods,
    reason = "keeps the journal of clients that are being set up"
)]

use crate::client::ClientId;
use crate::directory::{Lease, PARTING, PlatformDirectory, failed};
use crate::error::{Error, Result};

/// Whoever sets a client up, with nobody else at it.
pub(super) struct Alone {
    lease: Lease,
    pub(super) id: ClientId,
}

impl Alone {
    pub(super) async fn with(platform: &PlatformDirectory, id: ClientId) -> Result<Self> {
        let taken = Lease::take_within(platform, &format!("provision {id}"), None, PARTING).await;
        let taken = taken.map_err(failed("setting a client up"))?;
        taken.map(|lease| Self { lease, id }).ok_or(Error::Busy {
            client: id,
            what: "its set-up, which another process is at",
            waited: PARTING,
        })
    }

    /// That one more attempt begins.
    pub(super) async fn note_attempt(&mut self) -> Result<()> {
        self.journal(
            "insert into platform.provisions (client_id, attempts) values ($1, 1)
             on conflict (client_id) do update
             set attempts = provisions.attempts + 1, failure = $2, updated_at = now()",
            None,
        )
        .await
    }

    /// That a step was done.
    pub(super) async fn note(&mut self, step: &str) -> Result<()> {
        let sql = "update platform.provisions set step = $2, updated_at = now() where client_id = $1";
        self.journal(sql, Some(step)).await
    }

    /// On the connection that holds the lock: whoever lost it does not go on.
    async fn journal(&mut self, sql: &'static str, text: Option<&str>) -> Result<()> {
        const STEP: &str = "noting how far a client is";
        let (id, conn) = (self.id, self.lease.conn().map_err(failed(STEP))?);
        let noted = sqlx::query(sql).bind(id).bind(text).execute(conn).await;
        noted.map(drop).map_err(failed(STEP))
    }

    /// Lets others at it.
    pub(super) async fn end(self) {
        self.lease.end().await;
    }
}
