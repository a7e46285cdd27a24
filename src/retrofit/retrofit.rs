#![expect(clippy::disallowed_methods, reason = "reads the catalogue in a transaction")]

use std::collections::BTreeMap;

use super::assign::Assign;
use super::inspect::Wanted;
use super::journal::{Entry, StepState};
use super::options::RetrofitOptions;
use super::phase::{RetrofitPhase, RetrofitState};
use super::plan::RetrofitPlan;
use super::session::Session;
use super::status::RetrofitStatus;
use super::steps::Work;
use crate::client::{ClientId, PoolId};
use crate::directory::PlatformDirectory;
use crate::error::{Error, Result, RetrofitError};

/// Makes the tables of an application that had one client those of many, while it goes on.
///
/// The database has the kernel ([`apply_to_pool`](crate::schema::apply_to_pool), with no migrations of the host's) and is
/// registered as a pool, and the clients that rows are assigned to are served by it.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory, pool: tenantry::PoolId, house: tenantry::ClientId)
/// # -> tenantry::Result<()> {
/// use tenantry::{Assign, Retrofit};
///
/// let retrofit = Retrofit::new(platform, pool, Assign::to(house)).bridge("progress_app", house);
/// let plan = retrofit.plan().await?;
/// assert!(plan.is_possible(), "{plan}");
/// retrofit.start().await?; // the old application sees nothing of it
/// retrofit.protect().await?; // keys by client and forced row-level security; it goes on over its bridge
/// retrofit.finish().await?; // nobody uses the bridge any more
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Retrofit {
    platform: PlatformDirectory,
    pool: PoolId,
    wanted: Wanted,
    options: RetrofitOptions,
}

impl Retrofit {
    /// All tables of a pool database that are neither protected nor shared, with the rule that their rows are assigned
    /// by where they have none of their own.
    pub fn new(platform: PlatformDirectory, pool: PoolId, assign: Assign) -> Self {
        let options = RetrofitOptions::default();
        Self {
            platform,
            pool,
            wanted: Wanted {
                assign,
                by_table: BTreeMap::new(),
                left_out: Vec::new(),
                shared: Vec::new(),
                bridges: BTreeMap::new(),
                host_triggers: options.host_triggers,
                sample: options.sample,
            },
            options,
        }
    }

    /// The rule of a table, as `schema.name`. Defaults to that of all.
    #[must_use]
    pub fn table(mut self, table: impl Into<String>, assign: Assign) -> Self {
        self.wanted.by_table.insert(table.into(), assign);
        self
    }

