#![expect(
    clippy::disallowed_methods,
    reason = "sets how a search goes by an index, and sets it back"
)]

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, Executor, FromRow, Row};
use tracing::Instrument;

use super::bind::{Bind, BoxedValue, boxed};
use super::ranking::{Ranking, Way};
use super::run::{On, Statement, Step, decode};
use super::select::Select;
use super::send::send_in;
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::Shape;
use crate::client::ClientId;
use crate::database::{Mode, TransactionOptions, search, within};
use crate::error::{Error, Result};
use crate::schema::vectors::{Metric, OWN_INDEXES, OwnIndex, OwnIndexes, VectorColumn};
use crate::telemetry;
use crate::tenant::{Patience, TenantDb, TenantTx};

/// The rows of a query whose vectors are nearest to one; see [`nearest`](TenantQuery::nearest).
#[must_use = "a search does nothing until it is fetched"]
pub struct Nearest<'t> {
    query: TenantQuery<'t, Select<'t>>,
    column: Cow<'t, str>,
    vector: BoxedValue<'t>,
    metric: Metric,
    rows: u32,
    within: Option<f64>,
    distance: Cow<'t, str>,
    search: Search,
}

/// How the nearest rows are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Search {
    /// By the client's own index, where it has one of 4,000 rows at least; else exactly.
    #[default]
    Auto,
    /// By measuring all rows.
    Exact,
    /// By the client's own index, however small, where it has one; else exactly.
    Approximate,
}

/// How much of what is nearest a search finds; see [`Nearest::recall`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recall {
    /// How many rows an exact search finds.
    pub exact: usize,
    /// How many of as near ones this search finds.
    pub found: usize,
    /// Whether this search went by an index.
    pub approximate: bool,
}

impl Recall {
    /// The share that is found; 1 where there is nothing to find.
    #[expect(clippy::cast_precision_loss, reason = "some rows")]
    pub fn share(self) -> f64 {
        match self.exact {
            0 => 1.0,
            exact => self.found as f64 / exact as f64,
        }
    }
}

/// From so many rows on an index is faster than measuring all; see `tenantry.approximate` of the kernel.
const APPROXIMATE_FROM: i64 = 4_000;

/// So many candidates are kept while an index is searched, at least and at most: pgvector's bound.
const CANDIDATES: (u32, u32) = (100, 1_000);

impl<'t> TenantQuery<'t, Select<'t>> {
    /// Of the rows that meet the conditions, those whose vectors are nearest: 10 by cosine distance unless told
    /// otherwise, the nearest first, each with its distance as one more column. Order, limit and offset that were
    /// said before do not count.
    ///
    /// Whether all rows of the client are measured or an index is asked is decided by the client and its number of
    /// rows, never by the planner: see [`promote_vectors`](crate::PlatformDirectory::promote_vectors). No client's
    /// rows are found by an index that others' are in. All rows that are wanted come back, if there are as many.
    ///
    /// ```no_run
    /// # async fn example(acme: tenantry::TenantDb, agent: uuid::Uuid, asked: pgvector::Vector) -> tenantry::Result<()> {
    /// // Of the documents that an agent was given.
    /// let given = acme.query("agent_documents").columns(["document_id"]).eq("agent_id", agent);
    /// let chunks: Vec<(String, f64)> = acme
    ///     .query("document_chunks")
    ///     .columns(["content"])
    ///     .is_in_query("document_id", given)
    ///     .nearest("embedding", asked)
    ///     .within(0.5)
    ///     .limit(5)
    ///     .fetch_all()
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn nearest(self, column: impl Into<Cow<'t, str>>, vector: impl Bind<'t>) -> Nearest<'t> {
        Nearest {
            query: self,
            column: column.into(),
            vector: boxed(vector),
            metric: Metric::default(),
            rows: 10,
            within: None,
            distance: "distance".into(),
            search: Search::default(),
        }
    }
}

impl<'t> Nearest<'t> {
    /// How distance is measured. Defaults to [`Metric::Cosine`].
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// So many rows at most. Defaults to 10.
    pub fn limit(mut self, rows: u32) -> Self {
        self.rows = rows;
        self
    }

