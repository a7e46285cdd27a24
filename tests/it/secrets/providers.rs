//! Keys that come from a service of the host's.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use secrecy::{ExposeSecret as _, SecretBox};
use tenantry::testing::Fixture;
use tenantry::{
    ClientConnectionManager, CredentialKind, Error, ErrorKind, KeyProvider, Keyring, ManagerOptions,
    NewClient, PlatformDirectory, Provider, ResealOptions, Resealed, SecretError,
};

use super::{Outcome, directory, rotated};
use crate::sql::{connect, run, until};
use crate::support::HOST;

/// Keys that are unwrapped one at a time, by a service that can be down.
struct Service {
    keyring: RwLock<Keyring>,
    down: AtomicBool,
    asked: AtomicUsize,
}

impl Service {
    fn new(keyring: Keyring) -> Arc<Self> {
        Arc::new(Self {
            keyring: RwLock::new(keyring),
            down: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    fn keyring(&self) -> Result<Keyring, SecretError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(SecretError::Unavailable {
                reason: "the key service does not answer",
            });
        }
        Ok(self.keyring.read().unwrap().clone())
    }
}

#[async_trait]
impl KeyProvider for Service {
    async fn newest(&self) -> Result<u32, SecretError> {
        self.keyring()?.newest().await
    }

    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.keyring()?.key(key_id).await
    }
}

#[tokio::test]
async fn a_key_that_a_rotation_adds_is_found_without_a_restart() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let service = Service::new(fixture.keyring());
    let url = fixture.admin_url(&fixture.database("platform"));
    let options = ManagerOptions::new(url, Arc::clone(&service)).record_ttl(Duration::from_nanos(1));
    let manager = ClientConnectionManager::connect(options).await?;
    let vast = fixture.dedicated_client("vast").await?.id;
    let asked = join_all((0..20).map(|_| manager.tenant(vast))).await;
    for db in asked {
        assert_eq!(db?.query("agents").count().await?, 0);
    }
    assert_eq!(service.asked.load(Ordering::Relaxed), 1);

    // Another process seals with the next key before this one can have it.
    let platform = directory(&fixture, rotated(&fixture)).await;
    platform.reseal(ResealOptions::default()).await?;
    let error = manager.tenant(vast).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey { owner, source: SecretError::UnknownKey { key_id: 2 }, .. }
                if *owner == format!("client {vast}")
        ),
        "{error:?}"
    );
    assert_eq!(error.kind(), ErrorKind::Installation);
    service.down.store(true, Ordering::Relaxed);
    let error = manager.tenant(vast).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Temporary, "{error:?}");
    service.down.store(false, Ordering::Relaxed);
    *service.keyring.write().unwrap() = rotated(&fixture);
    assert_eq!(manager.tenant(vast).await?.query("agents").count().await?, 0);
    manager.close().await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_stored_while_the_keys_cannot_be_had() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let service = Service::new(fixture.keyring());
    let platform = directory(&fixture, Arc::clone(&service)).await;
    let (openai, api_key) = (Provider::OPENAI, CredentialKind::API_KEY);
    platform
        .set_credential(acme, &openai, &api_key, &"sk-one".into())
        .await?;
    service.down.store(true, Ordering::Relaxed);
    let client =
        NewClient::new("Vast", "vast".parse()?, "champion").dedicated("postgres://a", "postgres://b");
    for error in [
        platform
            .set_credential(acme, &openai, &api_key, &"sk-two".into())
            .await
            .unwrap_err(),
        platform.create_client(client).await.unwrap_err(),
        platform.reseal(ResealOptions::default()).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                &error,
                Error::WrongKey {
                    source: SecretError::Unavailable { .. },
                    ..
                }
            ),
            "{error:?}"
        );
        assert!(error.is_retryable());
    }
    // A key that is remembered opens while the service is down.
    let opened = platform.credential(acme, &openai, &api_key).await?;
    assert_eq!(opened.expose_secret(), "sk-one");
    let list = fixture.platform().credentials(acme).await?;
    assert_eq!(list.len(), 1);
    Ok(())
}

/// Seals anew, and has something happen once the keys were asked for and no value was sealed yet.
async fn held_up<F: Future<Output = Outcome>>(
    fixture: &Fixture,
    platform: &PlatformDirectory,
    meanwhile: F,
) -> std::result::Result<tenantry::Result<Resealed>, Box<dyn std::error::Error>> {
    const WAITING: &str = "select exists (select from pg_stat_activity where wait_event = 'advisory'
        and datname = current_database())";

    let database = fixture.database("platform");
    let mut watcher = connect(fixture.admin_options(&database)).await;
    let mut placing = connect(fixture.admin_options(&database)).await;
    run(&mut placing, "begin; select platform.lock_placement()").await;
    let mut reseal = Box::pin(platform.reseal(ResealOptions::default()));
    tokio::select! {
        done = &mut reseal => panic!("not held up: {done:?}"),
        () = until(&mut watcher, WAITING) => {}
    }
    meanwhile.await?;
    run(&mut placing, "rollback").await;
    Ok(reseal.await)
}

#[tokio::test]
async fn a_key_that_comes_while_values_are_sealed_anew_is_for_the_next_time() -> Outcome {
    let key = |byte| SecretBox::new(Box::new([byte; 32]));
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let service = Service::new(rotated(&fixture));
    let platform = directory(&fixture, Arc::clone(&service)).await;
    let third = rotated(&fixture).with_newest(3, key(3));
    let done = held_up(&fixture, &platform, async {
        *service.keyring.write().unwrap() = third.clone();
        Ok(())
    });
    let done = done.await??;
    assert_eq!((done.key_id, done.resealed, done.left), (2, 3, 0));
    assert_eq!(platform.sealed_by_key().await?, BTreeMap::from([(2, 3)]));

    // One that cannot be had now says nothing of the value that it seals.
    let fourth = directory(&fixture, third.with_newest(4, key(4))).await;
    let done = held_up(&fixture, &platform, async {
        let (provider, kind) = (Provider::OPENAI, CredentialKind::API_KEY);
        fourth
            .set_credential(acme, &provider, &kind, &"sk-one".into())
            .await?;
        service.down.store(true, Ordering::Relaxed);
        Ok(())
    });
    let error = done.await?.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey {
                source: SecretError::Unavailable { .. },
                ..
            }
        ),
        "{error:?}"
    );
    Ok(())
}

/// A service that has lost its keys.
struct Lost;

#[async_trait]
impl KeyProvider for Lost {
    async fn newest(&self) -> Result<u32, SecretError> {
        Ok(1)
    }

    async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
        Err(SecretError::UnknownKey { key_id })
    }
}

#[tokio::test]
async fn that_the_newest_key_is_lost_is_told_though_nothing_is_to_be_sealed_anew() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = directory(&fixture, Lost).await;
    assert_eq!(platform.sealed_by_key().await?, BTreeMap::from([(1, 3)]));
    let error = platform.reseal(ResealOptions::default()).await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey {
                source: SecretError::UnknownKey { key_id: 1 },
                ..
            }
        ),
        "{error:?}"
    );
    Ok(())
}