    /// Tables, as `schema.name`, that stay as they are: no tenant sees them. Defaults to none.
    #[must_use]
    pub fn leave_out<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.wanted.left_out = tables.into_iter().map(Into::into).collect();
        self
    }

    /// Tables, as `schema.name`, that all tenants read and none writes. Defaults to none.
    #[must_use]
    pub fn share<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator<Item: Into<String>>,
    {
        self.wanted.shared = tables.into_iter().map(Into::into).collect();
        self
    }

    /// Binds a role that the old application logs in as to one client: on protected tables its statements, which know
    /// of no client, see and write the rows of that one, and can see no other's. Until [`finish`](Self::finish).
    /// Defaults to none: on protected tables such a role is refused.
    #[must_use]
    pub fn bridge(mut self, role: impl Into<String>, client: ClientId) -> Self {
        self.wanted.bridges.insert(role.into(), client);
        self
    }

    /// How it is done. Defaults to [`RetrofitOptions::default`].
    #[must_use]
    pub fn options(mut self, options: RetrofitOptions) -> Self {
        self.wanted.host_triggers = options.host_triggers;
        self.wanted.sample = options.sample;
        self.options = options;
        self
    }

    /// Looks at the tables, and composes every statement. Nothing is changed; rows are counted where a rule goes by a
    /// column.
    ///
    /// # Errors
    /// [`Error::MissingCredential`], [`Error::WrongKey`] and [`Error::Unreachable`] of the database;
    /// [`Error::Retrofit`] where it has no kernel, or a statement fails.
    pub async fn plan(&self) -> Result<RetrofitPlan> {
        let mut session = self.session().await?;
        self.plan_in(&mut session).await
    }

    async fn plan_in(&self, session: &mut Session) -> Result<RetrofitPlan> {
        const STEP: &str = "planning";
        session
            .run(
                STEP,
                "begin read only; set local search_path = pg_catalog; set local row_security = off",
            )
            .await?;
        let planned = async {
            let app: String = sqlx::query_scalar("select tenantry.app_role()::text")
                .fetch_one(&mut session.conn)
                .await?;
            self.wanted.plan(&mut session.conn, &app).await
        }
        .await;
        let planned = planned.map_err(|source| session.failed(STEP, source));
        session.run(STEP, "rollback").await?;
        planned
    }

    /// Begins, and does everything that the old application does not see: columns, rows, keys by client beside the old
    /// ones, foreign keys. What it writes meanwhile gets its client.
    ///
    /// # Errors
    /// As [`plan`](Self::plan); [`Error::Retrofit`] with what stands against it, in which case nothing was done, or with
    /// what kept it from going on: then [`resume`](Self::resume) does, or [`rollback`](Self::rollback) undoes it.
    ///
    /// # Cancel safety
    /// Dropped anywhere, it is under way or not begun; [`resume`](Self::resume) goes on, in whatever process. The server
    /// notices within a second, and ends what it was at.
    pub async fn start(&self) -> Result<RetrofitStatus> {
        const STEP: &str = "beginning";
        let mut session = self.taken().await?;
        if let Some(entry) = self.latest(&mut session).await?
            && !entry.state.is_ended()
        {
            let state = entry.state.to_string();
            return Err(session.error(STEP, RetrofitError::UnderWay { state }));
        }
        let plan = self.plan_in(&mut session).await?;
        if !plan.is_possible() {
            let stopping = plan.findings.iter().filter(|finding| finding.stops());
            let findings = stopping.map(ToString::to_string).collect();
            return Err(session.error(STEP, RetrofitError::Stopped { findings }));
        }
        let created = Entry::create(&mut session.conn, &plan.draft).await;
        created.map_err(|source| session.failed(STEP, source))?;
        self.go_on(session).await
    }

    /// Goes on with what was interrupted: with getting ready, protecting, or rolling back. Values that rules have more
    /// of by now count as well.
    ///
    /// # Errors
    /// [`Error::Retrofit`] where none is under way, or as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn resume(&self) -> Result<RetrofitStatus> {
        let mut session = self.taken().await?;
        let plan = self.plan_values(&mut session).await;
        if let (Some(entry), Some(draft)) = (self.latest(&mut session).await?, plan)
            && !entry.state.is_ended()
        {
            let added = Entry::add_values(&mut session.conn, entry.retrofit, &draft).await;
            added.map_err(|source| session.failed("adding values of rules", source))?;
        }
        self.go_on(session).await
    }

    /// Switches to the keys by client and forces row-level security: in one transaction of some milliseconds a table for
    /// all that foreign keys tie together. From here on only those see rows
    /// who have a client: tenants through the manager, and the old application over its [bridge](Self::bridge).
    ///
    /// # Errors
    /// [`Error::Retrofit`] where it is not prepared, or as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// As [`start`](Self::start).
    pub async fn protect(&self) -> Result<RetrofitStatus> {
        let allowed = [RetrofitState::Prepared, RetrofitState::Protecting];
        self.go_to("to protect it", &allowed, RetrofitState::Protecting)
            .await
    }

    /// Closes the bridges: the old application is refused from now on. [`rollback`](Self::rollback) opens them again.
    ///
    /// # Errors
    /// [`Error::Retrofit`] where it is not protected, or as [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped, it is finished or not; call it again.
    pub async fn finish(&self) -> Result<RetrofitStatus> {
        let mut session = self.taken().await?;
        let mut entry = self
            .expect(&mut session, "to finish it", &[RetrofitState::Protected])
            .await?;
        self.work(&mut session, &mut entry)
            .forward(RetrofitPhase::Finish)
            .await?;
        self.set(&mut session, &mut entry, RetrofitState::Finished)
            .await?;
        Ok(RetrofitStatus::of(&entry))
    }

    /// Undoes it, from wherever it is: columns, constraints, indexes, policies, rights and defaults are what they were.
    /// Where tables are protected, tenants write no more from its beginning on.
    ///
    /// # Errors
    /// [`RetrofitError::WouldLose`] where rows are other clients' than the rules have it, and
    /// [`RetrofitError::NotUnique`] where keys of before do not hold any more: then everything is as it was. Else as
    /// [`start`](Self::start).
    ///
    /// # Cancel safety
    /// Dropped, some of it is undone; call it again, or [`resume`](Self::resume).
    pub async fn rollback(&self) -> Result<RetrofitStatus> {
        let mut session = self.taken().await?;
        let states = [
            RetrofitState::Preparing,
            RetrofitState::Prepared,
            RetrofitState::Protecting,
            RetrofitState::Protected,
            RetrofitState::Finished,
            RetrofitState::RollingBack,
        ];
        let mut entry = self.expect(&mut session, "to roll it back", &states).await?;
        self.roll_back(&mut session, &mut entry).await?;
        Ok(RetrofitStatus::of(&entry))
    }

    /// How far the latest is; `None` where there was none.
    ///
    /// # Errors
    /// As [`plan`](Self::plan).
    pub async fn status(&self) -> Result<Option<RetrofitStatus>> {
        let mut session = self.session().await?;
        let entry = self.latest(&mut session).await?;
        Ok(entry.as_ref().map(RetrofitStatus::of))
    }

    async fn go_to(
        &self,
        what: &'static str,
        allowed: &[RetrofitState],
        state: RetrofitState,
    ) -> Result<RetrofitStatus> {
        let mut session = self.taken().await?;
        let mut entry = self.expect(&mut session, what, allowed).await?;
        self.set(&mut session, &mut entry, state).await?;
        self.go_on(session).await
    }

    /// Does what the state asks for.
    async fn go_on(&self, mut session: Session) -> Result<RetrofitStatus> {
        let Some(mut entry) = self.latest(&mut session).await? else {
            return Err(session.error("going on", RetrofitError::NotUnderWay));
        };
        let then = match entry.state {
            RetrofitState::Preparing => Some(RetrofitState::Prepared),
            RetrofitState::Protecting => Some(RetrofitState::Protected),
            RetrofitState::RollingBack => {
                self.roll_back(&mut session, &mut entry).await?;
                None
            }
            _ => None,
        };
        if let Some(then) = then {
            let last = entry.state.reaches();
            self.work(&mut session, &mut entry).forward(last).await?;
            self.set(&mut session, &mut entry, then).await?;
        }
        Ok(RetrofitStatus::of(&entry))
    }

    async fn roll_back(&self, session: &mut Session, entry: &mut Entry) -> Result<()> {
        // As far as it came: where going back is refused, it is that again.
        let reached = entry.steps.iter().filter(|step| step.state != StepState::Planned);
        let reached = reached.map(|step| step.step.phase).max();
        let before = match reached {
            Some(RetrofitPhase::Finish) => RetrofitState::Finished,
            Some(RetrofitPhase::Protection) => RetrofitState::Protected,
            _ => RetrofitState::Prepared,
        };
        self.set(session, entry, RetrofitState::RollingBack).await?;
        let outcome = self.work(session, entry).backward().await;
        if let Err(Error::Retrofit { source, .. }) = &outcome
            && source.is_refusal()
        {
            self.work(session, entry).forward(before.reaches()).await?;
            self.set(session, entry, before).await?;
        }
        outcome?;
        self.set(session, entry, RetrofitState::RolledBack).await
    }

    fn work<'a>(&'a self, session: &'a mut Session, entry: &'a mut Entry) -> Work<'a> {
        Work {
            session,
            entry,
            options: &self.options,
        }
    }

    /// The values of the rules, where they can be planned yet: tables that are half done cannot.
    async fn plan_values(&self, session: &mut Session) -> Option<super::plan::Draft> {
        self.plan_in(session).await.ok().map(|plan| plan.draft)
    }

    async fn session(&self) -> Result<Session> {
        Session::connect(&self.platform, self.pool).await
    }

    async fn taken(&self) -> Result<Session> {
        let mut session = self.session().await?;
        session.take(self.options.take_over_wait).await?;
        Ok(session)
    }

    async fn latest(&self, session: &mut Session) -> Result<Option<Entry>> {
        let entry = Entry::latest(&mut session.conn).await;
        entry.map_err(|source| session.failed("reading the journal", source))
    }

    async fn expect(
        &self,
        session: &mut Session,
        what: &'static str,
        states: &[RetrofitState],
    ) -> Result<Entry> {
        let Some(entry) = self.latest(session).await? else {
            return Err(session.error("reading the journal", RetrofitError::NotUnderWay));
        };
        if states.contains(&entry.state) {
            return Ok(entry);
        }
        let state = entry.state.to_string();
        Err(session.error("going on", RetrofitError::OutOfState { what, state }))
    }

    async fn set(&self, session: &mut Session, entry: &mut Entry, state: RetrofitState) -> Result<()> {
        let set = entry.set_state(&mut session.conn, state).await;
        set.map_err(|source| session.failed("noting how far it is", source))
    }
}
