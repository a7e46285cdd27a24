//! What the database remembers of a retrofit.
#![expect(clippy::disallowed_methods, reason = "reads and writes the journal")]

use sqlx::types::Json;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::phase::RetrofitState;
use super::plan::Draft;
use super::step::Step;

/// A retrofit, as it was written down.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) retrofit: Uuid,
    pub(super) state: RetrofitState,
    pub(super) steps: Vec<Written>,
}

/// A step of it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) number: i32,
    pub(super) step: Step,
    pub(super) state: StepState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepState {
    Planned,
    /// Of what cannot be done in a transaction: it may be there, or a part of it.
    Begun,
    Done,
    Undone,
}

impl StepState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Undone => "undone",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Planned, Self::Begun, Self::Done, Self::Undone]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

impl Entry {
    /// The latest. One that is not ended comes before those that are.
    pub(super) async fn latest(conn: &mut PgConnection) -> sqlx::Result<Option<Self>> {
        let found: Option<(Uuid, String)> = sqlx::query_as(
            "select retrofit, state from tenantry.retrofits
             order by state in ('finished', 'rolled back'), begun_at desc limit 1",
        )
        .persistent(false)
        .fetch_optional(&mut *conn)
        .await?;
        let Some((retrofit, state)) = found else {
            return Ok(None);
        };
        let rows: Vec<(i32, Json<Step>, String)> = sqlx::query_as(
            "select step, told, state from tenantry.retrofit_steps where retrofit = $1 order by step",
        )
        .bind(retrofit)
        .persistent(false)
        .fetch_all(conn)
        .await?;
        let unknown = |what: &str| sqlx::Error::Protocol(format!("the journal has an unknown {what}"));
        let steps = rows.into_iter().map(|(number, step, state)| {
            Ok(Written {
                number,
                step: step.0,
                state: StepState::named(&state).ok_or_else(|| unknown("state of a step"))?,
            })
        });
        Ok(Some(Self {
            retrofit,
            state: RetrofitState::named(&state).ok_or_else(|| unknown("state"))?,
            steps: steps.collect::<sqlx::Result<_>>()?,
        }))
    }

    /// Writes down what is going to be done, before anything is.
    pub(super) async fn create(conn: &mut PgConnection, draft: &Draft) -> sqlx::Result<()> {
        let mut tx = conn.begin().await?;
        sqlx::query(
            "insert into tenantry.retrofits (retrofit, state, tables) values ($1, 'preparing', $2::oid[])",
        )
        .bind(draft.retrofit)
        .bind(&draft.tables)
        .execute(&mut *tx)
        .await?;
        let steps: Vec<Json<&Step>> = draft.steps.iter().map(Json).collect();
        sqlx::query(
            "insert into tenantry.retrofit_steps (retrofit, step, told)
             select $1, n, told from unnest($2::jsonb[]) with ordinality s (told, n)",
        )
        .bind(draft.retrofit)
        .bind(&steps)
        .execute(&mut *tx)
        .await?;
        Self::add_values(&mut tx, draft.retrofit, draft).await?;
        tx.commit().await
    }

    /// Has more values stand for clients. What a value stands for does not change.
    pub(super) async fn add_values(
        conn: &mut PgConnection,
        retrofit: Uuid,
        draft: &Draft,
    ) -> sqlx::Result<()> {
        let (mut relations, mut values, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for (relation, value, client) in &draft.values {
            relations.push(*relation);
            values.push(value.as_str());
            clients.push(*client);
        }
        sqlx::query(
            "insert into tenantry.retrofit_values (retrofit, relation, value, client_id)
             select $1, v.relation::oid, v.value, v.client_id
             from unnest($2::int8[], $3::text[], $4::uuid[]) v (relation, value, client_id)
             on conflict do nothing",
        )
        .bind(retrofit)
        .bind(&relations)
        .bind(&values)
        .bind(&clients)
        .execute(conn)
        .await
        .map(drop)
    }

    pub(super) async fn set_state(
        &mut self,
        conn: &mut PgConnection,
        state: RetrofitState,
    ) -> sqlx::Result<()> {
        sqlx::query("update tenantry.retrofits set state = $2, changed_at = now() where retrofit = $1")
            .bind(self.retrofit)
            .bind(state.as_str())
            .execute(conn)
            .await?;
        self.state = state;
        Ok(())
    }

    /// What notes the state of a step, in the transaction that makes it so.
    pub(super) fn note(&self, step: i32, state: StepState) -> String {
        format!(
            "update tenantry.retrofit_steps set state = '{}' where retrofit = '{}' and step = {step}",
            state.as_str(),
            self.retrofit
        )
    }

    /// The block that an assignment of rows goes on with.
    pub(super) async fn block(&self, conn: &mut PgConnection, step: i32) -> sqlx::Result<i64> {
        sqlx::query_scalar("select block from tenantry.retrofit_steps where retrofit = $1 and step = $2")
            .bind(self.retrofit)
            .bind(step)
            .fetch_one(conn)
            .await
    }

    pub(super) fn note_block(&self, step: i32, block: i64) -> String {
        format!(
            "update tenantry.retrofit_steps set block = {block} where retrofit = '{}' and step = {step}",
            self.retrofit
        )
    }
}
