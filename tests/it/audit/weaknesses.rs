//! Everything that is planted, one at a time, in a database that is as it should be: by the admin role, as a migration
//! that went wrong would, or by the superuser.
//!
//! `{app}`, `{admin}`, `{other}` and `{db}` stand for the names of the fixture.

pub(super) mod code;
pub(super) mod grants;
pub(super) mod kernel;
pub(super) mod keys;
pub(super) mod policies;
pub(super) mod roles;
pub(super) mod server;
pub(super) mod tables;

use super::planting::Plant;

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Plant> {
    [
        tables::ALL,
        policies::ALL,
        keys::ALL,
        code::ALL,
        roles::ALL,
        grants::ALL,
        server::ALL,
        kernel::ALL,
    ]
    .into_iter()
    .flatten()
}
