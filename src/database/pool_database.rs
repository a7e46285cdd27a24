#![expect(
    clippy::disallowed_methods,
    reason = "ends the transaction that reads the catalogue"
)]

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use super::catalogue_cell::CatalogueCell;
use super::connections::Connections;
use super::lease::{Lease, Mode};
use super::options::ConnectionOptions;
use super::own_indexes::OwnIndexCell;
use super::scope_keys::{KeySource, ScopeKeys};
use super::statistics::PoolStatistics;
use super::transaction::TransactionOptions;
use crate::client::{ClientId, ClientRecord};
use crate::directory::{Binding, PoolRecord};
use crate::error::{Error, Result};
use crate::plan::Guards;
use crate::schema::{Catalogue, Strictness, check_pool, host_version, value_of_each_type};

const READING_VERSION: &str = "reading its version";

/// A pool database that was found safe and is open.
#[derive(Debug)]
pub(crate) struct PoolDatabase {
    connections: Arc<Connections>,
    catalogue: CatalogueCell,
    security_definers: Arc<[String]>,
    own_indexes: Arc<OwnIndexCell>,
    minimum_host_version: Option<i64>,
    /// As it was read last, where there is a minimum.
    host_version: Mutex<Option<i64>>,
}

#[derive(Clone, Debug)]
pub(crate) struct PoolDatabaseOptions {
    pub(crate) connections: ConnectionOptions,
    pub(crate) strictness: Strictness,
    pub(crate) minimum_host_version: Option<i64>,
    /// The functions that may be called although they run past row-level security.
    pub(crate) security_definers: Arc<[String]>,
}

impl PoolDatabase {
    /// Connects, verifies role, versions, kernel and tables, and reads the catalogue.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes.
    pub(crate) async fn open(
        pool: &PoolRecord,
        connect: PgConnectOptions,
        keys: Arc<dyn KeySource>,
        options: PoolDatabaseOptions,
    ) -> Result<Self> {
        let label = format!("pool database {} ({})", pool.name, pool.id);
        let keys = ScopeKeys::read(keys).await?;
        let connections = Connections::new(label, connect, pool.binding, keys, options.connections);
        let mut conn = connections.connect_unbound().await?;
        check_pool(&mut conn, &connections.label, options.strictness).await?;
        if pool.binding == Binding::Transaction {
            let types = value_of_each_type(&mut conn)
                .await
                .map_err(|source| connections.unreachable("reading its types", source))?;
            if let Some(query) = types {
                connections.expect_types(query);
            }
        }
        let minimum_host_version = options.minimum_host_version;
        let host_version = match minimum_host_version {
            Some(_) => host_version(&mut conn)
                .await
                .map_err(|source| connections.unreachable(READING_VERSION, source))?,
            None => None,
        };
        let security_definers = options.security_definers;
        let catalogue = load(&connections, &security_definers, conn).await?;
        tracing::info!(database = connections.label, "a pool database was opened");
        let connections = Arc::new(connections);
        connections.keep();
        Ok(Self {
            connections,
            catalogue: CatalogueCell::new(catalogue),
            security_definers,
            own_indexes: Arc::default(),
            minimum_host_version,
            host_version: Mutex::new(host_version),
        })
    }

    /// Reads again how far the host's migrations are, where that matters.
    ///
    /// # Cancel safety
    /// Dropped, the connection closes.
    pub(crate) async fn read_version(&self) -> Result<()> {
        if self.minimum_host_version.is_none() {
            return Ok(());
        }
        let mut conn = self.connections.connect_unbound().await?;
        let version = host_version(&mut conn)
            .await
            .map_err(|source| self.connections.unreachable(READING_VERSION, source))?;
        *self.host_version.lock().unwrap_or_else(PoisonError::into_inner) = version;
        leave(conn).await;
        Ok(())
    }

    /// Refuses the client where the database is older than it may be.
    pub(crate) fn expect_version(&self, client: ClientId) -> Result<()> {
        let version = *self.host_version.lock().unwrap_or_else(PoisonError::into_inner);
        expect_version(
            client,
            &self.connections.label,
            version,
            self.minimum_host_version,
        )
    }

    /// A connection bound to the client, for one statement by itself.
    pub(crate) async fn bound(&self, client: &ClientRecord, guards: &Guards, mode: Mode) -> Result<Lease> {
        let scope = self.connections.scope(client.id, client.epoch, guards);
        Lease::bound(&self.connections, scope, self.connections.share(guards), mode).await
    }

    /// A transaction bound to the client.
    pub(crate) async fn begin(
        &self,
        client: &ClientRecord,
        guards: &Guards,
        options: TransactionOptions,
    ) -> Result<Lease> {
        let scope = self.connections.scope(client.id, client.epoch, guards);
        Lease::begin(&self.connections, scope, self.connections.share(guards), options).await
    }

    pub(crate) fn statistics(&self) -> PoolStatistics {
        self.connections.statistics()
    }

    pub(crate) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.current()
    }

    pub(crate) fn own_indexes(&self) -> Arc<OwnIndexCell> {
        Arc::clone(&self.own_indexes)
    }

    /// Reads the catalogue again after a name was not found; says whether it did.
    pub(crate) async fn refresh_catalogue(&self) -> Result<bool> {
        self.catalogue
            .refresh(|| async {
                let conn = self.connections.connect_unbound().await?;
                load(&self.connections, &self.security_definers, conn).await
            })
            .await
    }

    pub(crate) async fn close(&self) {
        self.connections.close().await;
    }
}

async fn load(
    connections: &Connections,
    security_definers: &[String],
    mut conn: PgConnection,
) -> Result<Catalogue> {
    let mut catalogue = Catalogue::load(&mut conn)
        .await
        .map_err(|source| connections.unreachable("reading its catalogue", source))?;
    catalogue.allow_security_definers(security_definers);
    leave(conn).await;
    Ok(catalogue)
}

async fn leave(mut conn: PgConnection) {
    // A pooler closes the session of one who leaves in the middle of a transaction. For the rest, the server
    // notices a closed socket as well as a farewell.
    let _ = conn.execute(sqlx::raw_sql("COMMIT")).await;
    let _ = conn.close().await;
}

/// Refuses a client whose database is older than it may be, or does not say.
pub(super) fn expect_version(
    client: ClientId,
    database: &str,
    version: Option<i64>,
    minimum: Option<i64>,
) -> Result<()> {
    match minimum {
        Some(minimum) if version.is_none_or(|version| version < minimum) => Err(Error::SchemaTooOld {
            client,
            database: database.to_owned(),
            version,
            minimum,
        }),
        _ => Ok(()),
    }
}
