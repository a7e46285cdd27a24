use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A text that names no [`Limit`] and no [`Feature`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the name of a {kind}: a to z first, then 0 to 9 and _ as well, 63 at most")]
pub struct InvalidPlanName {
    text: String,
    kind: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Cow<'static, str>);

        impl $name {
            /// The one of that name; `None` where it is no name. In a constant, `unwrap` it: the compiler then
            /// refuses a wrong one.
            pub const fn new(name: &'static str) -> Option<Self> {
                if is_name(name.as_bytes()) {
                    Some(Self(Cow::Borrowed(name)))
                } else {
                    None
                }
            }

            /// One of the crate's own; a test says that each is a name.
            const fn known(name: &'static str) -> Self {
                Self(Cow::Borrowed(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidPlanName;

            fn from_str(text: &str) -> Result<Self, InvalidPlanName> {
                text.to_owned().try_into()
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidPlanName;

            fn try_from(text: String) -> Result<Self, InvalidPlanName> {
                if is_name(text.as_bytes()) {
                    return Ok(Self(Cow::Owned(text)));
                }
                let text = text.chars().take(100).collect();
                Err(InvalidPlanName { text, kind: $kind })
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name! {
    /// The name of something that a plan limits. The host has its own beside these.
    ///
    /// ```
    /// use tenantry::{Limit, Limits};
    ///
    /// const MAX_WIDGETS: Limit = Limit::new("max_widgets").unwrap();
    ///
    /// let limits = Limits::default().with(MAX_WIDGETS, Some(3)).with(Limit::MAX_DOCUMENTS, None);
    /// assert_eq!(limits.get(&MAX_WIDGETS), Some(Some(3)));
    /// ```
    Limit, "limit"
}

name! {
    /// The name of something that a plan has or has not. The host has its own beside these.
    Feature, "feature"
}

impl Limit {
    /// How long a statement on a pool database may run, in milliseconds.
    pub const STATEMENT_TIMEOUT_MS: Self = Self::known("statement_timeout_ms");
    /// How long one may wait for a lock, in milliseconds.
    pub const LOCK_TIMEOUT_MS: Self = Self::known("lock_timeout_ms");
    /// How long a transaction may be idle, in milliseconds; its connection is then closed.
    pub const IDLE_IN_TRANSACTION_TIMEOUT_MS: Self = Self::known("idle_in_transaction_timeout_ms");
    /// How many connections of a process to its pool database a client uses at once at most.
    pub const MAX_CONNECTIONS: Self = Self::known("max_connections");

    /// How many sidekicks a client has. The platform database keeps it in a column of its own, so that every client
    /// of every tier has it, unlimited where none was said.
    pub const MAX_SIDEKICKS: Self = Self::known("max_sidekicks");
    /// How many agents a client has.
    pub const MAX_AGENTS: Self = Self::known("max_agents");
    /// How many users a client has.
    pub const MAX_USERS: Self = Self::known("max_users");
    /// How many documents a client has.
    pub const MAX_DOCUMENTS: Self = Self::known("max_documents");
    /// How large a document is, in megabytes.
    pub const MAX_DOCUMENT_MB: Self = Self::known("max_document_mb");
    /// How much a client stores, in gigabytes.
    pub const MAX_STORAGE_GB: Self = Self::known("max_storage_gb");
    /// How many calls a client makes in a calendar month.
    pub const API_CALLS_PER_MONTH: Self = Self::known("api_calls_per_month");
    /// How many requests a client makes in a second.
    pub const REQUESTS_PER_SECOND: Self = Self::known("requests_per_second");
    /// How many requests a client makes in a minute.
    pub const REQUESTS_PER_MINUTE: Self = Self::known("requests_per_minute");

    /// The time that a rate is of, as its name says: `_per_second`, `_per_minute`, `_per_hour` or `_per_day`.
    /// `None` of all others; a month is no fixed time, and what is of a month is metered.
    pub fn period(&self) -> Option<Duration> {
        let (_, unit) = self.0.rsplit_once("_per_")?;
        let seconds = match unit {
            "second" => 1,
            "minute" => 60,
            "hour" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Whether it is counted over a calendar month: its name ends in `_per_month`.
    pub fn is_of_a_month(&self) -> bool {
        self.0.ends_with("_per_month")
    }
}

impl Feature {
    /// Answers from the client's own documents.
    pub const RAG: Self = Self::known("rag");
    /// Voice.
    pub const VOICE: Self = Self::known("voice");
    /// Video.
    pub const VIDEO: Self = Self::known("video");
    /// A voice of the client's own.
    pub const CUSTOM_VOICE: Self = Self::known("custom_voice");
    /// Access by programs.
    pub const API_ACCESS: Self = Self::known("api_access");
    /// Support before others.
    pub const PRIORITY_SUPPORT: Self = Self::known("priority_support");
    /// The client's name in place of the platform's.
    pub const WHITE_LABEL: Self = Self::known("white_label");
    /// Integrations made for the client.
    pub const CUSTOM_INTEGRATIONS: Self = Self::known("custom_integrations");
    /// People of its own to support it.
    pub const DEDICATED_SUPPORT: Self = Self::known("dedicated_support");
    /// Figures of its use.
    pub const ANALYTICS: Self = Self::known("analytics");
    /// Single sign-on.
    pub const SSO: Self = Self::known("sso");
    /// A log of who did what.
    pub const AUDIT_LOGS: Self = Self::known("audit_logs");
    /// A service-level agreement.
    pub const SLA: Self = Self::known("sla");
}

/// As the platform database has it. `hosting` stands beside the limits of a client there and is none.
const fn is_name(name: &[u8]) -> bool {
    if name.is_empty() || name.len() > 63 || !name[0].is_ascii_lowercase() || is(name, b"hosting") {
        return false;
    }
    let mut at = 1;
    while at < name.len() {
        if !(name[at].is_ascii_lowercase() || name[at].is_ascii_digit() || name[at] == b'_') {
            return false;
        }
        at += 1;
    }
    true
}

const fn is(name: &[u8], other: &[u8]) -> bool {
    if name.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < name.len() {
        if name[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_platform_database_takes_for_one() {
        for name in ["a", "max_documents", "b2_", &"x".repeat(63)] {
            assert_eq!(name.parse::<Limit>().unwrap().as_str(), name);
        }
        for wrong in [
            "",
            "A",
            "1st",
            "_a",
            "a-b",
            "a b",
            "é",
            "hosting",
            &"x".repeat(64),
        ] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong:?}");
            assert!(wrong.parse::<Feature>().is_err(), "{wrong:?}");
        }
        assert_eq!(Limit::new("hosting"), None);
        assert_eq!(Limit::new("max_documents"), Some(Limit::MAX_DOCUMENTS));
    }

    #[test]
    fn the_names_of_the_crate_are_names() {
        for limit in [
            Limit::STATEMENT_TIMEOUT_MS,
            Limit::LOCK_TIMEOUT_MS,
            Limit::IDLE_IN_TRANSACTION_TIMEOUT_MS,
            Limit::MAX_CONNECTIONS,
            Limit::MAX_SIDEKICKS,
            Limit::MAX_AGENTS,
            Limit::MAX_USERS,
            Limit::MAX_DOCUMENTS,
            Limit::MAX_DOCUMENT_MB,
            Limit::MAX_STORAGE_GB,
            Limit::API_CALLS_PER_MONTH,
            Limit::REQUESTS_PER_SECOND,
            Limit::REQUESTS_PER_MINUTE,
        ] {
            assert_eq!(limit.as_str().parse::<Limit>().unwrap(), limit);
        }
        for feature in [
            Feature::RAG,
            Feature::VOICE,
            Feature::VIDEO,
            Feature::CUSTOM_VOICE,
            Feature::API_ACCESS,
            Feature::PRIORITY_SUPPORT,
            Feature::WHITE_LABEL,
            Feature::CUSTOM_INTEGRATIONS,
            Feature::DEDICATED_SUPPORT,
            Feature::ANALYTICS,
            Feature::SSO,
            Feature::AUDIT_LOGS,
            Feature::SLA,
        ] {
            assert_eq!(feature.as_str().parse::<Feature>().unwrap(), feature);
        }
    }

    #[test]
    fn a_rate_says_its_time_in_its_name() {
        assert_eq!(Limit::REQUESTS_PER_SECOND.period(), Some(Duration::from_secs(1)));
        assert_eq!(Limit::REQUESTS_PER_MINUTE.period(), Some(Duration::from_mins(1)));
        assert_eq!(Limit::API_CALLS_PER_MONTH.period(), None);
        assert!(Limit::API_CALLS_PER_MONTH.is_of_a_month());
        assert_eq!(Limit::MAX_DOCUMENTS.period(), None);
    }
}
