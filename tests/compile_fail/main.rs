//! What does not compile, and what must.

mod futures;
mod record;
mod traits;

/// No public path leads to a connection of a pool database that is not bound to a client.
#[test]
fn no_public_path_yields_an_unscoped_connection() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/cases/*.rs");
}
