use tracing::Instrument;

use super::counted::Counted;
use super::notes::Compared;
use super::run::{Answer, On, Statement, Step, rendered};
use super::source::Source;
use super::tenant_query::TenantQuery;
use super::verb::sealed::Verb;
use super::verb::{Adds, Shape};
use super::writer::{Spelt, Writer};
use crate::database::Mode;
use crate::error::{self, Error, Result};
use crate::schema::Catalogue;
use crate::telemetry;
use crate::tenant::{Patience, TenantTx};

impl<V: Verb> TenantQuery<'_, V> {
    pub(super) fn step(&self) -> Step<'_> {
        Step(V::NAME, &self.source.table)
    }

    /// Sends the statement, in as many as it needs.
    pub(super) async fn send<A: Answer>(&mut self, shape: Shape) -> Result<A> {
        self.expect_sendable()?;
        let span = telemetry::statement(self.source.client, V::NAME, &self.source.table);
        // What is too much for one statement. All of it is kept until all of it was sent.
        let mut rest = Vec::new();
        while let Some(more) = rest.last_mut().unwrap_or(&mut self.verb).split() {
            rest.push(more);
        }
        let sending = async {
            let mut patience = Patience::default();
            loop {
                let sent = self.send_here(&rest, shape).await;
                // Refused where its client was, nothing of it was done.
                if sent.is_ok() || !self.on.follow(&sent, &mut patience).await? {
                    return sent;
                }
            }
        };
        sending.instrument(span).await
    }

    /// Sends it where its client is, as far as that is known.
    async fn send_here<A: Answer>(&mut self, rest: &[V], shape: Shape) -> Result<A> {
        self.on.renew().await?;
        if self.counts().await? {
            // Boxed, so that the few that are counted, or many, do not enlarge the state of all.
            return Box::pin(self.send_counted(rest, shape)).await;
        }
        if rest.is_empty() {
            return send_in(&mut self.on, &self.source, &self.verb, shape).await;
        }
        Box::pin(self.send_all(rest, shape)).await
    }

    /// The first error of the calls, if there was one.
    pub(super) fn expect_sendable(&mut self) -> Result<()> {
        self.source.take_error()?;
        match (self.verb.needs_transaction(), &self.on) {
            (Some(reason), On::Db(_)) => Err(Error::StatementRefused {
                client: self.source.client,
                what: self.step().into(),
                reason,
            }),
            _ => Ok(()),
        }
    }

    /// Whether what it adds counts towards a limit of the client.
    pub(super) async fn counts(&self) -> Result<bool> {
        let may =
            self.verb.adds().is_some() && self.on.db().tenant.plans.counted.may_have(&self.source.table);
        // Boxed, so that tables that are not counted do not pay for those that are.
        Ok(may
            && Box::pin(Counted::of_table(&self.on, &self.source.table))
                .await?
                .is_some())
    }

    /// Sends a write in the transaction that counts what it adds.
    async fn send_counted<A: Answer>(&mut self, rest: &[V], shape: Shape) -> Result<A> {
        let adds = self.verb.adds();
        let parts = Parts {
            rest,
            source: &self.source,
            first: &self.verb,
            shape,
        };
        match &mut self.on {
            On::Tx(tx) => parts.send_counted(tx, adds).await,
            On::Db(db) => {
                let mut tx = db.begin().await?;
                let sent = parts.send_counted(&mut tx, adds).await;
                end(tx, sent).await
            }
        }
    }

    /// Sends one statement after the other, in one transaction.
    async fn send_all<A: Answer>(&mut self, rest: &[V], shape: Shape) -> Result<A> {
        let parts = Parts {
            source: &self.source,
            first: &self.verb,
            rest,
            shape,
        };
        match &mut self.on {
            On::Tx(tx) => parts.send(&mut On::Tx(tx)).await,
            On::Db(db) => {
                let mut tx = db.begin().await?;
                let answer = parts.send(&mut On::Tx(&mut tx)).await?;
                tx.commit().await?;
                Ok(answer)
            }
        }
    }
}

/// A statement that is too much for one.
struct Parts<'q, 't, V> {
    source: &'q Source<'t>,
    first: &'q V,
    rest: &'q [V],
    shape: Shape,
}

