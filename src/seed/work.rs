use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::FromRow as _;

use super::batch::{Batch, Compared, State, differs, values_of};
use super::cell::MadeOf;
use super::conn::{Conn, Failed, record, recordset};
use super::report::{Outcome, SeedFinding, SeedFindingKind};
use super::secret_form::Forms;
use super::secret_source::Secrets;
use crate::client::ClientId;
use crate::error::SeedError;
use crate::schema::{Column, Table};

/// What rows are compared and written with.
pub(super) struct Work<'w> {
    /// Whose rows they are; `None` of those that all clients read.
    pub(super) client: Option<ClientId>,
    /// The client's slug, or the database.
    pub(super) within: &'w str,
    pub(super) forms: &'w Forms,
    pub(super) secrets: &'w Secrets,
    pub(super) most_findings: usize,
    /// Where each row of a table is described, by its key as the database has it.
    pub(super) seen: Mutex<HashMap<(String, String), String>>,
}

impl Work<'_> {
    /// What is found of the batch.
    pub(super) async fn look(&self, conn: &mut Conn<'_>, batch: &Batch<'_>) -> Result<Outcome, Failed> {
        let mut outcome = self.outcome(batch);
        for row in batch.compare(conn, self).await? {
            let kind = match row.state {
                State::Missing => {
                    outcome.created += 1;
                    SeedFindingKind::Missing
                }
                State::There { different } if different.is_empty() => {
                    outcome.unchanged += 1;
                    continue;
                }
                State::There { different } => {
                    outcome.changed += 1;
                    SeedFindingKind::Different { columns: different }
                }
            };
            if outcome.findings.len() < self.most_findings {
                outcome.findings.push(SeedFinding {
                    within: outcome.within.clone(),
                    table: outcome.table.clone(),
                    at: row.row.at.to_string(),
                    key: row.row.key.clone(),
                    kind,
                });
            }
        }
        Ok(outcome)
    }

    /// Has the rows of the batch be as they are described.
    pub(super) async fn apply(&self, conn: &mut Conn<'_>, batch: &Batch<'_>) -> Result<Outcome, Failed> {
        let mut outcome = self.outcome(batch);
        let compared = batch.compare(conn, self).await?;
        let (mut missing, mut different) = (Vec::new(), BTreeMap::<Vec<&str>, Vec<&Compared<'_>>>::new());
        for row in &compared {
            match &row.state {
                State::Missing => missing.push(row),
                State::There { different } if different.is_empty() => {}
                State::There { different: columns } => {
                    // A secret that is as it was made is not made again.
                    let made = row.secrets.iter().map(|(column, _)| *column);
                    let made = made.filter(|column| columns.iter().any(|other| other == column));
                    different.entry(made.collect()).or_default().push(row);
                }
            }
        }
        outcome.created = self.insert(conn, batch, &missing).await?;
        if let Some(first) = missing.first().filter(|_| count(missing.len()) > outcome.created) {
            // Somebody else added them meanwhile.
            let made = first.secrets.iter().map(|(column, _)| *column).collect();
            outcome.changed += self.update(conn, batch, &missing, made).await?;
        }
        for (made, rows) in different {
            outcome.changed += self.update(conn, batch, &rows, made).await?;
        }
        let written = outcome.created + outcome.changed;
        outcome.unchanged = count(compared.len()).saturating_sub(written);
        Ok(outcome)
    }

    /// How many were not there when they were to be added.
    async fn insert(
        &self,
        conn: &mut Conn<'_>,
        batch: &Batch<'_>,
        rows: &[&Compared<'_>],
    ) -> Result<u64, Failed> {
        let Some(first) = rows.first() else { return Ok(0) };
        let table = &batch.of.table;
        if let Conn::Tenant(tx) = conn {
            tx.reserve_rows(&table.qualified, rows.len()).await?;
        }
        let made: Vec<&str> = first.secrets.iter().map(|(column, _)| *column).collect();
        let columns = batch.columns(first.values.keys().copied().chain(made.iter().copied()));
        let client = self.client.filter(|_| table.has_client);
        let keys: Vec<&str> = batch.of.key.iter().map(String::as_str).collect();
        let with_client = table.key_over(&keys).is_some_and(|key| key.has_client);
        let scope = |there: bool, sql: &str| there.then(|| sql.to_owned()).into_iter();
        let names = columns.iter().map(|column| column.sql.clone());
        let given = (0..columns.len()).map(|number| format!("g.c{number}"));
        let conflict = batch
            .columns(keys.into_iter())
            .into_iter()
            .map(|column| column.sql.clone());
        let sql = format!(
            "insert into {} ({}) select {} from {} order by g.n on conflict ({}) do nothing returning 1",
            table.sql,
            listed(scope(client.is_some(), "client_id").chain(names)),
            listed(scope(client.is_some(), "$2").chain(given)),
            recordset(columns.iter().map(|column| column.type_sql.as_str())),
            listed(scope(with_client, "client_id").chain(conflict)),
        );
        let values = self.values(rows, &columns, &made).await?;
        let added = conn.ask(sql, values, client).await;
        added
            .map(|rows| count(rows.len()))
            .map_err(|source| conn.failed(table, source))
    }

    /// How many differed when they were to be changed.
    async fn update(
        &self,
        conn: &mut Conn<'_>,
        batch: &Batch<'_>,
        rows: &[&Compared<'_>],
        made: Vec<&str>,
    ) -> Result<u64, Failed> {
        let Some(first) = rows.first() else { return Ok(0) };
        let table = &batch.of.table;
        let columns = batch.columns(first.values.keys().copied().chain(made.iter().copied()));
        let others = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| !batch.of.key.contains(&column.name));
        let others: Vec<_> = others.collect();
        if others.is_empty() {
            return Ok(0);
        }
        let set = others
            .iter()
            .map(|(number, column)| format!("{} = g.c{number}", column.sql));
        let differ = others
            .iter()
            .map(|(number, column)| differs(&column.sql, *number));
        let sql = format!(
            "update {} as t set {} from {} where {} and ({}) returning 1",
            table.sql,
            listed(set),
            recordset(columns.iter().map(|column| column.type_sql.as_str())),
            batch.by_key(self, &columns),
            differ.collect::<Vec<_>>().join(" or "),
        );
        let values = self.values(rows, &columns, &made).await?;
        let changed = conn
            .ask(sql, values, self.client.filter(|_| table.has_client))
            .await;
        changed
            .map(|rows| count(rows.len()))
            .map_err(|source| conn.failed(table, source))
    }

    /// With what is made of secrets, in those columns.
    async fn values(
        &self,
        rows: &[&Compared<'_>],
        columns: &[&Column],
        made: &[&str],
    ) -> Result<Value, SeedError> {
        let mut values: Vec<Vec<Value>> = Vec::with_capacity(rows.len());
        for row in rows {
            let mut of_row: Vec<Value> = values_of(row, columns).collect();
            for (column, secret) in &row.secrets {
                let at = columns.iter().position(|known| known.name == *column);
                if let Some(value) = at
                    .filter(|_| made.contains(column))
                    .and_then(|at| of_row.get_mut(at))
                {
                    *value = Value::String(self.make(secret).await?);
                }
            }
            values.push(of_row);
        }
        Ok(record(values.into_iter().map(Vec::into_iter)))
    }

    async fn make(&self, made: &MadeOf) -> Result<String, SeedError> {
        let name = made.secret.0.as_str();
        let secret = (name, self.secrets.get(name)?);
        let made = self
            .forms
            .ask(&made.form, secret, "made into what is stored", |form, secret| {
                form.make(secret)
            });
        Ok(made.await?.expose_secret().to_owned())
    }

    /// Whether what is stored was made of the secret.
    pub(super) async fn is_of(&self, made: &MadeOf, stored: Option<String>) -> Result<bool, SeedError> {
        let Some(stored) = stored else { return Ok(false) };
        let name = made.secret.0.as_str();
        let secret = (name, self.secrets.get(name)?);
        let is_of = self.forms.ask(
            &made.form,
            secret,
            "held against what is stored",
            move |form, secret| form.is_of(&stored, secret),
        );
        is_of.await
    }

    /// How many rows the table has, of the client or of all.
    pub(super) async fn count(&self, conn: &mut Conn<'_>, table: &Table) -> Result<u64, Failed> {
        let client = self.client.filter(|_| table.has_client);
        let scope = client.map(|_| " and client_id = $2").unwrap_or_default();
        let sql = format!(
            "select count(*) from {} where $1::jsonb is not null{scope}",
            table.sql
        );
        let counted = conn.ask(sql, Value::Array(Vec::new()), client).await;
        let counted = counted.and_then(|rows| rows.first().map(<(i64,)>::from_row).transpose());
        let counted = counted.map_err(|source| conn.failed(table, source))?;
        Ok(counted.map(|(rows,)| rows.unsigned_abs()).unwrap_or_default())
    }

    fn outcome(&self, batch: &Batch<'_>) -> Outcome {
        Outcome {
            within: self.within.to_owned(),
            table: batch.of.named.clone(),
            ..Outcome::default()
        }
    }
}

fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

fn count(rows: usize) -> u64 {
    rows.try_into().unwrap_or(u64::MAX)
}