    /// No row further away than this. Defaults to any distance.
    pub fn within(mut self, distance: f64) -> Self {
        self.within = Some(distance);
        self
    }

    /// The name of the column of distances. Defaults to `distance`.
    pub fn distance_as(mut self, name: impl Into<Cow<'t, str>>) -> Self {
        self.distance = name.into();
        self
    }

    /// How the rows are found. Defaults to [`Search::Auto`].
    pub fn search(mut self, search: Search) -> Self {
        self.search = search;
        self
    }

    /// The rows, the nearest first.
    ///
    /// # Errors
    /// As [`fetch_all`](TenantQuery::fetch_all) of a query; [`Error::StatementRefused`] where the column is no
    /// vector.
    ///
    /// # Cancel safety
    /// As [`fetch_all`](TenantQuery::fetch_all) of a query. Dropped inside a transaction, settings of the search by an
    /// index can be left in force until the transaction ends.
    pub async fn fetch_all<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Vec<T>> {
        let (rows, _) = self.send(self.search).await?;
        let (client, step) = (self.query.source.client, self.step());
        rows.iter().map(|row| decode(client, step, row)).collect()
    }

    /// Searches twice, exactly as well, and says how much of the nearest was found.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn recall(mut self) -> Result<Recall> {
        let (exact, _) = self.send(Search::Exact).await?;
        let (found, way) = self.send(self.search).await?;
        let (exact, found) = (self.distances(&exact)?, self.distances(&found)?);
        // Rows that are as far away are as good.
        let furthest = exact.last().copied().unwrap_or(f64::NEG_INFINITY);
        Ok(Recall {
            exact: exact.len(),
            found: found.iter().filter(|distance| **distance <= furthest).count(),
            approximate: way == Way::Approximate,
        })
    }

    fn step(&self) -> Step<'_> {
        Step("search", &self.query.source.table)
    }

    fn distances(&self, rows: &[PgRow]) -> Result<Vec<f64>> {
        let distance = |row: &PgRow| row.try_get(row.len() - 1);
        rows.iter()
            .map(distance)
            .collect::<sqlx::Result<_>>()
            .map_err(|source| Error::of_statement(self.query.source.client, self.step(), source))
    }

    /// The rows, and how they were found.
    async fn send(&mut self, search: Search) -> Result<(Vec<PgRow>, Way)> {
        self.query.expect_sendable()?;
        let span = telemetry::statement(self.query.source.client, "search", &self.query.source.table);
        let sending = async {
            self.query.on.renew().await?;
            if self.way(search).await? == Way::Approximate
                && let Some(rows) = self.approximate().await?
            {
                return Ok((rows, Way::Approximate));
            }
            Ok((self.exact().await?, Way::Exact))
        };
        sending.instrument(span).await
    }

    async fn way(&mut self, search: Search) -> Result<Way> {
        let least = match search {
            Search::Exact => return Ok(Way::Exact),
            Search::Auto => APPROXIMATE_FROM,
            Search::Approximate => 0,
        };
        let indexes = own_indexes(&mut self.query.on).await?;
        let catalogue = self.query.on.catalogue().await?;
        let Some(table) = catalogue.table(&self.query.source.table) else {
            return Ok(Way::Exact);
        };
        let column = VectorColumn {
            schema: table.schema(),
            table: &table.name,
            column: &self.column,
        };
        let own = indexes.find(column, self.query.source.client, self.metric);
        Ok(match own {
            Some(index) if index.valid && index.rows >= least => Way::Approximate,
            _ => Way::Exact,
        })
    }

    async fn exact(&mut self) -> Result<Vec<PgRow>> {
        let Self { query, .. } = self;
        let ranking = Ranking {
            select: &query.verb,
            column: &self.column,
            vector: &*self.vector,
            metric: self.metric,
            rows: self.rows,
            within: self.within,
            distance: &self.distance,
            way: Way::Exact,
        };
        let mut patience = Patience::default();
        loop {
            let sent = send_in(&mut query.on, &query.source, &ranking, Shape::Rows).await;
            if sent.is_ok() || !query.on.follow(&sent, &mut patience).await? {
                return sent;
            }
        }
    }

    /// The rows by the client's own index, unless it was asked for long enough and had too few.
    async fn approximate(&mut self) -> Result<Option<Vec<PgRow>>> {
        let Self { query, .. } = self;
        let ranking = Ranking {
            select: &query.verb,
            column: &self.column,
            vector: &*self.vector,
            metric: self.metric,
            rows: self.rows,
            // What is too far away is left out below: too few rows are a reason to search on.
            within: None,
            distance: &self.distance,
            way: Way::Approximate,
        };
        let (least, most) = CANDIDATES;
        let candidates = u16::try_from((2 * u64::from(self.rows)).clamp(least.into(), most.into()));
        let candidates = candidates.unwrap_or(u16::MAX);
        let mut rows = match &mut query.on {
            On::Tx(tx) => search_inside(tx, &query.source, &ranking, candidates).await?,
            On::Db(db) => match search_alone(db, &query.source, &ranking, candidates).await {
                // The exact search goes where the client is by now.
                Err(Error::Moved { .. } | Error::Relocating { .. }) => return Ok(None),
                searched => searched?,
            },
        };
        if rows.len() < usize::try_from(self.rows).unwrap_or(usize::MAX) {
            return Ok(None);
        }
        if let Some(within) = self.within {
            let distances = self.distances(&rows)?;
            let near = distances
                .iter()
                .take_while(|distance| **distance <= within)
                .count();
            rows.truncate(near);
        }
        Ok(Some(rows))
    }
}

