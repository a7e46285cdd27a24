use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;

use super::catalogue_cell::CatalogueCell;
use super::connections::Connections;
use super::lease::{Lease, Mode};
use super::options::ConnectionOptions;
use super::ticket::TicketMint;
use crate::client::{ClientId, Epoch, PoolId};
use crate::error::Result;
use crate::schema::{Catalogue, Strictness, check_pool};
use crate::secret::ScopeKey;

/// A pool database that was found safe and is open.
#[derive(Debug)]
pub(crate) struct PoolDatabase {
    connections: Arc<Connections>,
    mint: TicketMint,
    catalogue: CatalogueCell,
}

#[derive(Clone, Debug)]
pub(crate) struct PoolDatabaseOptions {
    pub(crate) connections: ConnectionOptions,
    pub(crate) strictness: Strictness,
}

impl PoolDatabase {
    /// Connects, verifies role, versions, kernel and tables, and reads the catalogue.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes.
    pub(crate) async fn open(
        id: PoolId,
        name: &str,
        connect: PgConnectOptions,
        key: &ScopeKey,
        options: PoolDatabaseOptions,
    ) -> Result<Self> {
        let label = format!("pool database {name} ({id})");
        let connections = Arc::new(Connections::new(label, connect, options.connections));
        let _permit = connections.permit(None).await?;
        let mut connected = connections.connect().await?;
        check_pool(&mut connected.conn, &connections.label, options.strictness).await?;
        let catalogue = Catalogue::load(&mut connected.conn)
            .await
            .map_err(|source| connections.unreachable("reading its catalogue", source))?;
        connections.give_back(connected);
        tracing::info!(database = connections.label, "a pool database was opened");
        Ok(Self {
            connections,
            mint: TicketMint::new(key),
            catalogue: CatalogueCell::new(catalogue),
        })
    }

    /// A transaction bound to the client.
    pub(crate) async fn enter(&self, client: ClientId, epoch: Epoch, mode: Mode) -> Result<Lease> {
        Lease::enter(&self.connections, &self.mint, client, epoch, mode).await
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.current()
    }

    /// Reads the catalogue again after a name was not found; says whether it did.
    pub(crate) async fn refresh_catalogue(&self) -> Result<bool> {
        self.catalogue
            .refresh(|| async {
                let _permit = self.connections.permit(None).await?;
                let mut connected = self.connections.connect().await?;
                let catalogue = Catalogue::load(&mut connected.conn)
                    .await
                    .map_err(|source| self.connections.unreachable("reading its catalogue", source))?;
                self.connections.give_back(connected);
                Ok(catalogue)
            })
            .await
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}
