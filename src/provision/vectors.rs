mod build;
mod target;

use sqlx::{Connection, PgConnection};

use self::build::Builder;
use self::target::Target;
use crate::client::{ClientId, Placement};
use crate::directory::PlatformDirectory;
use crate::error::{Error, Result};
use crate::schema::vectors::{Metric, OwnIndexes, VectorColumn};

/// An approximate index of one client on a column of vectors: an HNSW graph over the client's own rows, in half
/// precision. Other clients' rows are not in it, and shape none of its answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VectorIndex {
    table: String,
    column: String,
    metric: Metric,
    m: u16,
    ef_construction: u16,
    maintenance_memory_mb: Option<u32>,
    parallel_workers: Option<u16>,
}

impl VectorIndex {
    /// An index on a column of the type `vector(n)`, by the name of the table, or by `schema.table` where it is not
    /// on the search path.
    pub fn new(table: impl Into<String>, column: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            column: column.into(),
            metric: Metric::Cosine,
            m: 16,
            ef_construction: 64,
            maintenance_memory_mb: None,
            parallel_workers: None,
        }
    }

    /// The distance that it is searched by. Defaults to [`Metric::Cosine`].
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// How many neighbours a vector has in each layer of the graph, 2 to 100. Defaults to 16.
    #[must_use]
    pub fn m(mut self, neighbours: u16) -> Self {
        self.m = neighbours;
        self
    }

    /// How many candidates a neighbour is chosen from, 4 to 1,000 and no fewer than twice
    /// [`m`](Self::m). Defaults to 64.
    #[must_use]
    pub fn ef_construction(mut self, candidates: u16) -> Self {
        self.ef_construction = candidates;
        self
    }

    /// The memory that building may take, in MiB; a graph that does not fit is built many times slower. A vector of
    /// n dimensions takes some 2n + 300 bytes. Defaults to the server's `maintenance_work_mem`.
    #[must_use]
    pub fn maintenance_memory_mb(mut self, mebibytes: u32) -> Self {
        self.maintenance_memory_mb = Some(mebibytes);
        self
    }

    /// How many processes help building. Defaults to the server's `max_parallel_maintenance_workers`.
    #[must_use]
    pub fn parallel_workers(mut self, workers: u16) -> Self {
        self.parallel_workers = Some(workers);
        self
    }
}

/// What [`promote_vectors`](PlatformDirectory::promote_vectors) left in the client's database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Promoted {
    /// The name of the index, the same for the same client, column and metric.
    pub index: String,
    /// How many vectors it has.
    pub rows: u64,
    /// Whether it was built now; `false` where it was there.
    pub built: bool,
}

impl PlatformDirectory {
    /// Gives a client an approximate index of its own on a column of vectors, while the table is read and written.
    /// Worth it from some thousand vectors on: below, reading all of them is as fast, and exact. From then on
    /// `tenantry.approximate` tells the host's functions, where the index has 4,000 rows or as many as they ask for.
    ///
    /// A client that is relocated has them where it goes, too, unless it is so small that it moves while its writers
    /// wait.
    ///
    /// Where a valid index is there, it stays as it is, whatever options it was built with. One that an interrupted
    /// build left is dropped and built anew. One index is built in a database at a time.
    ///
    /// A vector with an element beyond ±65,504 has no half precision: building fails on it, and from then on so does
    /// writing it. The index is found by the names of table and column: [demote](Self::demote_vectors) before they
    /// are renamed. On a pool database the catalogue, which every client can read in SQL of its own, tells the id of
    /// the client and how many vectors it has, as it does of every partial index.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::UnknownTable`] and [`Error::UnknownColumn`];
    /// [`Error::StatementRefused`] where the column is no `vector(n)` of up to 4,000 dimensions, the table is not
    /// the clients', the client has no vectors in it or has them in several partitions, or an option is out of its
    /// range; [`Error::MissingCredential`], [`Error::WrongKey`] and [`Error::Unreachable`] where the admin role
    /// cannot connect; to be retried, [`Error::Busy`] where another index is built in the database, and
    /// [`Error::Statement`] where transactions in flight do not end in time.
    ///
    /// # Cancel safety
    /// Dropped, the server may go on building to the end, or leave an index that is not valid, which slows writes
    /// and serves no search. Call it again: it finds the one and mends the other.
    pub async fn promote_vectors(&self, client: ClientId, index: &VectorIndex) -> Result<Promoted> {
        index.check(client)?;
        let (mut admin, place) = self.client_admin(client).await?;
        let target = Target::find(&mut admin, client, place, &index.table, &index.column).await?;
        let leaf = target.leaf(&mut admin, client).await?;
        let mut builder = Builder::begin(&mut admin, client).await?;
        let promoted = builder.build(&target, &leaf, index).await;
        let _ = admin.close().await;
        promoted
    }

