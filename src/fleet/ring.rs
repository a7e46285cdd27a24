use std::collections::HashSet;

use sha2::{Digest, Sha256};

use super::database::Listed;
use crate::error::{Error, FleetError, Result};

/// Databases of the fleet that are migrated before the next ones are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    members: Members,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    Named(Vec<String>),
    Percent(u8),
    All,
}

impl Ring {
    /// Pools by their names and dedicated databases by the slugs of their clients.
    pub fn named<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        Self {
            members: Members::Named(names.into_iter().map(Into::into).collect()),
        }
    }

    /// So many of the fleet, with those of the rings before it: always the same ones, as long as none comes or goes.
    pub const fn percent(percent: u8) -> Self {
        Self {
            members: Members::Percent(if percent > 100 { 100 } else { percent }),
        }
    }

    /// All that are in no ring before it.
    pub const fn all() -> Self {
        Self {
            members: Members::All,
        }
    }

    /// As it is told: `canaries`, `20 %`, `all`.
    pub(super) fn name(&self) -> String {
        match &self.members {
            Members::Named(_) => "canaries".to_owned(),
            Members::Percent(percent) => format!("{percent} %"),
            Members::All => "all".to_owned(),
        }
    }
}

/// The databases of each ring. A name that is none is an error: a canary that is not there watches nothing.
pub(super) fn divide(rings: &[Ring], fleet: Vec<Listed>) -> Result<Vec<(String, Vec<Listed>)>> {
    let total = fleet.len();
    let mut left = fleet;
    // Neither by name nor by age: the first percents are to be like the rest.
    left.sort_by_cached_key(|listed| Sha256::digest(listed.database.of.as_uuid()));
    let known: HashSet<String> = left.iter().map(|listed| listed.database.name.clone()).collect();
    let mut divided = Vec::with_capacity(rings.len());
    for ring in rings {
        let members = match &ring.members {
            Members::Named(names) => {
                if let Some(unknown) = names.iter().find(|name| !known.contains(*name)) {
                    return Err(Error::Fleet {
                        database: "the fleet".to_owned(),
                        step: "dividing it into rings",
                        source: FleetError::UnknownDatabase {
                            name: unknown.clone(),
                        },
                    });
                }
                left.extract_if(.., |listed| names.contains(&listed.database.name))
                    .collect()
            }
            Members::Percent(percent) => {
                let wanted = (total * usize::from(*percent)).div_ceil(100);
                let more = wanted.saturating_sub(total - left.len());
                left.drain(..more.min(left.len())).collect()
            }
            Members::All => std::mem::take(&mut left),
        };
        divided.push((ring.name(), members));
    }
    Ok(divided)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::PoolId;
    use crate::directory::FleetOwner;
    use crate::fleet::FleetDatabase;

    fn fleet(size: usize) -> Vec<Listed> {
        (0..size)
            .map(|number| {
                Listed::unknown(FleetDatabase {
                    of: FleetOwner::Pool(PoolId::new()),
                    name: format!("pool-{number}"),
                })
            })
            .collect()
    }

    fn sizes(rings: &[Ring], size: usize) -> Vec<usize> {
        let divided = divide(rings, fleet(size)).unwrap();
        divided.iter().map(|(_, members)| members.len()).collect()
    }

    #[test]
    fn each_database_is_in_the_first_ring_that_has_it() {
        let rings = [Ring::named(["pool-3", "pool-7"]), Ring::percent(25), Ring::all()];
        assert_eq!(sizes(&rings, 20), [2, 3, 15]);
        assert_eq!(sizes(&rings[..2], 20), [2, 3]);
        assert_eq!(sizes(&[Ring::percent(1), Ring::percent(1)], 20), [1, 0]);
        assert_eq!(sizes(&[Ring::percent(200)], 20), [20]);
    }

    #[test]
    fn a_part_of_the_fleet_is_always_the_same() {
        let fleet = fleet(50);
        let mut other_way = fleet.clone();
        other_way.reverse();
        let names = |fleet| {
            let mut divided = divide(&[Ring::percent(20)], fleet).unwrap();
            let (_, members) = divided.remove(0);
            members
                .into_iter()
                .map(|listed| listed.database.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(fleet), names(other_way));
    }

    #[test]
    fn a_canary_that_is_not_there_is_an_error() {
        let error = divide(&[Ring::named(["pool-9"])], fleet(3)).unwrap_err();
        assert!(
            matches!(&error, Error::Fleet { source: FleetError::UnknownDatabase { name }, .. } if name == "pool-9"),
            "{error:?}"
        );
    }
}
