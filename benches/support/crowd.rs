//! Many clients of one pool, and who of them asks next.

#![expect(
    clippy::disallowed_methods,
    reason = "places a thousand clients at once, and gives each a row"
)]

use std::sync::Arc;

use sqlx::types::Uuid;
use sqlx::{Connection, PgConnection};
use tenantry::{ClientConnectionManager, ClientId, ConnectionOptions, TenantDb};

use super::stage::Stage;

/// Clients with an agent each, in the pool database and in the one that is written to by hand, both of which
/// have the function [`NAME_OF`].
pub(crate) struct Crowd {
    pub(crate) manager: ClientConnectionManager,
    pub(crate) dbs: Arc<[TenantDb]>,
    pub(crate) ids: Arc<[Uuid]>,
}

/// The agent that each has.
pub(crate) const SLUG: &str = "guide";

/// A function of the host's, which runs as whoever calls it.
pub(crate) const NAME_OF: &str = "agent_name";

const CREATE_NAME_OF: &str = "
create function agent_name(p_client_id uuid, p_slug text) returns text
language plpgsql stable security invoker
set search_path = public, pg_temp
as $$
begin
    return (select a.name from agents a where a.client_id = p_client_id and a.slug = p_slug);
end
$$;
";

impl Crowd {
    /// So many clients more, of a manager with such connections. All handles are resolved.
    pub(crate) async fn gather(stage: &Stage, count: i32, connections: ConnectionOptions) -> Self {
        let database = |name| stage.fixture.database(name);
        // The directory opens a connection to the pool database for each client that it makes.
        let mut platform = admin(stage, &database("platform")).await;
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "insert into platform.clients (name, slug, tier, status)
             select slug, slug, 'adventurer', 'active'
             from (select 'crowd-' || n from generate_series(1, $1) n) crowd (slug)
             returning id",
        )
        .bind(count)
        .fetch_all(&mut platform)
        .await
        .unwrap();
        platform.close().await.unwrap();

        let mut pool = admin(stage, &database("pool-1")).await;
        sqlx::query("select tenantry.place(id, 'active', 1) from unnest($1::uuid[]) id")
            .bind(&ids)
            .execute(&mut pool)
            .await
            .unwrap();
        for mut admin in [pool, admin(stage, &stage.hand).await] {
            sqlx::raw_sql(CREATE_NAME_OF).execute(&mut admin).await.unwrap();
            sqlx::query(
                "insert into agents (client_id, slug, name, description)
                 select id, $2, 'Guide', 'Answers what it is asked, and says so where it cannot.'
                 from unnest($1::uuid[]) id",
            )
            .bind(&ids)
            .bind(SLUG)
            .execute(&mut admin)
            .await
            .unwrap();
            sqlx::raw_sql("analyze agents").execute(&mut admin).await.unwrap();
            admin.close().await.unwrap();
        }

        let manager = stage.manager_with(connections).await;
        let mut dbs = Vec::with_capacity(ids.len());
        for id in &ids {
            dbs.push(manager.tenant(ClientId::from(*id)).await.unwrap());
        }
        Self {
            manager,
            dbs: dbs.into(),
            ids: ids.into(),
        }
    }
}

async fn admin(stage: &Stage, database: &str) -> PgConnection {
    let options = stage.fixture.admin_options(database);
    PgConnection::connect_with(&options).await.unwrap()
}

/// Draws numbers below a bound, by a weight that each has; the same ones in every run.
#[derive(Clone)]
pub(crate) struct Draw {
    /// The sums of the weights so far.
    sums: Arc<[f64]>,
    state: u64,
}

impl Draw {
    /// The n-th has the weight 1 / n.
    pub(crate) fn zipf(count: usize) -> Self {
        Self::by(count, |n| 1.0 / n)
    }

    pub(crate) fn uniform(count: usize) -> Self {
        Self::by(count, |_| 1.0)
    }

    fn by(count: usize, weight: impl Fn(f64) -> f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=u32::try_from(count).unwrap())
            .map(|n| {
                sum += weight(f64::from(n));
                sum
            })
            .collect();
        Self { sums, state: 0 }
    }

    /// The same weights, and other numbers than another seed draws.
    pub(crate) fn seeded(&self, seed: u64) -> Self {
        let sums = Arc::clone(&self.sums);
        Self {
            sums,
            state: seed << 32,
        }
    }

    pub(crate) fn next(&mut self) -> usize {
        let last = self.sums.len() - 1;
        #[expect(clippy::cast_precision_loss, reason = "53 bits are a float's")]
        let at = (self.random() >> 11) as f64 / (1_u64 << 53) as f64 * self.sums[last];
        self.sums.partition_point(|sum| *sum <= at).min(last)
    }

    /// The generator `SplitMix64`.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