    /// Takes from a client its own indexes on a column of vectors, for whatever metric, while the table is read and
    /// written. Says whether there were any. Searches that go by them are exact again.
    ///
    /// # Errors
    /// As [`promote_vectors`](Self::promote_vectors), but for what is said there of rows and options.
    ///
    /// # Cancel safety
    /// Dropped, an index is there, or gone, or left not valid. Call it again.
    pub async fn demote_vectors(&self, client: ClientId, table: &str, column: &str) -> Result<bool> {
        let (mut admin, place) = self.client_admin(client).await?;
        let target = Target::find(&mut admin, client, place, table, column).await?;
        let mut builder = Builder::begin(&mut admin, client).await?;
        let dropped = builder.drop_all(target.column()).await;
        let _ = admin.close().await;
        dropped
    }
}

/// Drops all own indexes of a client on those columns.
pub(crate) async fn drop_own(
    admin: &mut PgConnection,
    client: ClientId,
    columns: Vec<VectorColumn<'_>>,
) -> Result<()> {
    let indexes = OwnIndexes::load(admin)
        .await
        .map_err(failed(client, "reading its own indexes"))?;
    let has_own = |column: &VectorColumn<'_>| {
        let mut own = Metric::ALL.iter();
        own.any(|metric| indexes.find(*column, client, *metric).is_some())
    };
    for column in columns.into_iter().filter(has_own) {
        Builder::begin(admin, client).await?.drop_all(column).await?;
    }
    Ok(())
}

/// Gives a client at a target the own indexes that it has at a source, on those columns. The target's session is
/// of no other use after that.
pub(crate) async fn build_same(
    source: &mut PgConnection,
    target: &mut PgConnection,
    client: ClientId,
    place: Placement,
    columns: Vec<VectorColumn<'_>>,
) -> Result<()> {
    let own = OwnIndexes::load(source)
        .await
        .map_err(failed(client, "reading its own indexes"))?;
    for column in columns {
        for metric in Metric::ALL {
            let Some(there) = own.find(column, client, metric).filter(|index| index.valid) else {
                continue;
            };
            let table = format!("{}.{}", column.schema, column.table);
            let index = VectorIndex {
                m: u16::try_from(there.m).unwrap_or(16),
                ef_construction: u16::try_from(there.ef_construction).unwrap_or(64),
                ..VectorIndex::new(table, column.column).metric(metric)
            };
            let found = Target::find(target, client, place, &index.table, &index.column).await?;
            let leaf = found.leaf(target, client).await?;
            let mut builder = Builder::begin(target, client).await?;
            builder.build(&found, &leaf, &index).await?;
        }
    }
    Ok(())
}

impl VectorIndex {
    /// Refuses what the server would refuse after much of the work.
    fn check(&self, client: ClientId) -> Result<()> {
        let refuse = |reason| Err(target::refusal(client, &self.table, &self.column, reason));
        if !(2..=100).contains(&self.m) {
            return refuse("m is from 2 to 100");
        }
        if !(4..=1_000).contains(&self.ef_construction) || self.ef_construction < 2 * self.m {
            return refuse("ef_construction is from 4 to 1,000, and no less than twice m");
        }
        Ok(())
    }
}

fn failed(client: ClientId, step: &str) -> impl Fn(sqlx::Error) -> Error {
    move |source| Error::of_statement(client, step, source)
}
