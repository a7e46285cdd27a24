use std::fmt;

use serde::Serialize;

use super::client_footprint::Footprint;
use super::figure::Total;
use crate::client::ClientRecord;
use crate::plan::{Limit, TierCatalog, TierName};

/// From when on a client has outgrown a pool, and how large a pool may be. Nothing is bounded that it does not say.
#[derive(Clone, Debug, Default)]
pub struct GrowthBounds {
    rows: Option<u64>,
    bytes: Option<u64>,
    share: Option<f64>,
    row_limits: Vec<(Limit, String)>,
    byte_limits: Vec<(Limit, u64)>,
    calls: Vec<Limit>,
    pub(super) pool_bytes: Option<u64>,
    pub(super) largest: Option<usize>,
}

impl GrowthBounds {
    /// So many rows in all tables at most. Defaults to no bound.
    #[must_use]
    pub fn rows(mut self, most: u64) -> Self {
        self.rows = Some(most);
        self
    }

    /// So many bytes in all tables at most, as [`estimate`](crate::Footprints::estimate) tells them. Defaults to no
    /// bound.
    #[must_use]
    pub fn bytes(mut self, most: u64) -> Self {
        self.bytes = Some(most);
        self
    }

    /// Such a part of its pool's bytes at most, from 0 to 1. Defaults to no bound.
    #[must_use]
    pub fn share(mut self, most: f64) -> Self {
        self.share = Some(most);
        self
    }

    /// The limit bounds the rows of a table, given as `schema.name`: those who have more than theirs have outgrown it.
    /// May be said of several. Defaults to none.
    #[must_use]
    pub fn limit_of_rows(mut self, limit: Limit, table: impl Into<String>) -> Self {
        self.row_limits.push((limit, table.into()));
        self
    }

    /// The limit bounds the bytes of all tables, in units of so many bytes, such as `1 << 30` for
    /// [`Limit::MAX_STORAGE_GB`]. May be said of several. Defaults to none.
    #[must_use]
    pub fn limit_of_bytes(mut self, limit: Limit, unit: u64) -> Self {
        self.byte_limits.push((limit, unit.max(1)));
        self
    }

    /// Those who have used up that metered limit this month have outgrown it. May be said of several. Defaults to none.
    #[must_use]
    pub fn limit_of_calls(mut self, limit: Limit) -> Self {
        self.calls.push(limit);
        self
    }

    /// How many bytes a pool database is to have at most: where it has fewer there is room. Defaults to no bound, by
    /// which the number of clients alone decides.
    #[must_use]
    pub fn pool_bytes(mut self, most: u64) -> Self {
        self.pool_bytes = Some(most);
        self
    }

    /// How many of the largest clients of each pool are told, whether they have outgrown it or not. Defaults to 5.
    #[must_use]
    pub fn largest(mut self, clients: usize) -> Self {
        self.largest = Some(clients);
        self
    }
}

/// Why a client has outgrown its pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outgrowth {
    /// It has more rows.
    Rows {
        /// How many it has.
        has: Total,
        /// How many are the bound.
        bound: u64,
    },
    /// It has more bytes.
    Bytes {
        /// How many it has.
        has: Total,
        /// How many are the bound.
        bound: u64,
    },
    /// It is a larger part of its pool.
    Share {
        /// Which part it is, from 0 to 1.
        has: f64,
        /// Which part is the bound.
        bound: f64,
    },
    /// It has more than a limit of its plan allows, or has used it up where that is metered.
    Limit {
        /// The limit.
        limit: Limit,
        /// How much it has, in the limit's own unit, rounded down.
        has: u64,
        /// How much it may have.
        allowed: i64,
        /// The lowest tier that allows more; `None` where there is none, or the limit is the client's own.
        lifted_by: Option<TierName>,
    },
}

impl GrowthBounds {
    /// What of it the client has outgrown, `share` being its part of its pool.
    pub(super) fn outgrown_by(
        &self,
        record: &ClientRecord,
        footprint: &Footprint,
        share: f64,
        tiers: &TierCatalog,
    ) -> Vec<Outgrowth> {
        let (rows, bytes) = (footprint.rows(), footprint.bytes());
        let mut found = Vec::new();
        if let Some(bound) = self.rows.filter(|most| rows.amount > *most) {
            found.push(Outgrowth::Rows { has: rows, bound });
        }
        if let Some(bound) = self.bytes.filter(|most| bytes.amount > *most) {
            found.push(Outgrowth::Bytes { has: bytes, bound });
        }
        if let Some(bound) = self.share.filter(|most| share > *most) {
            found.push(Outgrowth::Share { has: share, bound });
        }
        let over = |limit: &Limit, has: u64, exceeds: fn(i64, i64) -> bool| {
            let allowed = record.limit(limit)?;
            let used = i64::try_from(has).unwrap_or(i64::MAX);
            exceeds(used, allowed).then(|| Outgrowth::Limit {
                limit: limit.clone(),
                has,
                allowed,
                lifted_by: tiers
                    .lifting_from(&record.tier, limit, &record.limits, used)
                    .cloned(),
            })
        };
        let more = |used: i64, allowed: i64| used > allowed;
        found.extend(self.row_limits.iter().filter_map(|(limit, table)| {
            let has = footprint.table(table)?.rows.amount()?;
            over(limit, has, more)
        }));
        found.extend(self.byte_limits.iter().filter_map(|(limit, unit)| {
            // More than the whole units that it may have.
            let has = bytes.amount.div_ceil(*unit);
            over(limit, has, more)
        }));
        found.extend(self.calls.iter().filter_map(|limit| {
            let used = footprint.calls.iter().find(|usage| usage.limit == *limit)?.used;
            over(limit, used.unsigned_abs(), |used, allowed| used >= allowed)
        }));
        found
    }
}

impl fmt::Display for Outgrowth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rows { has, bound } => write!(f, "{has} rows of {bound}"),
            Self::Bytes { has, bound } => write!(f, "{has} bytes of {bound}"),
            Self::Share { has, bound } => {
                write!(f, "{:.1} % of its pool, of {:.1} %", has * 100.0, bound * 100.0)
            }
            Self::Limit {
                limit,
                has,
                allowed,
                lifted_by,
            } => {
                write!(f, "{has} of {allowed} {limit}")?;
                match lifted_by {
                    Some(tier) => write!(f, " (tier {tier} allows more)"),
                    None => Ok(()),
                }
            }
        }
    }
}
