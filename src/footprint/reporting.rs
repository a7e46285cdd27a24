//! Reading all pools for a report.

use std::collections::HashMap;

use futures_util::stream::{self, StreamExt};

use super::client_footprint::{Footprint, PoolFootprint};
use super::figure::{Figure, Total, float};
use super::footprints::Footprints;
use super::growth::GrowthBounds;
use super::placed::{ListedPool, pools};
use super::report::{CapacityReport, Freed, LargeClient, Outgrown, PoolCapacity, UnreadPool};
use crate::client::{ClientId, ClientRecord};
use crate::directory::{ClientFilter, Directory};
use crate::error::{Error, Result};
use crate::plan::{Hosting, TierCatalog};

/// How many of the largest clients of a pool are told, where nothing else is said.
const LARGEST: usize = 5;

/// As many clients are listed at once as the platform gives.
const CLIENTS_AT_ONCE: u16 = 1_000;

impl Footprints {
    /// How full the pools are, who has outgrown one, and what moving them would free; by statistics, as
    /// [`pool`](Self::pool) tells them, of so many databases at once as
    /// [`databases_at_once`](crate::FootprintOptions::databases_at_once) says. A pool that cannot be read does not keep
    /// the others from being told.
    ///
    /// # Errors
    /// [`Error::Platform`] where the platform database does not answer.
    pub async fn report(&self, bounds: &GrowthBounds) -> Result<CapacityReport> {
        let tiers = self.platform.tiers().await?;
        let listed = pools(&self.platform).await?;
        let read = stream::iter(listed.into_iter().enumerate())
            .map(|(at, pool)| {
                let tiers = &tiers;
                async move { (at, self.read_pool(&pool, bounds, tiers).await, pool) }
            })
            .buffer_unordered(self.options.databases_at_once);
        let mut read: Vec<_> = read.collect().await;
        read.sort_by_key(|(at, ..)| *at);
        let mut report = CapacityReport {
            pools: Vec::new(),
            outgrown: Vec::new(),
            unread: Vec::new(),
        };
        for (_, outcome, pool) in read {
            match outcome {
                Ok((capacity, outgrown)) => {
                    report.pools.push(capacity);
                    report.outgrown.extend(outgrown);
                }
                Err(error @ Error::Platform { .. }) => return Err(error),
                Err(error) => report.unread.push(UnreadPool {
                    pool: pool.id,
                    name: pool.name,
                    error,
                }),
            }
        }
        for outgrown in &mut report.outgrown {
            let others = report.pools.iter().filter(|pool| pool.pool != outgrown.pool);
            let has_room = |pool: &&PoolCapacity| {
                pool.room > 0
                    && pool
                        .room_bytes
                        .is_none_or(|room| room >= outgrown.client.bytes.amount)
            };
            outgrown.pools_with_room = others.filter(has_room).map(|pool| pool.pool).collect();
        }
        report
            .outgrown
            .sort_by_key(|outgrown| std::cmp::Reverse(outgrown.client.bytes.amount));
        Ok(report)
    }

    async fn read_pool(
        &self,
        pool: &ListedPool,
        bounds: &GrowthBounds,
        tiers: &TierCatalog,
    ) -> Result<(PoolCapacity, Vec<Outgrown>)> {
        let records = self.records(pool).await?;
        let PoolFootprint {
            bytes,
            tables,
            clients,
            ..
        } = self.pool(pool.id).await?;
        let dedicated = tiers.iter().find(|tier| tier.hosting == Hosting::Dedicated);
        let (mut outgrown, mut all) = (Vec::new(), Vec::with_capacity(clients.len()));
        for footprint in clients {
            // One that came or left in between is told of the next time.
            let Some(record) = records.get(&footprint.client) else {
                continue;
            };
            let client = large(record, &footprint, bytes);
            let by = bounds.outgrown_by(record, &footprint, client.share, tiers);
            if !by.is_empty() {
                outgrown.push(Outgrown {
                    pool: pool.id,
                    tier: record.tier.clone(),
                    by,
                    frees: Freed {
                        bytes: client.bytes,
                        share: client.share,
                        leaves: bytes.saturating_sub(client.bytes.amount),
                    },
                    client: client.clone(),
                    dedicated_tier: dedicated.map(|tier| tier.name.clone()),
                    pools_with_room: Vec::new(),
                });
            }
            all.push(client);
        }
        all.sort_by_key(|client| std::cmp::Reverse(client.bytes.amount));
        all.truncate(bounds.largest.unwrap_or(LARGEST));
        let unknown = tables.iter().filter(|table| table.others_rows == Figure::Unknown);
        let unknown_tables = unknown.map(|table| table.table.clone()).collect();
        let others: Total = tables.iter().map(|table| table.others_bytes).sum();
        let capacity = PoolCapacity {
            pool: pool.id,
            name: pool.name.clone(),
            active: pool.active,
            capacity: pool.capacity.unsigned_abs(),
            clients: pool.client_count.unsigned_abs(),
            room: if pool.active {
                pool.capacity
                    .saturating_sub(pool.client_count)
                    .max(0)
                    .unsigned_abs()
            } else {
                0
            },
            bytes,
            room_bytes: bounds.pool_bytes.map(|most| most.saturating_sub(bytes)),
            others,
            unknown_tables,
            largest: all,
        };
        Ok((capacity, outgrown))
    }

    async fn records(&self, pool: &ListedPool) -> Result<HashMap<ClientId, ClientRecord>> {
        let filter = ClientFilter::default().pool(pool.id);
        let (mut records, mut after) = (HashMap::new(), None);
        loop {
            let page = self.platform.clients(&filter, after, CLIENTS_AT_ONCE).await?;
            records.extend(page.clients.into_iter().map(|record| (record.id, record)));
            after = page.next;
            if after.is_none() {
                return Ok(records);
            }
        }
    }
}

fn large(record: &ClientRecord, footprint: &Footprint, of: u64) -> LargeClient {
    let bytes = footprint.bytes();
    LargeClient {
        client: record.id,
        slug: record.slug.clone(),
        rows: footprint.rows(),
        bytes,
        share: float(bytes.amount) / float(of.max(1)),
    }
}
