use super::arena::{Arena, Stage};
use super::attempt::shortened;
use super::rows::Who;
use crate::audit::{AuditFinding, AuditSeverity};
use crate::database::{Answer, text};
use crate::error::Result;

/// Something that is asked by a client and may answer with what is another's, told by what it answers: where the other
/// client's rows make a difference to it, it is not of the asking client alone. What it answers with need not be rows.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) id: &'static str,
    pub(super) object: String,
    pub(super) meaning: &'static str,
    pub(super) ask: String,
    pub(super) mend: Option<String>,
    /// Whether it may change rows as well.
    pub(super) writes: bool,
}

/// What watching something came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// The victim's rows make no difference.
    Apart,
    /// It is a finding.
    Reached,
    /// It could not be watched, and why.
    Untold(String),
}

/// What it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Rows(Vec<String>),
    Refused(String, String),
}

impl Told {
    fn of(answer: &Answer) -> Self {
        match &answer.refused {
            None => {
                let mut rows: Vec<String> = answer
                    .rows
                    .iter()
                    .map(|row| text(row, 0).unwrap_or_default())
                    .collect();
                rows.sort();
                Self::Rows(rows)
            }
            Some(refused) => {
                let code = refused
                    .as_database_error()
                    .and_then(sqlx::error::DatabaseError::code);
                Self::Refused(code.unwrap_or_default().into_owned(), refused.to_string())
            }
        }
    }
}

impl Arena<'_> {
    /// Asks as the attacker before and after the victim's rows are in those tables, and looks whether they are as they
    /// were.
    pub(super) async fn watch(&mut self, tables: &[usize], watched: &Watched) -> Result<Watch> {
        let mut stage = self.begin().await?;
        let outcome = self.watch_in(&mut stage, tables, watched).await;
        self.end(stage).await;
        outcome
    }

    async fn watch_in(&mut self, stage: &mut Stage, tables: &[usize], watched: &Watched) -> Result<Watch> {
        let needed = self.ground.with_parents(tables);
        let own = self.inserts(&needed, Who::Attacker);
        let then =
            format!("set constraints all deferred; {own}; set constraints all immediate; savepoint attack");
        let begun = self.enter(stage, Who::Attacker, &then).await?;
        if let Some(refused) = &begun.refused {
            return Ok(Watch::Untold(format!(
                "the rows of one client were refused: {refused}"
            )));
        }
        let ask = format!("rollback to savepoint attack; {}", watched.ask);
        let before = Told::of(&self.send(stage, &ask).await?);
        if let Told::Refused(code, told) = &before
            && matches!(code.as_str(), "57014" | "55P03" | "40P01")
        {
            return Ok(Watch::Untold(told.clone()));
        }
        let again = Told::of(&self.send(stage, &ask).await?);
        self.send(stage, "rollback to savepoint attack").await?;

        let theirs = self.inserts(&needed, Who::Victim);
        let told_by = self.state(&needed);
        let then = format!(
            "set constraints all deferred; {theirs}; set constraints all immediate; savepoint filled"
        );
        let filled = self.enter(stage, Who::Victim, &then).await?;
        if let Some(refused) = &filled.refused {
            return Ok(Watch::Untold(format!(
                "the rows of the other client were refused: {refused}"
            )));
        }
        let state_before = self.state_of(stage, told_by.as_deref()).await?;
        let entered = self.enter(stage, Who::Attacker, "savepoint attack").await?;
        if entered.refused.is_some() {
            return Ok(Watch::Untold("the kernel did not let it in again".to_owned()));
        }
        let ask = format!("rollback to savepoint attack; {}", watched.ask);
        let after = self.send(stage, &ask).await?;
        let rows: Vec<String> = after.rows.iter().filter_map(|row| text(row, 0)).collect();
        let told = Told::of(&after);

        // Where its own answers differ from call to call, the other client's values have to be in it.
        let differs = if before == again {
            told != before
        } else {
            rows.iter()
                .any(|row| self.victim.is_in(row) && !watched.ask.contains(row.as_str()))
                && matches!(&before, Told::Rows(rows) if !rows.iter().any(|row| self.victim.is_in(row)))
        };
        let mut evidence = differs.then(|| {
            format!(
                "it answers otherwise when rows of another client are there: {}",
                shortened(&watched.ask)
            )
        });
        if evidence.is_none() && watched.writes && after.refused.is_none() {
            let bound = self.send(stage, "select tenantry.current_client()::text").await?;
            if bound.last(0) == Some(self.victim.client.to_string()) {
                evidence = Some(format!(
                    "the session is the other client's after it: {}",
                    shortened(&watched.ask)
                ));
            }
        }
        if evidence.is_none() && watched.writes && after.refused.is_none() {
            let entered = self.enter(stage, Who::Victim, "").await?;
            let state_after = self.state_of(stage, told_by.as_deref()).await?;
            if entered.refused.is_none() && state_after != state_before {
                evidence = Some(format!(
                    "it changes rows of another client: {}",
                    shortened(&watched.ask)
                ));
            }
        }
        if let Some(evidence) = evidence {
            let mut finding = AuditFinding::new(
                watched.id,
                AuditSeverity::Critical,
                &watched.object,
                watched.meaning,
                evidence,
            );
            if let Some(mend) = &watched.mend {
                finding = finding.mended_by(mend);
            }
            self.report.found(finding);
            return Ok(Watch::Reached);
        }
        Ok(match told {
            Told::Refused(code, _) if code == "42501" || code.starts_with("TN0") => Watch::Apart,
            Told::Refused(_, told) => Watch::Untold(told),
            Told::Rows(_) => Watch::Apart,
        })
    }

    /// What tells the rows of the client that is bound from others.
    fn state(&self, tables: &[usize]) -> Option<String> {
        let tables = tables.iter().map(|at| &self.ground.tables[*at]);
        let states = tables.filter(|table| table.reads).map(|table| {
            let of = match table.client() {
                Some(_) => format!("where t.client_id = '{}'", self.victim.client),
                None => format!("where {}", self.victims(table)),
            };
            format!(
                "(select coalesce(md5(string_agg(t::text, ',' order by t::text)), '') from {} t {of})",
                table.sql
            )
        });
        let states: Vec<String> = states.collect();
        (!states.is_empty()).then(|| format!("select concat_ws(',', {})", states.join(", ")))
    }

    async fn state_of(&mut self, stage: &mut Stage, told_by: Option<&str>) -> Result<Option<String>> {
        match told_by {
            Some(sql) => Ok(self.send(stage, sql).await?.last(0)),
            None => Ok(None),
        }
    }
}
