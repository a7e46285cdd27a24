use std::sync::Arc;

use super::client_footprint::{Footprint, LatestChange, PoolFootprint, TableFootprint};
use super::counting::{self, Newest};
use super::dividing::{Divided, divide};
use super::figure::{Figure, Parts};
use super::options::FootprintOptions;
use super::placed::clients_of;
use super::session::Session;
use super::statistics::{Leaf, Rows};
use crate::client::{ClientId, ClientRecord, ClientRef, Placement, PoolId};
use crate::directory::{Directory, PlatformDirectory};
use crate::error::{Error, Result};

/// Tells what clients take up: cheaply from statistics, exactly on request, and all together for those who decide whom
/// to promote. Cheap to clone.
///
/// It asks each database as its admin role, over one connection, and changes nothing.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory, acme: tenantry::ClientId) -> tenantry::Result<()> {
/// use tenantry::{FootprintOptions, Footprints};
///
/// let footprints = Footprints::new(platform).options(FootprintOptions::default().latest_by("updated_at"));
/// let about = footprints.estimate(acme).await?;
/// if about.rows().amount > 100_000 {
///     let counted = footprints.exact(acme).await?;
///     assert!(counted.rows().is_exact());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Footprints {
    pub(super) platform: PlatformDirectory,
    pub(super) options: Arc<FootprintOptions>,
}

/// Where sqlx notes the host's migrations, unless it is told another name.
const LEDGER: &str = "_sqlx_migrations";

impl Footprints {
    /// With the options that are the defaults.
    pub fn new(platform: PlatformDirectory) -> Self {
        Self {
            platform,
            options: Arc::default(),
        }
    }

    /// How footprints are taken. Defaults to [`FootprintOptions::default`].
    #[must_use]
    pub fn options(mut self, options: FootprintOptions) -> Self {
        self.options = Arc::new(options);
        self
    }

    /// What a client takes up, as far as statistics and counters tell. No table is read but the newest entries of
    /// indexes that lead to [`latest_by`](FootprintOptions::latest_by).
    ///
    /// In a pool its rows are its share of each table, by what `analyze` sampled, and its bytes the same share of the
    /// table's files with indexes and free space: as if its rows were as wide as anybody's. In a database of its own
    /// rows are the server's estimate, and bytes are exact.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Moved`] where it moved meanwhile; [`Error::MissingCredential`],
    /// [`Error::WrongKey`], [`Error::Invalid`] and [`Error::Unreachable`] of its database; [`Error::Footprint`].
    pub async fn estimate(&self, client: ClientId) -> Result<Footprint> {
        let record = self.record(client).await?;
        let mut session = self.session_of(&record).await?;
        let leaves = self.leaves_of(&mut session, &record).await?;
        let tables = match record.placement {
            Placement::Pool(pool) => {
                let placed = clients_of(&self.platform, pool).await?;
                let placed: Vec<_> = placed.iter().map(ClientId::as_uuid).collect();
                let divided = divide(&mut session, &leaves, &placed, &[client.as_uuid()]).await?;
                divided.clients.into_iter().flatten().collect()
            }
            Placement::Dedicated => whole_tables(&leaves),
        };
        let newest = counting::newest(&mut session, &leaves, client).await?;
        session.close().await;
        self.told(&record, tables, newest).await
    }

    /// What a client takes up, counted: every row of it is read, one table after the other, each as it is when its turn
    /// comes.
    ///
    /// Bytes are what the rows take by themselves: values as they are stored, compressed and out of line included,
    /// and 28 bytes a row; neither indexes nor free space, which are nobody's in a pool.
    ///
    /// # Errors
    /// As [`estimate`](Self::estimate); [`FootprintError::TimedOut`](crate::FootprintError::TimedOut) with the table
    /// that took longer than the [timeout](FootprintOptions::statement_timeout).
    ///
    /// # Cancel safety
    /// Dropped, nothing was changed; the server gives up what it was at by the timeout.
    pub async fn exact(&self, client: ClientId) -> Result<Footprint> {
        let record = self.record(client).await?;
        let mut session = self.session_of(&record).await?;
        let leaves = self.leaves_of(&mut session, &record).await?;
        let (tables, newest) = counting::count(&mut session, &leaves, client, &self.options).await?;
        session.close().await;
        self.told(&record, tables, newest).await
    }

