//! The connections of a pool database, and the trait that spells statements, are named nowhere outside.

use tenantry::database::Lease;
use tenantry::query::verb::sealed::Verb;
use tenantry::tenant::TenantDb;

fn main() {}
