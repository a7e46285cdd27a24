use std::borrow::Cow;
use std::fmt::{self, Write as _};

use sqlx::FromRow;
use sqlx::postgres::{PgQueryResult, PgRow};
use tracing::Instrument;

use super::arguments::Arguments;
use super::bind::Bind;
use super::run::{Answer, On, Statement, decode, rendered};
use crate::database::Mode;
use crate::error::{Error, Result};
use crate::schema::{CLIENT_PARAMETER, Catalogue, Function, nearest_name};
use crate::telemetry;
use crate::tenant::{TenantDb, TenantTx};

/// A call of a function or procedure of the client's database, by name and with named arguments.
///
/// `p_client_id` is supplied where the function takes it, on a pool database and on a dedicated one; a
/// caller who gives it gives the client's own or gets [`Error::ForeignClient`]. A result column named
/// `client_id` is not shown. Functions that run with their owner's rights (SECURITY DEFINER) are
/// refused on a pool database: they run past row-level security.
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
    function: Cow<'t, str>,
    given: Vec<(Cow<'t, str>, usize)>,
    pub(super) arguments: Arguments,
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
        let arguments = Arguments::new(on.db().id());
        Self {
            on,
            function,
            given: Vec::new(),
            arguments,
        }
    }

    /// Gives a parameter its value. Those left out take their defaults.
    pub fn arg(mut self, parameter: impl Into<Cow<'t, str>>, value: impl Bind) -> Self {
        let parameter = parameter.into();
        if parameter == CLIENT_PARAMETER {
            self.arguments.expect_own_client(&self.function, &value);
        } else {
            let at = self.arguments.push(&parameter, value);
            self.given.push((parameter, at));
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
        let (client, step) = (self.arguments.client(), self.step());
        rows.iter().map(|row| decode(client, &step, row)).collect()
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
            .map(|row| decode(self.arguments.client(), &self.step(), row))
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
        let (client, what) = (self.arguments.client(), self.function.clone().into_owned());
        self.fetch_optional()
            .await?
            .ok_or(Error::RowNotFound { client, what })
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
        self.arguments.take_error()?;
        let span = telemetry::statement(self.arguments.client(), "call", &self.function);
        let sending = async {
            let sent = self.send_here().await;
            if self.on.follow(&sent).await? {
                return Box::pin(self.send_here()).await;
            }
            sent
        };
        sending.instrument(span).await
    }

    async fn send_here<A: Answer>(&mut self) -> Result<A> {
        let scoped = self.on.db().is_scoped();
        let this = &*self;
        let (sql, mode) = rendered(&this.on, |catalogue| this.render(catalogue, scoped)).await?;
        let statement = Statement {
            sql,
            step: self.step(),
            arguments: self.arguments.bound(),
            mode,
            residue: true,
        };
        statement.run(&mut self.on).await
    }

    /// The call on this database, and whether it may write.
    pub(super) fn render(&self, catalogue: &Catalogue, scoped: bool) -> Result<(String, Mode)> {
        let function = self.chosen(catalogue)?;
        if scoped && function.security_definer {
            let client = self.arguments.client();
            let reason = "it runs with its owner's rights, past row-level security";
            return Err(Error::StatementRefused {
                client,
                what: self.step(),
                reason,
            });
        }
        let mut sql = if function.is_procedure {
            format!("call {}(", function.sql)
        } else {
            format!("select {} from {}(", function.visible_columns, function.sql)
        };
        let mut joint = "";
        if function.takes_client() {
            sql.push_str("p_client_id => $1");
            joint = ", ";
        }
        for (name, at) in &self.given {
            let Some(parameter) = function.parameter(name) else {
                continue;
            };
            // Writing to a String cannot fail.
            let _ = write!(sql, "{joint}{parameter} => ${at}");
            joint = ", ";
        }
        sql.push(')');
        Ok((
            sql,
            if function.writes {
                Mode::ReadWrite
            } else {
                Mode::ReadOnly
            },
        ))
    }

    /// The one function of that name that takes what was given.
    fn chosen<'c>(&self, catalogue: &'c Catalogue) -> Result<&'c Function> {
        let named = catalogue.functions(&self.function);
        let mut fitting = named.iter().filter(|function| self.fits(function));
        let client = self.arguments.client();
        match (fitting.next(), fitting.next()) {
            (Some(function), None) => Ok(function),
            (Some(_), Some(_)) => Err(Error::StatementRefused {
                client,
                what: self.step(),
                reason: "several functions of that name take these arguments",
            }),
            (None, _) => {
                let given: Vec<&str> = self.given.iter().map(|(name, _)| name.as_ref()).collect();
                Err(Error::UnknownFunction {
                    client,
                    function: format!("{}({})", self.function, given.join(", ")),
                    nearest_name: match named.first() {
                        Some(function) => Some(format!("{}({})", self.function, function.parameter_names())),
                        None => nearest_name(&self.function, catalogue.function_names()),
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

    fn step(&self) -> String {
        format!("call {}", self.function)
    }
}

impl fmt::Debug for Rpc<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc")
            .field("client", &self.arguments.client())
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}