    /// What all clients of a pool take up, as [`estimate`](Self::estimate) tells it, in a few statements however many
    /// they are; but for their latest changes, which are asked of one client at a time.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is no such pool; [`Error::MissingCredential`], [`Error::WrongKey`],
    /// [`Error::Invalid`] and [`Error::Unreachable`] of its database; [`Error::Footprint`].
    pub async fn pool(&self, pool: PoolId) -> Result<PoolFootprint> {
        let clients = clients_of(&self.platform, pool).await?;
        let ids: Vec<_> = clients.iter().map(ClientId::as_uuid).collect();
        let url = self.platform.pool_admin_url(pool).await?;
        let mut session = Session::open(&url, format!("pool {pool}"), &self.options).await?;
        let leaves = session.leaves(None).await?;
        let leaves = self.of_clients(leaves, Placement::Pool(pool), &[]);
        let Divided { tables, clients: of } = divide(&mut session, &leaves, &ids, &ids).await?;
        let bytes = session.bytes;
        session.close().await;
        let mut calls = self.platform.usage_of_month(&clients).await?;
        let seen = self.platform.last_seen(&clients).await?;
        let footprints = clients.into_iter().zip(of).map(|(client, tables)| Footprint {
            client,
            pool: Some(pool),
            tables,
            latest_change: LatestChange::Unknown,
            last_seen: seen.get(&client).copied(),
            calls: calls.remove(&client).unwrap_or_default(),
        });
        Ok(PoolFootprint {
            pool,
            bytes,
            tables,
            clients: footprints.collect(),
        })
    }

    async fn record(&self, client: ClientId) -> Result<ClientRecord> {
        let unknown = || Error::UnknownClient {
            client: client.into(),
        };
        self.platform
            .client(&ClientRef::Id(client))
            .await?
            .ok_or_else(unknown)
    }

    async fn session_of(&self, record: &ClientRecord) -> Result<Session> {
        let (url, database) = match record.placement {
            Placement::Pool(pool) => (self.platform.pool_admin_url(pool).await?, format!("pool {pool}")),
            Placement::Dedicated => (
                self.platform.dedicated_admin_url(record.id).await?,
                format!("client {}", record.id),
            ),
        };
        Session::open(&url, database, &self.options).await
    }

    async fn leaves_of(&self, session: &mut Session, record: &ClientRecord) -> Result<Vec<Leaf>> {
        let leaves = session.leaves(self.options.latest_by.as_deref()).await?;
        let shared = match record.placement {
            // What has a client_id is not shared.
            Placement::Pool(_) => Vec::new(),
            Placement::Dedicated => session.shared_tables().await?,
        };
        Ok(self.of_clients(leaves, record.placement, &shared))
    }

    /// The tables that have rows of clients.
    fn of_clients(&self, leaves: Vec<Leaf>, placement: Placement, shared: &[i64]) -> Vec<Leaf> {
        let is_of_clients = |leaf: &Leaf| {
            let ledger = leaf.name.rsplit('.').next() == Some(LEDGER);
            let own = leaf.own || placement == Placement::Dedicated;
            own && !ledger && !shared.contains(&leaf.root) && !self.options.left_out.contains(&leaf.name)
        };
        leaves.into_iter().filter(is_of_clients).collect()
    }

    /// With what the platform database knows, unless the client moved while its tables were looked at.
    async fn told(
        &self,
        record: &ClientRecord,
        tables: Vec<TableFootprint>,
        newest: Newest,
    ) -> Result<Footprint> {
        let client = record.id;
        let now = self.record(client).await?;
        if (now.placement, now.epoch) != (record.placement, record.epoch) {
            return Err(Error::Moved { client });
        }
        let calls = self.platform.usage_of_month(&[client]).await?.remove(&client);
        let seen = self.platform.last_seen(&[client]).await?;
        Ok(Footprint {
            client,
            pool: match record.placement {
                Placement::Pool(pool) => Some(pool),
                Placement::Dedicated => None,
            },
            tables,
            latest_change: newest.told(),
            last_seen: seen.get(&client).copied(),
            calls: calls.unwrap_or_default(),
        })
    }
}

/// The tables of a database that is the client's alone.
fn whole_tables(leaves: &[Leaf]) -> Vec<TableFootprint> {
    let tables = leaves.chunk_by(|one, other| one.root == other.root);
    tables
        .filter_map(|table| {
            let mut rows = Parts::default();
            for leaf in table {
                match leaf.rows() {
                    Rows::None => {}
                    Rows::About(about) => rows.estimate(about, 0.0, leaf.analysed()),
                    Rows::Unknown => rows.unknown(),
                }
            }
            Some(TableFootprint {
                table: table.first()?.name.clone(),
                rows: rows.figure(),
                bytes: Figure::Exact(table.iter().map(Leaf::bytes).sum()),
            })
        })
        .collect()
}
