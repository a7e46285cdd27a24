//! A pool database of many clients' vectors, and the same rows in tables with one index for all of them.

#![expect(
    clippy::disallowed_methods,
    reason = "copies rows, and searches past the library"
)]

use std::collections::HashSet;

use pgvector::Vector;
use sqlx::migrate::{Migration, Migrator};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqlSafeStr};
use tenantry::testing::{Fixture, PgServer};
use tenantry::{ClientConnectionManager, ClientId, ConnectionOptions, TenantDb, VectorIndex};

use super::embeddings::World;
use super::{backend, chunks};

static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) clients: u32,
    /// Of the largest client. The one of rank r has this by r to the power of the exponent, and no fewer than 20.
    pub(crate) rows: u32,
    pub(crate) exponent: f64,
    pub(crate) dimensions: usize,
    /// Of each client that is searched.
    pub(crate) queries: usize,
}

/// A client that is searched.
#[derive(Clone, Debug)]
pub(crate) struct Searched {
    pub(crate) id: ClientId,
    pub(crate) rows: u32,
    pub(crate) queries: Vec<Vector>,
    /// Those of the agent, who has a tenth.
    documents: Vec<Uuid>,
}

pub(crate) struct Library {
    pub(crate) fixture: Fixture,
    pub(crate) manager: ClientConnectionManager,
    pub(crate) admin: PgConnection,
    database: String,
    /// Of the manager's connection, once it is there.
    pid: Option<i32>,
    pub(crate) total: u32,
    pub(crate) largest: Vec<ClientId>,
    pub(crate) searched: Vec<Searched>,
}

/// The rows that a search asks for.
pub(crate) const WANTED: usize = 10;

const OF_AGENT: &str = "select ad.document_id from agents a
    join agent_documents ad on ad.client_id = $1 and ad.agent_id = a.id
    where a.client_id = $1 and a.slug = 'tenth'";

impl Library {
    /// Adds all rows, and chooses the clients whose sizes are nearest to those.
    pub(crate) async fn fill(scale: Scale, sizes: &[u32]) -> Self {
        let server = PgServer::shared().await.unwrap();
        let capacity = i32::try_from(scale.clients).unwrap();
        let fixture = Fixture::on(server, host(scale.dimensions), capacity, None)
            .await
            .unwrap();
        let options = fixture
            .manager_options()
            .pool_connections(ConnectionOptions::default().max_connections(1));
        let manager = ClientConnectionManager::connect(options).await.unwrap();
        let database = fixture.database("pool-1");
        let mut admin = PgConnection::connect_with(&fixture.admin_options(&database))
            .await
            .unwrap();

        let rows: Vec<u32> = (1..=scale.clients).map(|rank| rows_of(scale, rank)).collect();
        let chosen: Vec<usize> = sizes
            .iter()
            .map(|size| {
                (0..rows.len())
                    .min_by_key(|rank| rows[*rank].abs_diff(*size))
                    .unwrap()
            })
            .collect();
        let world = World::new(scale.dimensions);
        let (mut ids, mut searched) = (Vec::new(), Vec::new());
        for (rank, rows) in rows.iter().enumerate() {
            let id = fixture.shared_client(&format!("client-{rank}")).await.unwrap().id;
            let number = u64::try_from(rank).unwrap();
            let mut mixture = world.client(number, usize::try_from(*rows).unwrap());
            chunks::add(&mut admin, id, number, *rows, &mut mixture).await;
            if chosen.contains(&rank) {
                let queries = (0..scale.queries).map(|_| Vector::from(mixture.next())).collect();
                let documents = sqlx::query_scalar(OF_AGENT)
                    .bind(id)
                    .fetch_all(&mut admin)
                    .await
                    .unwrap();
                searched.push(Searched {
                    id,
                    rows: *rows,
                    queries,
                    documents,
                });
            }
            ids.push((id, *rows));
        }
        searched.sort_by_key(|client| client.rows);
        sqlx::raw_sql("vacuum analyze document_chunks, documents, agents, agent_documents")
            .execute(&mut admin)
            .await
            .unwrap();
        Self {
            fixture,
            manager,
            admin,
            database,
            pid: None,
            total: rows.iter().sum(),
            largest: ids
                .iter()
                .filter(|(_, rows)| *rows >= 4_000)
                .map(|(id, _)| *id)
                .collect(),
            searched,
        }
    }

