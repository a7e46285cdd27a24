use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::client::ClientId;
use crate::plan::Limit;

/// What a process asks for when it takes a block of a client's month.
#[derive(Clone, Copy, Debug)]
pub struct TakeUsage<'a> {
    /// The client.
    pub client: ClientId,
    /// The limit that counts it.
    pub limit: &'a Limit,
    /// So much at least, or nothing.
    pub needed: i64,
    /// So much where there is plenty.
    pub block: i64,
}

/// What it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenUsage {
    /// How much it may use; 0 where less than needed is left.
    pub granted: i64,
    /// How much all processes have taken of the month, this block included.
    pub used: i64,
    /// How much the limit allows now; `None` for unlimited.
    pub allowed: Option<i64>,
    /// The month that it is of.
    pub month: Month,
}

/// What a client used of one limit in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// The limit that counts it.
    pub limit: Limit,
    /// The month.
    pub month: Month,
    /// How much was taken and not given back: what was used, and what processes still hold of their last blocks.
    pub used: i64,
}

/// A calendar month, in UTC. Reads and shows itself as `2026-02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u16,
    /// From 1 on.
    month: u8,
}

impl Month {
    /// The month of a year, the first being 1; `None` where there is no such month.
    pub const fn new(year: u16, month: u8) -> Option<Self> {
        match (year, month) {
            (1970..=9999, 1..=12) => Some(Self { year, month }),
            _ => None,
        }
    }

    /// The month of a moment; the first of 1970 for what is before.
    pub fn of(moment: SystemTime) -> Self {
        let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut days = since.as_secs() / (24 * 60 * 60);
        let mut year = 1970;
        while days >= days_of(year, 1..=12) && year < 9999 {
            days -= days_of(year, 1..=12);
            year += 1;
        }
        let mut month = 1;
        while month < 12 && days >= days_of(year, month..=month) {
            days -= days_of(year, month..=month);
            month += 1;
        }
        Self { year, month }
    }

    /// The year.
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month of the year, the first being 1.
    pub const fn month(self) -> u8 {
        self.month
    }
}

fn days_of(year: u16, months: impl IntoIterator<Item = u8>) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = |month| match month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    months.into_iter().map(days).sum()
}

impl FromStr for Month {
    type Err = UnknownMonth;

    fn from_str(text: &str) -> Result<Self, UnknownMonth> {
        let read = || {
            let (year, month) = text.split_once('-')?;
            let digits = |text: &str, most| text.len() == most && text.bytes().all(|b| b.is_ascii_digit());
            if !digits(year, 4) || !digits(month, 2) {
                return None;
            }
            Self::new(year.parse().ok()?, month.parse().ok()?)
        };
        read().ok_or_else(|| UnknownMonth(text.chars().take(100).collect()))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no [`Month`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no month such as 2026-02")]
pub struct UnknownMonth(String);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_has_the_month_of_the_calendar() {
        for (second, month) in [
            (0, "1970-01"),
            (2_678_399, "1970-01"),
            (2_678_400, "1970-02"),
            (951_782_399, "2000-02"),
            (951_868_800, "2000-03"),
            (1_709_164_800, "2024-02"),
            (1_709_251_200, "2024-03"),
            (1_767_225_599, "2025-12"),
            (1_767_225_600, "2026-01"),
            (4_107_542_400, "2100-03"),
        ] {
            let of = Month::of(UNIX_EPOCH + Duration::from_secs(second));
            assert_eq!(of.to_string(), month, "{second}");
            assert_eq!(month.parse(), Ok(of));
        }
    }

    #[test]
    fn what_is_no_month_is_refused() {
        for text in [
            "", "2026", "2026-0", "2026-00", "2026-13", "+202-01", "2026-1x", "1969-12",
        ] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