impl<V: Verb> Parts<'_, '_, V> {
    async fn send<A: Answer>(self, on: &mut On<'_>) -> Result<A> {
        let mut answer: A = send_in(on, self.source, self.first, self.shape).await?;
        for part in self.rest {
            answer.add(send_in(on, self.source, part, self.shape).await?);
        }
        Ok(answer)
    }
}

impl<V: Verb> Parts<'_, '_, V> {
    /// Sends it where what it adds is allowed, by what the client of the transaction may have.
    async fn send_counted<A: Answer>(self, tx: &mut TenantTx, adds: Option<Adds>) -> Result<A> {
        let counted = Counted::of_table(&On::Tx(tx), &self.source.table).await?;
        let (Some(counted), Some(adds)) = (counted, adds) else {
            return self.send(&mut On::Tx(tx)).await;
        };
        let before = counted.admit(tx, adds).await?;
        let answer = self.send(&mut On::Tx(tx)).await?;
        if let Some(before) = before {
            counted.check(tx, &before).await?;
        }
        Ok(answer)
    }
}

/// Commits what was sent in a transaction of its own; rolls back, and waits for it, where that failed.
pub(super) async fn end<A>(tx: TenantTx, sent: Result<A>) -> Result<A> {
    match sent {
        Ok(answer) => tx.commit().await.map(|()| answer),
        Err(failed) => {
            // Where that fails, the server rolls back by itself.
            let _ = tx.rollback().await;
            Err(failed)
        }
    }
}

pub(super) async fn send_in<A: Answer, V: Verb>(
    on: &mut On<'_>,
    source: &Source<'_>,
    verb: &V,
    shape: Shape,
) -> Result<A> {
    let statement = statement(on, source, verb, shape).await?;
    match statement.run(on).await {
        Err(failed) => Err(told(on, source, verb, shape, failed).await),
        answer => answer,
    }
}

/// The error, which says which column it was where the database says no more than that some type is wrong.
pub(super) async fn told<V: Verb>(
    on: &On<'_>,
    source: &Source<'_>,
    verb: &V,
    shape: Shape,
    failed: Error,
) -> Error {
    if error::is_of_types(&failed) {
        return Box::pin(mismatched(on, source, verb, shape, failed)).await;
    }
    failed
}

/// The statement as the database that it goes to takes it.
pub(super) async fn statement<'s, V: Verb>(
    on: &On<'_>,
    source: &'s Source<'_>,
    verb: &V,
    shape: Shape,
) -> Result<Statement<'s>> {
    let scoped = on.db().is_scoped();
    let spelt = rendered(on, |catalogue| spell(source, verb, catalogue, scoped, shape)).await?;
    let residue = spelt.runs_code;
    let (sql, arguments) = spelt.sent();
    Ok(Statement {
        sql,
        arguments,
        step: Step(V::NAME, &source.table),
        mode: if V::WRITES || verb.needs_transaction().is_some() {
            Mode::ReadWrite
        } else {
            Mode::ReadOnly
        },
        residue,
    })
}

pub(super) fn spell<V: Verb>(
    source: &Source<'_>,
    verb: &V,
    catalogue: &Catalogue,
    scoped: bool,
    shape: Shape,
) -> Result<Spelt> {
    let mut writer = Writer::new(source.client, catalogue, scoped);
    verb.write(source, &mut writer, shape)?;
    writer.finish()
}

/// The error with the column whose type is not that of its value, where one is found.
async fn mismatched<V: Verb>(
    on: &On<'_>,
    source: &Source<'_>,
    verb: &V,
    shape: Shape,
    failed: Error,
) -> Error {
    let Ok(catalogue) = on.catalogue().await else {
        return failed;
    };
    let mut writer = Writer::new(source.client, &catalogue, on.db().is_scoped());
    writer.take_notes();
    let spelt = verb
        .write(source, &mut writer, shape)
        .and_then(|()| writer.finish());
    let compared = spelt.map(|spelt| spelt.notes.compared).unwrap_or_default();
    match (compared.into_iter().find(Compared::is_of_another_kind), failed) {
        (Some(compared), Error::Statement { source: cause, .. }) => Error::TypeMismatch {
            client: source.client,
            table: source.table.clone().into_owned(),
            column: compared.column,
            expected: compared.type_sql,
            given: sqlx::TypeInfo::name(&compared.given).to_owned(),
            source: cause,
        },
        (_, failed) => failed,
    }
}
