use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use futures_util::stream::{self, StreamExt};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Either, Execute, Executor, PgConnection, Postgres, SqlStr};

use super::guard;
use super::tx::TenantTx;
use crate::database::within;
use crate::error::Error;

impl TenantTx {
    /// How long its answers may take, the connection and the query, where the query may run here.
    fn admit<'q, E: Execute<'q, Postgres>>(
        &mut self,
        mut query: E,
    ) -> sqlx::Result<(Option<Duration>, &mut PgConnection, Admitted)> {
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
        let timeout = self.answer_timeout();
        let conn = self.connection_for_host().map_err(Error::into_sqlx)?;
        Ok((
            timeout,
            conn,
            Admitted {
                sql,
                arguments,
                statement,
                persistent,
            },
        ))
    }

    fn admit_text(&mut self, sql: &SqlStr) -> sqlx::Result<(Option<Duration>, &mut PgConnection)> {
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
        let timeout = self.answer_timeout();
        let conn = self.connection_for_host().map_err(Error::into_sqlx)?;
        Ok((timeout, conn))
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
            Ok((timeout, conn, query)) => each_within(timeout, conn.fetch_many(query)),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        match self.admit(query) {
            Ok((timeout, conn, query)) => Box::pin(within(timeout, conn.fetch_optional(query))),
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
            Ok((timeout, conn)) => Box::pin(within(timeout, conn.prepare_with(sql, parameters))),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'c: 'e,
    {
        match self.admit_text(&sql) {
            Ok((timeout, conn)) => Box::pin(within(timeout, conn.describe(sql))),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}