    /// Gives each large client an index of its own.
    pub(crate) async fn promote(&self) {
        let index = VectorIndex::new("document_chunks", "embedding").maintenance_memory_mb(512);
        for client in &self.largest {
            self.fixture
                .platform()
                .promote_vectors(*client, &index)
                .await
                .unwrap();
        }
    }

    /// The same rows in a table with an index for all: made before the rows where it is to be as a migration
    /// leaves it.
    pub(crate) async fn copy(&mut self, shared: Shared) {
        let table = shared.table();
        let app = self.fixture.app_role();
        let make = format!(
            "create table {table} (client_id uuid not null, id uuid primary key, document_id uuid not null,
                                   embedding vector not null);
             alter table {table} alter embedding set storage main, set (toast_tuple_target = 8160);
             alter table {table} alter embedding type vector({dimensions});
             grant select on {table} to {app}",
            dimensions = self.searched[0].queries[0].as_slice().len(),
        );
        let fill = format!(
            "insert into {table} select client_id, id, document_id, embedding from document_chunks order by id"
        );
        let steps = match shared {
            Shared::Ivfflat => [
                format!(
                    "create index on {table} using ivfflat (embedding vector_cosine_ops) with (lists = 100)"
                ),
                fill,
            ],
            Shared::Hnsw => [
                fill,
                format!(
                    "set maintenance_work_mem = '1GB'; create index on {table} using hnsw (embedding vector_cosine_ops)"
                ),
            ],
        };
        for sql in [make].into_iter().chain(steps) {
            sqlx::raw_sql(AssertSqlSafe(sql))
                .execute(&mut self.admin)
                .await
                .unwrap();
        }
        sqlx::raw_sql(AssertSqlSafe(format!("vacuum analyze {table}")))
            .execute(&mut self.admin)
            .await
            .unwrap();
    }

    /// The ids of the nearest rows, by reading all of the client's.
    pub(crate) async fn truth(&mut self, client: &Searched, query: &Vector, scoped: bool) -> HashSet<Uuid> {
        let scope = scope(scoped);
        let sql = format!(
            "select id from document_chunks where client_id = $1 {scope} order by (embedding <=> $2) + 0 limit {WANTED}"
        );
        let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(client.id)
            .bind(query)
            .bind(&client.documents)
            .fetch_all(&mut self.admin)
            .await
            .unwrap();
        ids.into_iter().collect()
    }

    /// Who searches through the library, on the one connection of the manager.
    pub(crate) async fn ours(&mut self, client: &Searched, way: Way) -> Searcher {
        let db = self.manager.tenant(client.id).await.unwrap();
        let pid = if let Some(pid) = self.pid {
            pid
        } else {
            db.query("agents").count().await.unwrap();
            let pids = backend::pids(&self.fixture, &self.database).await;
            assert_eq!(pids.len(), 1, "nobody else is connected as yet");
            *self.pid.insert(pids[0])
        };
        Searcher {
            pid,
            by: match way {
                Way::Function => By::Function(db),
                _ => By::Builder(db),
            },
        }
    }

    /// Who searches the index of all, on a connection of its own.
    pub(crate) async fn theirs(&self, client: &Searched, shared: Shared) -> Searcher {
        let mut conn = PgConnection::connect_with(&self.fixture.app_options(&self.database))
            .await
            .unwrap();
        let pid = sqlx::query_scalar("select pg_backend_pid()")
            .fetch_one(&mut conn)
            .await
            .unwrap();
        sqlx::raw_sql("set enable_seqscan = off")
            .execute(&mut conn)
            .await
            .unwrap();
        Searcher {
            pid,
            by: By::Hand {
                conn,
                client: client.clone(),
                table: shared.table(),
            },
        }
    }

    pub(crate) async fn close(self) {
        self.manager.close().await;
        self.admin.close().await.unwrap();
        self.fixture.close().await;
    }
}

