//! The crate against a real PostgreSQL, a module per behaviour.

mod cancellation;
mod executor;
mod explain;
mod fence;
mod half_open;
mod homes;
mod isolation;
mod kernel;
mod layers;
mod limits;
mod macros;
mod pgbouncer;
mod platform;
mod pooler;
mod private_server;
mod query;
mod refusals;
mod residue;
mod routing;
mod run;
mod safety;
mod schema;
mod scope;
mod sql;
mod support;
mod telemetry;
