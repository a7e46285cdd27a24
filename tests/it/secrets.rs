//! What clients' secrets are sealed with, what is stored, and that nothing tells them.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

mod credentials;
mod planted;
mod providers;
mod rotation;

use secrecy::{SecretBox, SecretString};
use tenantry::testing::Fixture;
use tenantry::{KeyProvider, Keyring, PlatformDirectory};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// A directory over the fixture's platform database, with keys of the test's own.
async fn directory(fixture: &Fixture, keys: impl KeyProvider + 'static) -> PlatformDirectory {
    let url = SecretString::from(fixture.admin_url(&fixture.database("platform")));
    PlatformDirectory::connect(&url, keys).await.unwrap()
}

/// The second key of a rotation.
fn second() -> SecretBox<[u8; 32]> {
    SecretBox::new(Box::new(*b"the second key of thirty-two byt"))
}

fn rotated(fixture: &Fixture) -> Keyring {
    fixture.keyring().with_newest(2, second())
}
