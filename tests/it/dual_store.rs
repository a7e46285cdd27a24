//! Records on their way from one store into another, with nothing lost.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod backup;
mod between;
mod bounded;
mod conformance;
mod import;
mod json_files;
mod phases;
mod process;

use std::borrow::Cow;

use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, ClientId, DualStore, DualStoreError, DualStoreOptions, Error,
    PostgresRepository, Record,
};

use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
struct Agent {
    slug: String,
    name: String,
}

impl Record for Agent {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.slug)
    }
}

fn agent(slug: &str, name: &str) -> Agent {
    Agent {
        slug: slug.to_owned(),
        name: name.to_owned(),
    }
}

type Agents = DualStore<PostgresRepository<Agent>, PostgresRepository<Agent>>;

/// The agents of a client that leaves a database of its own for a pool.
struct Stage {
    fixture: Fixture,
    manager: ClientConnectionManager,
    old: ClientId,
    new: ClientId,
}

impl Stage {
    async fn set() -> Self {
        let fixture = Fixture::start(&HOST).await.unwrap();
        let old = fixture.dedicated_client("acme-old").await.unwrap().id;
        let new = fixture.shared_client("acme").await.unwrap().id;
        let manager = fixture.manager().await.unwrap();
        Self {
            fixture,
            manager,
            old,
            new,
        }
    }

    async fn of(&self, client: ClientId) -> PostgresRepository<Agent> {
        let db = self.manager.tenant(client).await.unwrap();
        PostgresRepository::new(db, "agents", "slug")
    }

    /// As one more process would open it.
    async fn open(&self, options: DualStoreOptions) -> Agents {
        let (old, new) = (self.of(self.old).await, self.of(self.new).await);
        let platform = self.fixture.platform().clone();
        DualStore::open(platform, self.new, "agents", old, new, options)
            .await
            .unwrap()
    }

    async fn close(self) {
        self.manager.close().await;
        self.fixture.close().await;
    }
}

/// What stood against it.
fn against(outcome: tenantry::Result<()>) -> DualStoreError {
    match outcome {
        Err(Error::DualStore { source, .. }) => *source,
        outcome => unreachable!("{outcome:?}"),
    }
}
