//! Clients in every kind of home at once.

use tenantry::testing::Fixture;
use tenantry::{Binding, ClientConnectionManager, ManagerOptions, NewPool, TenantDb};

use crate::pgbouncer::PgBouncer;
use crate::support::HOST;

type Failure = Box<dyn std::error::Error>;

/// Acme on a pool database, beside Bolt, Vast on its own, and Deep on a pool database behind a pooler.
pub(crate) struct Homes {
    pub(crate) fixture: Fixture,
    pub(crate) manager: ClientConnectionManager,
    pub(crate) acme: TenantDb,
    pub(crate) bolt: TenantDb,
    pub(crate) vast: TenantDb,
    /// `None` where the tests are to go without a pooler.
    deep: Option<(TenantDb, PgBouncer)>,
}

impl Homes {
    pub(crate) async fn open() -> Result<Self, Failure> {
        Self::with(|options| options).await
    }

    pub(crate) async fn with(change: impl FnOnce(ManagerOptions) -> ManagerOptions) -> Result<Self, Failure> {
        let fixture = Fixture::start(&HOST).await?;
        let acme = fixture.shared_client("acme").await?;
        let bolt = fixture.shared_client("bolt").await?;
        let vast = fixture.dedicated_client("vast").await?;
        let pooler = PgBouncer::before(&fixture, 10).await?;
        let deep = match pooler {
            Some(pooler) => {
                let second = fixture.add_pool("pool-2", 10).await?;
                for direct in [fixture.pool(), second] {
                    fixture.platform().set_pool_active(direct, false).await?;
                }
                let database = fixture.database("pool-2");
                let app_url = pooler.url(&fixture.app_url(&database))?;
                let pool = NewPool::new("pooled", app_url, fixture.admin_url(&database))
                    .binding(Binding::Transaction);
                fixture.platform().register_pool(pool).await?;
                Some((fixture.shared_client("deep").await?, pooler))
            }
            None => None,
        };
        let options = change(fixture.manager_options());
        let manager = ClientConnectionManager::connect(options).await?;
        Ok(Self {
            acme: manager.tenant(acme.id).await?,
            bolt: manager.tenant(bolt.id).await?,
            vast: manager.tenant(vast.id).await?,
            deep: match deep {
                Some((deep, pooler)) => Some((manager.tenant(deep.id).await?, pooler)),
                None => None,
            },
            fixture,
            manager,
        })
    }

    /// A client of each, the second of the first pool database among them.
    pub(crate) fn each(&self) -> Vec<&TenantDb> {
        let deep = self.deep.as_ref().map(|(deep, _)| deep);
        [&self.bolt, &self.acme, &self.vast]
            .into_iter()
            .chain(deep)
            .collect()
    }

    /// A client of each, and the name of its database for [`Fixture::database`].
    pub(crate) fn one_of_each(&self) -> Vec<(&TenantDb, &'static str)> {
        let deep = self.deep.as_ref().map(|(deep, _)| (deep, "pool-2"));
        [(&self.acme, "pool-1"), (&self.vast, "vast")]
            .into_iter()
            .chain(deep)
            .collect()
    }

    pub(crate) fn is_pooled(&self, db: &TenantDb) -> bool {
        self.deep
            .as_ref()
            .is_some_and(|(deep, _)| deep.client().id == db.client().id)
    }

    pub(crate) async fn close(self) {
        self.manager.close().await;
        drop(self.deep);
        self.fixture.close().await;
    }
}