/// How a client's rows are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Builder,
    Function,
    /// Past the library.
    Shared(Shared),
}

/// One index for all clients' rows, filtered behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// Built on the empty table.
    Ivfflat,
    Hnsw,
}

impl Shared {
    pub(crate) const ALL: [Self; 2] = [Self::Ivfflat, Self::Hnsw];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ivfflat => "one ivfflat for all",
            Self::Hnsw => "one HNSW for all",
        }
    }

    const fn table(self) -> &'static str {
        match self {
            Self::Ivfflat => "chunks_ivfflat",
            Self::Hnsw => "chunks_hnsw",
        }
    }
}

pub(crate) struct Searcher {
    pid: i32,
    by: By,
}

enum By {
    Builder(TenantDb),
    /// `match_documents` of the reference platform.
    Function(TenantDb),
    Hand {
        conn: PgConnection,
        client: Searched,
        table: &'static str,
    },
}

impl Searcher {
    /// Of the server process that answers it, so far. `None` where the machine does not tell.
    pub(crate) fn seconds_on_cpu(&self) -> Option<f64> {
        backend::seconds_on_cpu(self.pid)
    }

    pub(crate) async fn search(&mut self, query: &Vector, scoped: bool) -> Vec<Uuid> {
        match &mut self.by {
            By::Builder(db) => {
                let mut chunks = db.query("document_chunks").columns(["id"]);
                if scoped {
                    let given = db
                        .query("agent_documents")
                        .columns(["document_id"])
                        .join("agents")
                        .eq("agents.slug", "tenth");
                    chunks = chunks.is_in_query("document_id", given);
                }
                let rows: Vec<(Uuid,)> = chunks
                    .nearest("embedding", query.clone())
                    .fetch_all()
                    .await
                    .unwrap();
                rows.into_iter().map(|(id,)| id).collect()
            }
            By::Function(db) => {
                let mut call = db
                    .rpc("match_documents")
                    .arg("p_query_embedding", query.clone())
                    .arg("p_match_threshold", -1.0);
                if scoped {
                    call = call.arg("p_agent_slug", "tenth");
                }
                let rows: Vec<(Uuid,)> = call.fetch_all().await.unwrap();
                rows.into_iter().map(|(id,)| id).collect()
            }
            By::Hand { conn, client, table } => {
                let scope = scope(scoped);
                let sql = format!(
                    "select id from {table} where client_id = $1 {scope} order by embedding <=> $2 limit {WANTED}"
                );
                sqlx::query_scalar(AssertSqlSafe(sql))
                    .bind(client.id)
                    .bind(query)
                    .bind(&client.documents)
                    .fetch_all(conn)
                    .await
                    .unwrap()
            }
        }
    }
}

/// The parameter is bound in any case.
const fn scope(scoped: bool) -> &'static str {
    if scoped {
        "and document_id = any ($3)"
    } else {
        "and $3::uuid[] is not null"
    }
}

/// The reference platform's migrations, for vectors of so many dimensions.
fn host(dimensions: usize) -> &'static Migrator {
    let migrations = HOST.iter().map(|migration| {
        let sql = migration.sql.as_str().replace("1024", &dimensions.to_string());
        Migration::new(
            migration.version,
            migration.description.clone(),
            migration.migration_type,
            AssertSqlSafe(sql).into_sql_str(),
            migration.no_tx,
        )
    });
    Box::leak(Box::new(Migrator::with_migrations(migrations.collect())))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "fewer than the largest has"
)]
fn rows_of(scale: Scale, rank: u32) -> u32 {
    let rows = f64::from(scale.rows) / f64::from(rank).powf(scale.exponent);
    // The last is as small as any.
    if rank == scale.clients {
        20
    } else {
        (rows as u32).max(20)
    }
}
