use std::time::Duration;

use secrecy::SecretString;
use sqlx::types::Json;
use sqlx::{Connection, Postgres, QueryBuilder};

use crate::client::{ClientId, ClientStatus, Epoch, PoolId};
use crate::directory::{PlatformDirectory, column, of_client, refused};
use crate::error::{Error, Result};
use crate::plan::Limits;
use crate::schema;

/// Whom a change is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    TheLiving,
    TheDeleted,
}

impl PlatformDirectory {
    /// Changes the status of a client. On a pool database a client that is not active any more is refused from
    /// then on, whoever remembers what; managers see the rest when their remembered routes end.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where the status does not fit the client;
    /// [`Error::Unreachable`] where its pool database does not answer; to be retried, [`Error::Relocating`] where
    /// it is being relocated, and [`Error::Statement`] where its transactions in flight do not end in some
    /// seconds.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not; or in the pool database alone, where the client is then refused
    /// until this is called again.
    pub async fn set_status(&self, id: ClientId, status: ClientStatus) -> Result<()> {
        self.change(id, "changing the status", |update| {
            update.push("status = ").push_bind(status.as_str());
        })
        .await
    }

    /// Gives a client limits of its own, in place of those it had of its own; what they do not name is its
    /// tier's. They are in force from then on: connections in use for the client end their transactions under
    /// the old ones.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status); [`Error::Refused`] where a limit is negative.
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn set_limits(&self, id: ClientId, limits: &Limits) -> Result<()> {
        self.change(id, "changing the limits", |update| {
            // That it may be hosted as its tier is not is no limit, though it is kept beside them.
            update
                .push(
                    "limit_overrides = case when limit_overrides ? 'hosting'
                         then jsonb_build_object('hosting', limit_overrides -> 'hosting') else '{}' end || (",
                )
                .push_bind(Json(limits))
                .push(" - 'hosting')");
        })
        .await
    }

    /// Gives a client of a dedicated tier other connections to its database: after a change of a password, or of the
    /// place that the host moved the database to by itself.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Refused`] where the client shares a pool.
    ///
    /// # Cancel safety
    /// Dropped, the change was made or not.
    pub async fn set_dedicated(
        &self,
        id: ClientId,
        app_url: &SecretString,
        admin_url: &SecretString,
    ) -> Result<()> {
        let owner = || format!("client {id}");
        let app = self
            .seal(app_url, of_client(id, column::CLIENT_APP), owner)
            .await?;
        let admin = self
            .seal(admin_url, of_client(id, column::CLIENT_ADMIN), owner)
            .await?;
        self.change(id, "changing the connections", |update| {
            update.push("app_connection = ").push_bind(app);
            update.push(", admin_connection = ").push_bind(admin);
        })
        .await
    }

    /// Archives clients that nobody has used for so long, as
    /// [`inactive_clients`](PlatformDirectory::inactive_clients) lists them, so many at most. Returns who was. An
    /// archived client is served again by [`set_status`](Self::set_status).
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status), of the first that could not be: those before it were.
    ///
    /// # Cancel safety
    /// Dropped, some of them were archived.
    pub async fn archive_inactive(&self, idle: Duration, limit: u16) -> Result<Vec<ClientId>> {
        let inactive = self.inactive_clients(idle, limit).await?;
        for client in &inactive {
            self.set_status(*client, ClientStatus::Archived).await?;
        }
        Ok(inactive)
    }

    /// Deletes a client softly: it is unknown by every name from then on, which are free for others, and refused
    /// wherever it is remembered. Its rows stay where they are, and its place in the pool is free.
    ///
    /// # Errors
    /// As [`set_status`](Self::set_status).
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn delete_client(&self, id: ClientId) -> Result<()> {
        self.change(id, "deleting", |update| {
            update.push("deleted_at = now()");
        })
        .await
    }

    /// Has a client that was deleted live again, with the status that it had.
    ///
    /// # Errors
    /// [`Error::UnknownClient`] where none was deleted; [`Error::Refused`] where a name of its is another's by now, its
    /// pool has no room, or it is being erased or was; else as [`set_status`](Self::set_status).
    ///
    /// # Cancel safety
    /// As [`set_status`](Self::set_status).
    pub async fn undelete_client(&self, id: ClientId) -> Result<()> {
        self.change_of(id, Of::TheDeleted, "restoring", |update| {
            update.push("deleted_at = null");
        })
        .await
    }

    /// Changes a client that lives; see [`change_of`](Self::change_of).
    pub(super) async fn change(
        &self,
        id: ClientId,
        step: &'static str,
        set: impl FnOnce(&mut QueryBuilder<Postgres>) + Send,
    ) -> Result<()> {
        self.change_of(id, Of::TheLiving, step, set).await
    }

    /// Changes a client in the platform database and, where it shares one, in its pool database, under a new
    /// epoch. The pool database commits first: from then until the platform database has, routes are refused and
    /// resolved again.
    async fn change_of(
        &self,
        id: ClientId,
        of: Of,
        step: &'static str,
        set: impl FnOnce(&mut QueryBuilder<Postgres>) + Send,
    ) -> Result<()> {
        let mut writing = self.write(step).await?;
        let mut update = QueryBuilder::new("update platform.clients set epoch = epoch + 1, ");
        set(&mut update);
        update.push(" where id = ").push_bind(id);
        update
            .push(" and deleted_at is ")
            .push(if of == Of::TheLiving { "null" } else { "not null" })
            .push(" returning status, pool_id, epoch, deleted_at is null");
        let changed: Option<(String, Option<PoolId>, Epoch, bool)> = update
            .build_query_as()
            .fetch_optional(writing.conn()?)
            .await
            .map_err(|source| refused(step, format!("client {id}"), source))?;
        let (status, pool, epoch, lives) = changed.ok_or(Error::UnknownClient { client: id.into() })?;
        if let Some(pool) = pool
            && status != ClientStatus::Provisioning.as_str()
        {
            let mut admin = self.pool_admin(pool).await?;
            let suspended = !lives || status != ClientStatus::Active.as_str();
            schema::renew(&mut admin, id, epoch, suspended).await?;
            let _ = admin.close().await;
        }
        writing.commit().await
    }
}
