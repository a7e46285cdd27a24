//! Questions to a client's data: a builder that scopes itself, and calls of functions by name.

mod arguments;
mod bind;
mod filter;
mod order;
mod render;
mod rpc;
mod run;
mod tenant_query;
#[cfg(test)]
mod tests;
mod verb;

pub use self::bind::Bind;
pub use self::order::Order;
pub use self::rpc::Rpc;
pub use self::tenant_query::TenantQuery;
pub use self::verb::{Delete, Filtered, Insert, RowValues, Select, Update, Writes};