/// In a transaction of its own, which begins with the settings.
async fn search_alone(
    db: &TenantDb,
    source: &Source<'_>,
    ranking: &Ranking<'_, '_>,
    candidates: u16,
) -> Result<Vec<PgRow>> {
    let mut tx = db.begin_with(TransactionOptions::search(candidates)).await?;
    let rows = send_in(&mut On::Tx(&mut tx), source, ranking, Shape::Rows).await?;
    tx.rollback().await?;
    Ok(rows)
}

/// In the caller's transaction, which keeps its own settings. Where the search fails, the transaction has failed.
async fn search_inside(
    tx: &mut TenantTx,
    source: &Source<'_>,
    ranking: &Ranking<'_, '_>,
    candidates: u16,
) -> Result<Vec<PgRow>> {
    let begin = format!("SAVEPOINT tenantry_search; {}", search(candidates));
    tell(tx, source.client, begin).await?;
    let rows = send_in(&mut On::Tx(tx), source, ranking, Shape::Rows).await?;
    let end = "ROLLBACK TO SAVEPOINT tenantry_search; RELEASE SAVEPOINT tenantry_search".to_owned();
    tell(tx, source.client, end).await?;
    Ok(rows)
}

async fn tell(tx: &mut TenantTx, client: ClientId, batch: String) -> Result<()> {
    let timeout = tx.answer_timeout();
    let told = within(
        timeout,
        tx.connection()?.execute(sqlx::raw_sql(AssertSqlSafe(batch))),
    )
    .await;
    tx.note(&told);
    told.map(drop)
        .map_err(|source| Error::of_statement(client, "the settings of a search", source))
}

/// Which clients have indexes of their own, read again from time to time.
async fn own_indexes(on: &mut On<'_>) -> Result<Arc<OwnIndexes>> {
    let cell = on.own_indexes().await?;
    if let Some(known) = cell.known() {
        return Ok(known);
    }
    let client = on.db().id();
    let step = Step("read", "vector indexes");
    let statement = || Statement {
        sql: OWN_INDEXES.to_owned(),
        arguments: PgArguments::default(),
        step,
        mode: Mode::ReadOnly,
        residue: false,
    };
    let mut patience = Patience::default();
    let rows = loop {
        let sent: Result<Vec<PgRow>> = statement().run(on).await;
        if sent.is_ok() || !on.follow(&sent, &mut patience).await? {
            break sent?;
        }
    };
    let indexes: Vec<OwnIndex> = (rows.iter())
        .map(|row| decode(client, step, row))
        .collect::<Result<_>>()?;
    let indexes = Arc::new(OwnIndexes::of(indexes));
    // Another database's, if the client moved just now: then there is another cell.
    on.own_indexes().await?.put(Arc::clone(&indexes));
    Ok(indexes)
}

impl std::fmt::Debug for Nearest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nearest")
            .field("query", &self.query)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}
