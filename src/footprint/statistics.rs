//! What the statistics of a table tell of the clients whose rows it has. No I/O.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::figure::{Parts, float};

/// A table, or a partition of one, as the server knows it without reading it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, Default, sqlx::FromRow)]
pub(super) struct Leaf {
    pub(super) root: i64,
    /// The table that it is of: schema and name, not quoted.
    pub(super) name: String,
    /// What all its rows are selected from.
    pub(super) sql: String,
    /// Whether the rows say whose they are.
    pub(super) own: bool,
    /// The column that says when a row last changed, quoted.
    pub(super) latest: Option<String>,
    /// Whether an index leads to the newest of it.
    pub(super) latest_indexed: bool,
    /// The columns that are stored, quoted.
    pub(super) widths: Vec<String>,
    /// Whether its rows are on another server.
    elsewhere: bool,
    pub(super) hidden: bool,
    pages: i64,
    bytes: i64,
    /// How many rows there were when it was last vacuumed or analysed, and on how many pages.
    tuples: f64,
    tuples_pages: i64,
    sampled: bool,
    distinct_clients: f64,
    clients: Vec<Uuid>,
    frequencies: Vec<f64>,
    /// In microseconds since 1970.
    analysed: Option<i64>,
    changed_since: i64,
    /// What holds for the clients whose rows it may have.
    pub(super) bound: Option<String>,
}

/// How many rows there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rows {
    None,
    About(f64),
    Unknown,
}

impl Leaf {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.unsigned_abs()
    }

    pub(super) fn changed_since(&self) -> u64 {
        self.changed_since.unsigned_abs()
    }

    pub(super) fn analysed(&self) -> Option<SystemTime> {
        self.analysed.and_then(moment)
    }

    /// As the planner takes it: as many a page as there were, on the pages that there are now.
    pub(super) fn rows(&self) -> Rows {
        if self.elsewhere {
            return Rows::Unknown;
        }
        if self.pages == 0 {
            return Rows::None;
        }
        if self.tuples < 0.0 || self.tuples_pages == 0 {
            return Rows::Unknown;
        }
        let (then, now) = (self.tuples_pages.unsigned_abs(), self.pages.unsigned_abs());
        Rows::About(self.tuples / float(then) * float(now))
    }

    /// What of it is whose, where `present` are the clients of the database that may have rows in it.
    pub(super) fn divide(&self, present: &[Uuid]) -> Division {
        let rows = match self.rows() {
            Rows::None => return Division::Nothing,
            Rows::About(rows) if self.sampled => rows,
            Rows::About(_) | Rows::Unknown => return Division::Unknown,
        };
        let listed: HashMap<Uuid, f64> = (self.clients.iter().copied())
            .zip(self.frequencies.iter().copied())
            .collect();
        let distinct = if self.distinct_clients < 0.0 {
            -self.distinct_clients * rows
        } else {
            self.distinct_clients
        };
        let unlisted = present
            .iter()
            .filter(|client| !listed.contains_key(client))
            .count();
        let rest = (1.0 - listed.values().sum::<f64>()).max(0.0);
        // Over all who may have rows, so that no more is given out than there is; over more, where more have.
        let others = float(unlisted as u64)
            .max(distinct - float(listed.len() as u64))
            .max(1.0);
        Division::Shares {
            rows,
            bytes: float(self.bytes()),
            analysed: self.analysed(),
            each: rest / others,
            listed,
        }
    }
}

/// What of a table is whose.
#[derive(Clone, Debug)]
pub(super) enum Division {
    /// There are no rows.
    Nothing,
    /// There are rows, and it is not known whose.
    Unknown,
    Shares {
        rows: f64,
        bytes: f64,
        analysed: Option<SystemTime>,
        /// The share of each client that is among the most common ones.
        listed: HashMap<Uuid, f64>,
        /// The share of any other.
        each: f64,
    },
}

impl Division {
    /// Adds what of it is the client's, to its rows and to its bytes.
    pub(super) fn add(&self, client: Uuid, rows: &mut Parts, bytes: &mut Parts) {
        match self {
            Self::Nothing => {}
            Self::Unknown => {
                rows.unknown();
                bytes.unknown();
            }
            Self::Shares {
                rows: all_rows,
                bytes: all_bytes,
                analysed,
                listed,
                each,
            } => {
                let (share, guessed) = listed.get(&client).map_or((*each, *each), |share| (*share, 0.0));
                rows.estimate(share * all_rows, guessed * all_rows, *analysed);
                bytes.estimate(share * all_bytes, guessed * all_bytes, *analysed);
            }
        }
    }

