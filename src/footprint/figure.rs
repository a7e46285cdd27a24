use std::fmt;
use std::iter::Sum;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

/// A number of rows or bytes, and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Figure {
    /// Counted, or measured.
    Exact(u64),
    /// Told by the statistics that `analyze` keeps.
    Estimated {
        /// How much.
        amount: u64,
        /// How much of that is a guess, of which nothing follows for the one client: it is not among the most common
        /// of a table, and what those leave is spread evenly over all others.
        guessed: u64,
        /// When the oldest of them were taken; `None` where the server does not know any more, as after a crash.
        #[serde(serialize_with = "as_seconds")]
        analysed: Option<SystemTime>,
    },
    /// There are no statistics: the table was never analysed, or only while it was empty. It is not nothing.
    Unknown,
}

impl Figure {
    /// How much; `None` where it is not known.
    pub const fn amount(self) -> Option<u64> {
        match self {
            Self::Exact(amount) | Self::Estimated { amount, .. } => Some(amount),
            Self::Unknown => None,
        }
    }

    /// Whether most of it is a guess.
    pub const fn is_guess(self) -> bool {
        matches!(self, Self::Estimated { amount, guessed, .. } if guessed > amount / 2)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(amount) => amount.fmt(f),
            Self::Estimated { amount, .. } if self.is_guess() => write!(f, "~{amount}?"),
            Self::Estimated { amount, .. } => write!(f, "~{amount}"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// Figures of several tables together, and what is missing from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Total {
    /// The sum of what is known.
    pub amount: u64,
    /// How much of it is estimated, guesses included. The rest is exact.
    pub estimated: u64,
    /// How much of it is guessed, as [`Figure::Estimated`] says.
    pub guessed: u64,
    /// Of how many tables nothing is known: it is so much at least where that is not zero.
    pub unknown_tables: u32,
}

impl Total {
    /// Whether every figure in it was counted or measured.
    pub const fn is_exact(&self) -> bool {
        self.estimated == 0 && self.unknown_tables == 0
    }
}

impl Sum<Figure> for Total {
    fn sum<I: Iterator<Item = Figure>>(figures: I) -> Self {
        figures.fold(Self::default(), |mut total, figure| {
            let amount = figure.amount().unwrap_or_default();
            total.amount = total.amount.saturating_add(amount);
            match figure {
                Figure::Exact(_) => {}
                Figure::Estimated { guessed, .. } => {
                    total.estimated = total.estimated.saturating_add(amount);
                    total.guessed = total.guessed.saturating_add(guessed);
                }
                Figure::Unknown => total.unknown_tables = total.unknown_tables.saturating_add(1),
            }
            total
        })
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.estimated == 0 { "" } else { "~" };
        let least = if self.unknown_tables == 0 { "" } else { "≥" };
        write!(f, "{least}{about}{}", self.amount)
    }
}

/// What several parts of a table tell of one client, put together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    amount: f64,
    guessed: f64,
    estimated: bool,
    unknown: bool,
    /// The oldest statistics.
    analysed: Option<SystemTime>,
    /// Whether it is unknown when some were taken.
    undated: bool,
}

impl Parts {
    pub(super) fn estimate(&mut self, amount: f64, guessed: f64, analysed: Option<SystemTime>) {
        self.amount += amount;
        self.guessed += guessed;
        self.estimated = true;
        self.undated |= analysed.is_none();
        self.analysed = match (self.analysed, analysed) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(super) fn unknown(&mut self) {
        self.unknown = true;
    }

    pub(super) fn figure(self) -> Figure {
        if self.unknown {
            return Figure::Unknown;
        }
        if !self.estimated {
            return Figure::Exact(0);
        }
        Figure::Estimated {
            amount: whole(self.amount),
            guessed: whole(self.guessed),
            analysed: self.analysed.filter(|_| !self.undated),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded, and held within its range"
)]
pub(super) fn whole(amount: f64) -> u64 {
    amount.round().max(0.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "an estimate, or the ratio of two")]
pub(super) fn float(amount: u64) -> f64 {
    amount as f64
}

/// A moment as whole seconds since 1970.
#[expect(clippy::ref_option, reason = "as serde calls it")]
pub(super) fn as_seconds<S: Serializer>(
    moment: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let since = moment.and_then(|moment| moment.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn estimated(amount: u64, guessed: u64) -> Figure {
        Figure::Estimated {
            amount,
            guessed,
            analysed: None,
        }
    }

    #[test]
    fn a_total_says_what_of_it_is_guessed_and_what_is_missing() {
        let figures = [
            Figure::Exact(5),
            estimated(10, 0),
            estimated(3, 2),
            Figure::Unknown,
        ];
        let total: Total = figures.into_iter().sum();
        assert_eq!(
            (total.amount, total.estimated, total.guessed, total.unknown_tables),
            (18, 13, 2, 1)
        );
        assert!(!total.is_exact());
        assert_eq!(total.to_string(), "≥~18");
        assert_eq!(
            figures.map(|figure| figure.to_string()),
            ["5", "~10", "~3?", "unknown"]
        );
        let known: Total = [Figure::Exact(5)].into_iter().sum();
        assert!(known.is_exact());
    }

    #[test]
    fn parts_that_are_unknown_make_all_unknown_and_the_oldest_statistics_count() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let mut parts = Parts::default();
        assert_eq!(parts.figure(), Figure::Exact(0));
        parts.estimate(1.4, 0.0, at(9));
        parts.estimate(1.4, 1.4, at(5));
        let (amount, guessed) = (3, 1);
        assert_eq!(
            parts.figure(),
            Figure::Estimated {
                amount,
                guessed,
                analysed: at(5)
            }
        );
        parts.estimate(0.0, 0.0, None);
        assert_eq!(
            parts.figure(),
            Figure::Estimated {
                amount,
                guessed,
                analysed: None
            }
        );
        parts.unknown();
        assert_eq!(parts.figure(), Figure::Unknown);
    }

    #[test]
    fn what_is_written_says_how_it_is_known() {
        let analysed = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(90));
        let figure = Figure::Estimated {
            amount: 7,
            guessed: 0,
            analysed,
        };
        assert_eq!(
            serde_json::to_value([figure, Figure::Exact(0), Figure::Unknown]).unwrap(),
            serde_json::json!([
                { "estimated": { "amount": 7, "guessed": 0, "analysed": 90 } },
                { "exact": 0 },
                "unknown"
            ])
        );
    }
}
