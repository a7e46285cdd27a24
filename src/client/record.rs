use std::time::SystemTime;

use super::{ClientDomain, ClientId, ClientSlug, ClientStatus, ExternalRef, PoolId};
use crate::plan::{Features, Grace, Hosting, Limit, Limits, Settings, TierName};
use crate::secret::Sealed;

/// The generation of a client's placement. It rises with every move, and a database refuses any other.
pub type Epoch = i64;

/// Where a client's rows live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Placement {
    /// Among other clients, in a pool database.
    Pool(PoolId),
    /// In a database of its own.
    Dedicated,
}

/// All that routing needs to know of a client, as the platform database has it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientRecord {
    /// Its identity.
    pub id: ClientId,
    /// Its name for people.
    pub name: String,
    /// Its name in host names and paths.
    pub slug: ClientSlug,
    /// Its name in another system.
    pub external_ref: Option<ExternalRef>,
    /// A domain of its own.
    pub domain: Option<ClientDomain>,
    /// Whether it is served.
    pub status: ClientStatus,
    /// Its tier.
    pub tier: TierName,
    /// The limits of its tier, with its own overrides applied. What [`limit`](Self::limit) says is what counts: it
    /// heeds the grace as well.
    pub limits: Limits,
    /// What limits that fell still allow.
    pub grace: Grace,
    /// The features of its tier, with its own overrides applied.
    pub features: Features,
    /// Its settings.
    pub settings: Settings,
    /// For how many days what it leaves behind is kept, by its tier or its own override; `None` for ever.
    pub retention_days: Option<u32>,
    /// For how many days what a limit allowed stays allowed after it fell, by its tier or its own override.
    pub grace_days: u32,
    /// Where its rows live.
    pub placement: Placement,
    /// The generation of its placement.
    pub epoch: Epoch,
    /// The sealed connection URL of its dedicated database, for the app role.
    pub connection: Option<Sealed>,
}

impl ClientRecord {
    /// How much of that it may have now: the limit, or what was allowed before it fell for as long as that is
    /// graced, whichever is more. `None` where it is not limited. No I/O; the clock is this machine's.
    pub fn limit(&self, limit: &Limit) -> Option<i64> {
        let allowed = self.limits.get(limit).flatten();
        self.grace.extend(limit, allowed, SystemTime::now())
    }

    /// The hosting that its placement amounts to.
    pub const fn hosting(&self) -> Hosting {
        match self.placement {
            Placement::Pool(_) => Hosting::Shared,
            Placement::Dedicated => Hosting::Dedicated,
        }
    }
}
