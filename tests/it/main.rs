//! The crate against a real PostgreSQL, a module per behaviour.

mod cancellation;
mod fence;
mod half_open;
mod isolation;
mod kernel;
mod layers;
mod limits;
mod macros;
mod model;
mod pgbouncer;
mod platform;
mod pooler;
mod private_server;
mod residue;
mod routing;
mod safety;
mod schema;
mod scope;
mod sql;
mod support;
mod telemetry;
