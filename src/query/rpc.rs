use std::borrow::Cow;
use std::fmt;

use sqlx::FromRow;
use sqlx::postgres::{PgQueryResult, PgRow};
use tracing::Instrument;

use super::bind::{Bind, BoxedValue, boxed, held};
use super::fetch::Scalar;
use super::run::{Answer, On, Statement, Step, decode, rendered};
use super::source::Source;
use super::writer::{Spelt, Writer};
use crate::database::Mode;
use crate::error::{Error, Result};
use crate::schema::{CLIENT_PARAMETER, Catalogue, Function, nearest_name};
use crate::telemetry;
use crate::tenant::{Patience, TenantDb, TenantTx};

/// A call of a function or procedure of the client's database, by name and with named arguments.
///
/// `p_client_id` is supplied where the function takes it, on a pool database and on a dedicated one; a
/// caller who gives it gives the client's own or gets [`Error::ForeignClient`]. A result column named
/// `client_id` is not shown. Functions that run with their owner's rights (SECURITY DEFINER) are
/// refused on a pool database, past whose row-level security they run, unless they are
/// [allowed by name](crate::ManagerOptions::allow_security_definer).
///
/// ```no_run
/// # async fn example(acme: tenantry::TenantDb) -> tenantry::Result<()> {
/// let matches: Vec<(uuid::Uuid, String)> = acme
///     .rpc("match_documents")
///     .arg("p_agent_slug", "guide")
///     .arg("p_match_count", 5)
///     .fetch_all()
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a call does nothing until it is fetched or executed"]
pub struct Rpc<'t> {
    on: On<'t>,
    /// The function stands where a table would.
    pub(super) source: Source<'t>,
    given: Vec<(Cow<'t, str>, BoxedValue<'t>)>,
}

impl TenantDb {
    /// Calls a function or procedure.
    pub fn rpc<'t>(&self, function: impl Into<Cow<'t, str>>) -> Rpc<'t> {
        Rpc::new(On::Db(self.clone()), function.into())
    }
}

impl TenantTx {
    /// Calls a function or procedure, inside the transaction.
    pub fn rpc<'t>(&'t mut self, function: impl Into<Cow<'t, str>>) -> Rpc<'t> {
        Rpc::new(On::Tx(self), function.into())
    }
}

impl<'t> Rpc<'t> {
    fn new(on: On<'t>, function: Cow<'t, str>) -> Self {
        let source = Source::new(on.db().id(), function);
        Self {
            on,
            source,
            given: Vec::new(),
        }
    }

    /// Gives a parameter its value. Those left out take their defaults.
    pub fn arg(mut self, parameter: impl Into<Cow<'t, str>>, value: impl Bind<'t>) -> Self {
        let parameter = parameter.into();
        if parameter == CLIENT_PARAMETER {
            self.source.expect_own_client(&held(value));
        } else {
            self.given.push((parameter, boxed(value)));
        }
        self
    }

    /// All rows of the result; a scalar function has one of one column.
    ///
    /// # Errors
    /// [`Error::UnknownFunction`], [`Error::StatementRefused`], [`Error::ForeignClient`] and
    /// [`Error::Encode`] before anything is sent; those of [`begin`](TenantDb::begin);
    /// [`Error::Statement`] where the database refuses the call or a row does not decode.
    ///
    /// # Cancel safety
    /// Dropped, a call outside a transaction took effect as a whole or not at all. The server may go on with
    /// it until its timeout.
    pub async fn fetch_all<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Vec<T>> {
        let rows: Vec<PgRow> = self.send().await?;
        let (client, step) = (self.source.client, self.step());
        rows.iter().map(|row| decode(client, step, row)).collect()
    }

