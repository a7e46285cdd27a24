use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::catalogue_cell::CatalogueCell;
use super::connections::Connections;
use super::lease::Lease;
use super::options::ConnectionOptions;
use super::statistics::PoolStatistics;
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
        let mut conn = connections.connect_unbound().await?;
        check_pool(&mut conn, &connections.label, options.strictness).await?;
        let catalogue = load(&connections, conn).await?;
        tracing::info!(database = connections.label, "a pool database was opened");
        Ok(Self {
            connections,
            mint: TicketMint::new(key),
            catalogue: CatalogueCell::new(catalogue),
        })
    }

    /// A connection bound to the client, for one statement in autocommit.
    pub(crate) async fn bound(&self, client: ClientId, epoch: Epoch) -> Result<Lease> {
        Lease::bound(&self.connections, &self.mint, client, epoch).await
    }

    /// The same after the kernel said that the session is bound to nobody who is served here.
    pub(crate) async fn bound_again(&self, lost: Lease, epoch: Epoch) -> Result<Lease> {
        lost.bound_again(&self.mint, epoch).await
    }

    /// The same on a new connection, in place of one that turned out dead.
    pub(crate) async fn bound_anew(&self, dead: Lease, epoch: Epoch) -> Result<Lease> {
        dead.replaced(&self.mint, epoch).await
    }

    /// A transaction bound to the client.
    pub(crate) async fn begin(&self, client: ClientId, epoch: Epoch) -> Result<Lease> {
        Lease::begin(&self.connections, &self.mint, client, epoch).await
    }

    pub(crate) fn statistics(&self) -> PoolStatistics {
        self.connections.statistics()
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.current()
    }

    /// Reads the catalogue again after a name was not found; says whether it did.
    pub(crate) async fn refresh_catalogue(&self) -> Result<bool> {
        self.catalogue
            .refresh(|| async { load(&self.connections, self.connections.connect_unbound().await?).await })
            .await
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

async fn load(connections: &Connections, mut conn: PgConnection) -> Result<Catalogue> {
    let catalogue = Catalogue::load(&mut conn)
        .await
        .map_err(|source| connections.unreachable("reading its catalogue", source))?;
    // The server notices a closed socket as well as a farewell.
    let _ = conn.close().await;
    Ok(catalogue)
}
