use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::stream::{self, StreamExt};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use super::guard;
use super::standing::Standing;
use super::tx::TenantTx;
use crate::database::{StatementLog, within};
use crate::error::Error;

impl TenantTx {
    /// The way to the server and the query, where the query may run here.
    fn admit<'q, E: Execute<'q, Postgres>>(&mut self, mut query: E) -> sqlx::Result<(Way<'_>, Admitted)> {
        let client = self.db.id();
        let pooled = self.is_pooled();
        // A statement that was prepared before has a name, and behind a pooler nobody who knows it.
        let statement = query.statement().filter(|_| !pooled).cloned();
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let persistent = query.persistent() && !pooled;
        let sql = query.sql();
        // Without arguments sqlx sends the simple protocol, which takes several statements in one text.
        let refused = match arguments {
            None => Some("its text is sent unprepared and may hold several statements; use sqlx::query"),
            Some(_) => guard::refusal(sql.as_str()),
        };
        if let Some(reason) = refused {
            let what = sql.as_str().chars().take(80).collect();
            return Err(Error::StatementRefused { client, what, reason }.into_sqlx());
        }
        if guard::sets_statement_timeout(sql.as_str()) {
            self.expect_patience();
        }
        let way = self.way(Some(&sql))?;
        Ok((
            way,
            Admitted {
                sql,
                arguments,
                statement,
                persistent,
            },
        ))
    }

    fn admit_text(&mut self, sql: &SqlStr) -> sqlx::Result<Way<'_>> {
        let named = self.is_pooled().then_some(NAMED);
        if let Some(reason) = guard::refusal(sql.as_str()).or(named) {
            let what = sql.as_str().chars().take(80).collect();
            return Err(Error::StatementRefused {
                client: self.db.id(),
                what,
                reason,
            }
            .into_sqlx());
        }
        self.way(None)
    }

    fn way(&mut self, run: Option<&SqlStr>) -> sqlx::Result<Way<'_>> {
        let (timeout, log) = (self.answer_timeout(), run.and_then(|sql| self.log(sql.clone())));
        let (conn, standing) = self.connection_for_host().map_err(Error::into_sqlx)?;
        let witness = Witness { standing, log };
        Ok(Way {
            timeout,
            conn,
            witness,
        })
    }
}

/// Where a statement of the host goes, and how long its answers may take.
struct Way<'t> {
    timeout: Option<Duration>,
    conn: &'t mut PgConnection,
    witness: Witness<'t>,
}

/// Who is to know of the answers.
struct Witness<'t> {
    standing: &'t mut Standing,
    log: Option<StatementLog<SqlStr>>,
}

impl Witness<'_> {
    fn note<T>(&mut self, answered: &sqlx::Result<T>) {
        self.standing.note(answered);
        if let Some(log) = &mut self.log {
            log.note(answered);
        }
    }

    /// The answer, if it comes in time, noted.
    async fn of<T>(
        mut self,
        timeout: Option<Duration>,
        answer: impl Future<Output = sqlx::Result<T>>,
    ) -> sqlx::Result<T> {
        let answered = within(timeout, answer).await;
        self.note(&answered);
        answered
    }
}

/// Why nothing is prepared by itself behind a pooler.
const NAMED: &str =
    "it would be prepared under a name, which a transaction pooler gives to others; run it instead";

/// A query that was looked at and passes.
struct Admitted {
    sql: SqlStr,
    arguments: Option<PgArguments>,
    statement: Option<PgStatement>,
    persistent: bool,
}

impl Execute<'_, Postgres> for Admitted {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.statement.as_ref()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}

/// The answers, each of which may take so long.
fn each_within<'e, T: Send + 'e>(
    timeout: Option<Duration>,
    answers: BoxStream<'e, sqlx::Result<T>>,
) -> BoxStream<'e, sqlx::Result<T>> {
    if timeout.is_none() {
        return answers;
    }
    let next = move |mut answers: BoxStream<'e, sqlx::Result<T>>| async move {
        let next = within(timeout, async { answers.next().await.transpose() }).await;
        next.transpose().map(|answer| (answer, answers))
    };
    stream::unfold(answers, next).boxed()
}

impl<'c> Executor<'c> for &'c mut TenantTx {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.admit(query) {
            Ok((way, query)) => {
                let mut witness = way.witness;
                each_within(way.timeout, way.conn.fetch_many(query))
                    .inspect(move |answered| witness.note(answered))
                    .boxed()
            }
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.admit(query) {
            Ok((way, query)) => Box::pin(way.witness.of(way.timeout, way.conn.fetch_optional(query))),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        match self.admit_text(&sql) {
            Ok(way) => Box::pin(
                way.witness
                    .of(way.timeout, way.conn.prepare_with(sql, parameters)),
            ),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        match self.admit_text(&sql) {
            Ok(way) => Box::pin(way.witness.of(way.timeout, way.conn.describe(sql))),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}