    /// The first row of the result, if there is one.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_optional<T: for<'r> FromRow<'r, PgRow>>(mut self) -> Result<Option<T>> {
        let row: Option<PgRow> = self.send().await?;
        row.as_ref()
            .map(|row| decode(self.source.client, self.step(), row))
            .transpose()
    }

    /// The first row of the result.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all), and [`Error::RowNotFound`].
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_one<T: for<'r> FromRow<'r, PgRow>>(self) -> Result<T> {
        let (client, what) = (self.source.client, self.source.table.clone().into_owned());
        self.fetch_optional()
            .await?
            .ok_or(Error::RowNotFound { client, what })
    }

    /// What a scalar function answers: the first column of the first row.
    ///
    /// # Errors
    /// As [`fetch_one`](Self::fetch_one).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn fetch_scalar<T: Scalar>(self) -> Result<T> {
        self.fetch_one().await.map(|(value,)| value)
    }

    /// Calls, and drops the result.
    ///
    /// # Errors
    /// As [`fetch_all`](Self::fetch_all).
    ///
    /// # Cancel safety
    /// As [`fetch_all`](Self::fetch_all).
    pub async fn execute(mut self) -> Result<()> {
        self.send::<PgQueryResult>().await.map(drop)
    }

    /// Calls, and again where its client is now if it had moved.
    async fn send<A: Answer>(&mut self) -> Result<A> {
        self.source.take_error()?;
        let span = telemetry::statement(self.source.client, "call", &self.source.table);
        let sending = async {
            self.on.renew().await?;
            let mut patience = Patience::default();
            loop {
                let sent = self.send_here().await;
                if sent.is_ok() || !self.on.follow(&sent, &mut patience).await? {
                    return sent;
                }
            }
        };
        sending.instrument(span).await
    }

    async fn send_here<A: Answer>(&mut self) -> Result<A> {
        let scoped = self.on.db().is_scoped();
        let this = &*self;
        let (spelt, mode) = rendered(&this.on, |catalogue| this.spell(catalogue, scoped)).await?;
        let (sql, arguments) = spelt.sent();
        let statement = Statement {
            sql,
            arguments,
            step: Step("call", &self.source.table),
            mode,
            residue: true,
        };
        statement.run(&mut self.on).await
    }

    /// The call on this database, and whether it may write.
    pub(super) fn spell(&self, catalogue: &Catalogue, scoped: bool) -> Result<(Spelt, Mode)> {
        let function = self.chosen(catalogue)?;
        let mut writer = Writer::new(self.source.client, catalogue, scoped);
        if scoped && function.security_definer {
            return writer.refuse(
                self.step(),
                "it runs with its owner's rights, past row-level security",
            );
        }
        if function.is_procedure {
            writer.push("call ");
        } else {
            writer.push("select ");
            writer.push(&function.visible_columns);
            writer.push(" from ");
        }
        writer.push(&function.sql);
        writer.push("(");
        let mut joint = "";
        if function.takes_client() {
            writer.push("p_client_id => ");
            writer.own_client()?;
            joint = ", ";
        }
        for (name, value) in &self.given {
            let Some(parameter) = function.parameter(name) else {
                continue;
            };
            writer.push(joint);
            writer.push(parameter);
            writer.push(" => ");
            writer.value(&**value, name)?;
            joint = ", ";
        }
        writer.push(")");
        let mode = if function.writes {
            Mode::ReadWrite
        } else {
            Mode::ReadOnly
        };
        Ok((writer.finish()?, mode))
    }

    /// The one function of that name that takes what was given.
    fn chosen<'c>(&self, catalogue: &'c Catalogue) -> Result<&'c Function> {
        let named = catalogue.functions(&self.source.table);
        let mut fitting = named.iter().filter(|function| self.fits(function));
        let client = self.source.client;
        match (fitting.next(), fitting.next()) {
            (Some(function), None) => Ok(function),
            (Some(_), Some(_)) => Err(Error::StatementRefused {
                client,
                what: self.step().into(),
                reason: "several functions of that name take these arguments",
            }),
            (None, _) => {
                let given: Vec<&str> = self.given.iter().map(|(name, _)| name.as_ref()).collect();
                Err(Error::UnknownFunction {
                    client,
                    function: format!("{}({})", self.source.table, given.join(", ")),
                    nearest_name: match named.first() {
                        Some(function) => {
                            Some(format!("{}({})", self.source.table, function.parameter_names()))
                        }
                        None => nearest_name(&self.source.table, catalogue.function_names()),
                    },
                })
            }
        }
    }

    fn fits(&self, function: &Function) -> bool {
        let given =
            |name: &str| name == CLIENT_PARAMETER || self.given.iter().any(|(given, _)| given == name);
        self.given
            .iter()
            .all(|(name, _)| function.parameter(name).is_some())
            && function.required_parameters().all(given)
    }

    fn step(&self) -> Step<'_> {
        Step("call", &self.source.table)
    }
}

impl fmt::Debug for Rpc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("client", &self.source.client)
            .field("function", &self.source.table)
            .finish_non_exhaustive()
    }
}
