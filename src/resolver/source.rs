use std::fmt;
use std::sync::Arc;

/// A part of a request that names its client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The host name.
    Host,
    /// The header of that name, in lower case.
    Header(Arc<str>),
    /// The segment of the path after that prefix.
    Path(Arc<str>),
    /// The claim of that name, or of those names inside each other, joined by dots.
    Claim(Arc<str>),
    /// The query parameter of that name.
    Query(Arc<str>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host name"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Path(prefix) => write!(f, "path after {prefix}"),
            Self::Claim(name) => write!(f, "claim {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
        }
    }
}
