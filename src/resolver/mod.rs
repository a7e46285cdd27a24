//! Which client a request is for: by its host name, headers, path, verified claims and query, whatever carried it.

mod entitlement;
mod host;
mod named_by;
mod options;
mod path;
mod request;
mod source;
mod tenant_resolver;

pub use self::entitlement::Entitlement;
pub use self::named_by::NamedBy;
pub use self::options::ResolverOptions;
pub use self::request::{Claims, HeaderLookup, TenantRequest};
pub use self::source::Source;
pub use self::tenant_resolver::TenantResolver;
