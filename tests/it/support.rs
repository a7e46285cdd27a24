//! What the tests share: the reference platform's migrations and its rows.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::expect_used,
    reason = "attacks by raw SQL, as a client's transaction and as the app role itself, and is of tests alone"
)]

use pgvector::Vector;
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use tenantry::{ClientId, Error, TenantDb, TenantTx};
use uuid::Uuid;

/// The host's migrations of the reference platform.
pub(crate) static HOST: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

/// Its tenant tables, parents first.
pub(crate) const TABLES: [&str; 7] = [
    "agents",
    "documents",
    "agent_documents",
    "document_chunks",
    "conversations",
    "conversation_transcripts",
    "user_overviews",
];

/// The ids of one row of every tenant table, linked to each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows {
    pub(crate) agent: Uuid,
    pub(crate) document: Uuid,
    pub(crate) chunk: Uuid,
    pub(crate) conversation: Uuid,
    pub(crate) transcript: Uuid,
    pub(crate) overview: Uuid,
}

impl Rows {
    /// A column that names the row of the table, and the value of it.
    pub(crate) fn of(&self, table: &str) -> (&'static str, Uuid) {
        match table {
            "agents" => ("id", self.agent),
            "documents" => ("id", self.document),
            "agent_documents" => ("document_id", self.document),
            "document_chunks" => ("id", self.chunk),
            "conversations" => ("id", self.conversation),
            "conversation_transcripts" => ("id", self.transcript),
            "user_overviews" => ("id", self.overview),
            other => panic!("no table {other}"),
        }
    }
}

/// Adds a row to every tenant table. The agent is `guide`, the user `ada`; every other text holds the mark.
pub(crate) async fn fill(db: &TenantDb, mark: &str) -> tenantry::Result<Rows> {
    let text = |what: &str| format!("{what} of {mark}");
    let (agent,): (Uuid,) = db
        .insert("agents")
        .set("slug", "guide")
        .set("name", text("agent"))
        .returning(["id"])
        .fetch_one()
        .await?;
    let (document,): (Uuid,) = db
        .insert("documents")
        .set("title", text("document"))
        .returning(["id"])
        .fetch_one()
        .await?;
    db.insert("agent_documents")
        .set("agent_id", agent)
        .set("document_id", document)
        .execute()
        .await?;
    let (chunk,): (Uuid,) = db
        .insert("document_chunks")
        .set("document_id", document)
        .set("chunk_index", 0)
        .set("content", text("chunk"))
        .set("embedding", embedding())
        .returning(["id"])
        .fetch_one()
        .await?;
    let (conversation,): (Uuid,) = db
        .insert("conversations")
        .set("user_id", "ada")
        .set("agent_id", agent)
        .set("title", text("conversation"))
        .returning(["id"])
        .fetch_one()
        .await?;
    let (transcript,): (Uuid,) = db
        .insert("conversation_transcripts")
        .set("conversation_id", conversation)
        .set("agent_id", agent)
        .set("user_id", "ada")
        .set("role", "user")
        .set("content", text("transcript"))
        .set("embedding", embedding())
        .returning(["id"])
        .fetch_one()
        .await?;
    let (overview,): (Uuid,) = db
        .insert("user_overviews")
        .set("user_id", "ada")
        .set("agent_id", agent)
        .set("overview", serde_json::json!({ "of": mark }))
        .returning(["id"])
        .fetch_one()
        .await?;
    Ok(Rows {
        agent,
        document,
        chunk,
        conversation,
        transcript,
        overview,
    })
}

/// The embedding of every row that has one.
pub(crate) fn embedding() -> Vector {
    let mut values = vec![0.0; 1024];
    values[0] = 1.0;
    Vector::from(values)
}

/// What raw SQL brought: the first column of its rows as text, or why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Rows(Vec<String>),
    /// The SQLSTATE, or `guard` where the library did not send it.
    Refused(String),
}

impl Reply {
    pub(crate) fn one(text: impl Into<String>) -> Self {
        Self::Rows(vec![text.into()])
    }

    pub(crate) fn refused(code: &str) -> Self {
        Self::Refused(code.to_owned())
    }

    fn of(result: sqlx::Result<Vec<PgRow>>) -> Self {
        match result {
            Ok(rows) => Self::Rows(rows.iter().map(first_column).collect()),
            Err(sqlx::Error::AnyDriverError(error))
                if matches!(error.downcast_ref(), Some(Error::StatementRefused { .. })) =>
            {
                Self::refused("guard")
            }
            Err(error) => match error.as_database_error().and_then(DatabaseError::code) {
                Some(code) => Self::refused(&code),
                None => panic!("neither rows nor a refusal: {error:?}"),
            },
        }
    }
}

fn first_column(row: &PgRow) -> String {
    if row.is_empty() {
        return String::new();
    }
    let text: Option<String> = row
        .try_get_unchecked(0)
        .expect("the statement casts its column to text");
    text.unwrap_or_default()
}

/// Raw SQL inside the transaction.
pub(crate) async fn ask(tx: &mut TenantTx, sql: impl Into<String>) -> Reply {
    Reply::of(sqlx::query(AssertSqlSafe(sql.into())).fetch_all(tx).await)
}

/// Raw SQL in a transaction of its own, committed where it did not fail.
pub(crate) async fn ask_alone(db: &TenantDb, sql: impl Into<String>) -> tenantry::Result<Reply> {
    let mut tx = db.begin().await?;
    let reply = ask(&mut tx, sql).await;
    match reply {
        Reply::Rows(_) => tx.commit().await?,
        Reply::Refused(_) => tx.rollback().await?,
    }
    Ok(reply)
}

/// Raw SQL on a connection of sqlx's own.
pub(crate) async fn ask_plainly(conn: &mut PgConnection, sql: impl Into<String>) -> Reply {
    Reply::of(sqlx::query(AssertSqlSafe(sql.into())).fetch_all(conn).await)
}

/// A ticket that the pool's kernel admits for an hour on the backend of that pid in that turn, or on any where
/// both are 0: what the library makes, made by the admin role.
pub(crate) async fn ticket(
    admin: &mut PgConnection,
    client: ClientId,
    pid: i32,
    turn: i64,
) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "select f.fields || encode(tenantry.mac(k.inner_pad, k.outer_pad, convert_to(f.fields, 'UTF8')), 'hex')
         from tenantry.scope_keys k
         cross join tenantry.placement p
         cross join lateral (select lpad(to_hex(k.key_id), 8, '0') || replace(p.client_id::text, '-', '')
                                 || lpad(to_hex(p.epoch), 16, '0') || lpad(to_hex($2::int4), 8, '0')
                                 || lpad(to_hex($3::int8), 16, '0')
                                 || lpad(to_hex(extract(epoch from now())::int8 + 3600), 16, '0') as fields) f
         where p.client_id = $1",
    )
    .bind(client)
    .bind(pid)
    .bind(turn)
    .fetch_one(admin)
    .await
}

/// What shows the kernel a ticket. Its answer, without the next turn behind it.
pub(crate) fn enter(ticket: &str) -> String {
    format!("select split_part(tenantry.enter('{ticket}'), ' ', 1)")
}

/// The backend of the transaction's session and the turn of its next ticket. It is bound to nobody from then on.
pub(crate) async fn hello(tx: &mut TenantTx) -> sqlx::Result<(i32, i64)> {
    sqlx::query_as("select pid, turn from tenantry.hello()")
        .fetch_one(tx)
        .await
}
