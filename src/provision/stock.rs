//! Dedicated databases that wait for a client.
#![expect(clippy::disallowed_methods, reason = "keeps the stock of databases")]

use sqlx::Connection;

use super::client::NewClient;
use super::provisioning::{Provisioning, admin_of};
use crate::client::ClientId;
use crate::directory::{Writing, column, connect_options, failed, of_client};
use crate::error::{Error, Result};
use crate::schema;

const STEP: &str = "keeping the stock of databases";

impl Provisioning {
    /// Fills the stock of dedicated databases up to so many, each with the kernel and the host's tables: a new client
    /// of a dedicated tier that names no id of its own and brings no URLs takes one, and is ready at once. Returns
    /// how many were made.
    ///
    /// One that was left half made is made anew.
    ///
    /// # Errors
    /// [`Error::Refused`] where nothing makes databases; [`Error::Hook`], [`Error::Unreachable`] and
    /// [`Error::Migration`] of the one being made: those before it stay.
    ///
    /// # Cancel safety
    /// Dropped, one may be left half made; call it again.
    pub async fn restock(&self, ready: u32) -> Result<u32> {
        let databases = self.databases.as_ref().ok_or_else(|| Error::Refused {
            what: "the stock of databases".to_owned(),
            step: "restocking",
            reason: "nothing makes databases".to_owned(),
        })?;
        let mut made = 0;
        while let Some(client) = self.reserve(ready).await? {
            let urls = databases.create(client).await.map_err(|source| Error::Hook {
                client,
                hook: "creating a database for the stock".to_owned(),
                source: source.into(),
            })?;
            let owner = || format!("client {client}");
            let app_role = connect_options(&urls.app, &owner())?.get_username().to_owned();
            let mut admin = admin_of(&urls, client).await?;
            schema::apply_to_dedicated(&mut admin, &app_role, client, self.host).await?;
            let _ = admin.close().await;
            let app = self
                .platform
                .seal(&urls.app, of_client(client, column::CLIENT_APP), owner);
            let app = app.await?;
            let admin = self
                .platform
                .seal(&urls.admin, of_client(client, column::CLIENT_ADMIN), owner);
            let admin = admin.await?;
            let mut writing = self.platform.write(STEP).await?;
            sqlx::query(
                "update platform.stock set app_connection = $2, admin_connection = $3, ready = true
                 where client_id = $1",
            )
            .bind(client)
            .bind(app)
            .bind(admin)
            .execute(writing.conn()?)
            .await
            .map_err(failed(STEP))?;
            writing.commit().await?;
            made += 1;
        }
        Ok(made)
    }

    /// How many databases wait for a client.
    ///
    /// # Errors
    /// [`Error::Platform`] where the database does not answer.
    pub async fn stock(&self) -> Result<u32> {
        let ready: i64 = sqlx::query_scalar("select count(*) from platform.stock where ready")
            .fetch_one(&self.platform.db)
            .await
            .map_err(failed(STEP))?;
        Ok(u32::try_from(ready).unwrap_or(u32::MAX))
    }

    /// The id of the next to be made, where there are too few; before all others one that was left half made, some
    /// minutes after it was.
    async fn reserve(&self, ready: u32) -> Result<Option<ClientId>> {
        let mut writing = self.platform.write(STEP).await?;
        // A statement counts what was committed before it began: it begins once nobody else is at it.
        sqlx::query("select pg_advisory_xact_lock(1413828180, 3)")
            .execute(writing.conn()?)
            .await
            .map_err(failed(STEP))?;
        let reserved: Option<ClientId> = sqlx::query_scalar(
            "with left_over as (
                 update platform.stock set created_at = now()
                 where client_id = (select client_id from platform.stock
                                    where not ready and created_at < now() - interval '10 minutes' limit 1)
                 returning client_id),
             fresh as (
                 insert into platform.stock (client_id) select $2
                 where not exists (select from left_over) and (select count(*) from platform.stock) < $1
                 returning client_id)
             select client_id from left_over union all select client_id from fresh",
        )
        .bind(i64::from(ready))
        .bind(ClientId::new())
        .fetch_optional(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        writing.commit().await?;
        Ok(reserved)
    }

    /// Makes the client the one that a database of the stock waits for, if one waits for such a client.
    pub(super) async fn take_stock(
        &self,
        writing: &mut Writing,
        client: &NewClient,
    ) -> Result<Option<ClientId>> {
        if !client.may_take_stock() {
            return Ok(None);
        }
        let taken: Option<ClientId> = sqlx::query_scalar(
            "select s.client_id from platform.stock s, platform.tiers t
             where s.ready and t.name = $1 and t.hosting = 'dedicated'
             order by s.created_at limit 1 for update of s skip locked",
        )
        .bind(client.tier.as_str())
        .fetch_optional(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        let Some(id) = taken else { return Ok(None) };
        self.platform
            .insert_client(writing, &client.clone().id(id))
            .await?;
        // What is sealed for the client opens, for it is the same id.
        sqlx::query(
            "with taken as (delete from platform.stock where client_id = $1 returning *)
             update platform.clients c
             set app_connection = t.app_connection, admin_connection = t.admin_connection
             from taken t where c.id = t.client_id",
        )
        .bind(id)
        .execute(writing.conn()?)
        .await
        .map_err(failed(STEP))?;
        Ok(Some(id))
    }
}