    /// Adds what is left when all who are present have theirs.
    pub(super) fn add_rest(&self, present: &[Uuid], rows: &mut Parts, bytes: &mut Parts) {
        let Self::Shares {
            rows: all_rows,
            bytes: all_bytes,
            analysed,
            listed,
            each,
        } = self
        else {
            // What is nobody's or not known has no rest of its own.
            return self.add(Uuid::nil(), rows, bytes);
        };
        let of = |client: &Uuid| listed.get(client).unwrap_or(each);
        let known: f64 = present.iter().map(of).sum();
        let strangers: f64 = (listed.iter())
            .filter(|(client, _)| !present.contains(client))
            .map(|(_, share)| share)
            .sum();
        let left = (1.0 - known).max(0.0);
        let guessed = (left - strangers).max(0.0);
        rows.estimate(left * all_rows, guessed * all_rows, *analysed);
        bytes.estimate(left * all_bytes, guessed * all_bytes, *analysed);
    }
}

/// A moment by its microseconds since 1970.
pub(super) fn moment(micros: i64) -> Option<SystemTime> {
    let since = Duration::from_micros(micros.unsigned_abs());
    if micros < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(since)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::footprint::figure::Figure;

    const fn client(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn leaf() -> Leaf {
        Leaf {
            pages: 20,
            bytes: 400_000,
            tuples: 500.0,
            tuples_pages: 10,
            sampled: true,
            distinct_clients: 4.0,
            clients: vec![client(1), client(2)],
            frequencies: vec![0.6, 0.3],
            ..Leaf::default()
        }
    }

    fn of(leaf: &Leaf, present: &[Uuid], of: Uuid) -> (Option<u64>, Option<u64>, bool) {
        let (mut rows, mut bytes) = Default::default();
        leaf.divide(present).add(of, &mut rows, &mut bytes);
        (
            rows.figure().amount(),
            bytes.figure().amount(),
            rows.figure().is_guess(),
        )
    }

    #[test]
    fn the_most_common_have_what_was_sampled_and_the_others_share_the_rest() {
        let (leaf, present) = (leaf(), [1, 2, 3, 4].map(client));
        // Twice as many pages as when it was analysed.
        assert_eq!(leaf.rows(), Rows::About(1_000.0));
        assert_eq!(of(&leaf, &present, client(1)), (Some(600), Some(240_000), false));
        assert_eq!(of(&leaf, &present, client(2)), (Some(300), Some(120_000), false));
        assert_eq!(of(&leaf, &present, client(3)), (Some(50), Some(20_000), true));
    }

    #[test]
    fn no_more_is_given_out_than_there_is_and_what_is_left_is_told() {
        let leaf = leaf();
        for (present, left) in [
            (vec![1, 2, 3, 4], 0),
            // Two of five that have none are not told from the others.
            (vec![1, 2, 3, 4, 5, 6, 7], 0),
            (vec![1, 2], 100),
            (vec![2, 3], 650),
            (vec![], 1_000),
        ] {
            let present: Vec<_> = present.into_iter().map(client).collect();
            let division = leaf.divide(&present);
            let (mut all, mut bytes) = (Parts::default(), Parts::default());
            for client in &present {
                division.add(*client, &mut all, &mut bytes);
            }
            let (mut rest, mut rest_bytes) = (Parts::default(), Parts::default());
            division.add_rest(&present, &mut rest, &mut rest_bytes);
            assert_eq!(rest.figure().amount(), Some(left), "{present:?}");
            let sum = all.figure().amount().unwrap() + left;
            assert_eq!(sum, 1_000, "{present:?}");
            let sum = bytes.figure().amount().unwrap() + rest_bytes.figure().amount().unwrap();
            assert_eq!(sum, 400_000, "{present:?}");
        }
    }

    #[test]
    fn a_share_of_the_rows_may_be_the_number_of_clients() {
        let mut leaf = leaf();
        leaf.distinct_clients = -0.102;
        assert_eq!(of(&leaf, &[], client(9)).0, Some(1));
    }

    #[test]
    fn what_was_never_analysed_is_unknown_and_what_has_no_page_is_empty() {
        let never = Leaf {
            tuples: -1.0,
            tuples_pages: 0,
            sampled: false,
            ..leaf()
        };
        let while_empty = Leaf {
            tuples: 0.0,
            tuples_pages: 0,
            sampled: false,
            ..leaf()
        };
        let vacuumed = Leaf {
            sampled: false,
            ..leaf()
        };
        let elsewhere = Leaf {
            elsewhere: true,
            pages: 0,
            ..leaf()
        };
        for leaf in [never, while_empty, vacuumed, elsewhere] {
            let (mut rows, mut bytes) = Default::default();
            leaf.divide(&[]).add(client(1), &mut rows, &mut bytes);
            assert_eq!(
                (rows.figure(), bytes.figure()),
                (Figure::Unknown, Figure::Unknown)
            );
        }
        let empty = Leaf {
            pages: 0,
            tuples: -1.0,
            sampled: false,
            ..leaf()
        };
        let (mut rows, mut bytes) = Default::default();
        empty.divide(&[]).add(client(1), &mut rows, &mut bytes);
        assert_eq!(
            (rows.figure(), bytes.figure()),
            (Figure::Exact(0), Figure::Exact(0))
        );
    }
}
