use std::fmt;
use std::sync::Arc;

use moka::future::Cache;
use secrecy::{SecretBox, SecretString};

use super::cipher::{self, SealedFor};
use super::provider::KeyProvider;
use super::sealed::{Sealed, SecretError};

/// The keys of a provider, remembered. Cheap to clone; clones remember together.
#[derive(Clone)]
pub(crate) struct Keys {
    provider: Arc<dyn KeyProvider>,
    remembered: Cache<u32, Arc<SecretBox<[u8; 32]>>>,
}

/// More than a rotation has at once.
const REMEMBERED: u64 = 64;

impl Keys {
    pub(crate) fn of(provider: impl KeyProvider + 'static) -> Self {
        Self {
            provider: Arc::new(provider),
            remembered: Cache::new(REMEMBERED),
        }
    }

    /// The id of the key that values are sealed with.
    pub(crate) async fn newest(&self) -> Result<u32, SecretError> {
        self.provider.newest().await
    }

    /// Sees to it that the key of that id is remembered.
    pub(crate) async fn fetch(&self, key_id: u32) -> Result<(), SecretError> {
        self.key(key_id).await.map(drop)
    }

    pub(crate) async fn seal(
        &self,
        secret: &SecretString,
        for_: SealedFor<'_>,
    ) -> Result<Sealed, SecretError> {
        let key_id = self.newest().await?;
        self.seal_with(key_id, secret, for_).await
    }

    pub(crate) async fn seal_with(
        &self,
        key_id: u32,
        secret: &SecretString,
        for_: SealedFor<'_>,
    ) -> Result<Sealed, SecretError> {
        cipher::seal(key_id, &*self.key(key_id).await?, secret, for_)
    }

    pub(crate) async fn open(
        &self,
        sealed: &Sealed,
        for_: SealedFor<'_>,
    ) -> Result<SecretString, SecretError> {
        let key_id = sealed.key_id().ok_or(SecretError::Malformed)?;
        cipher::open(&*self.key(key_id).await?, sealed, for_)
    }

    /// Asked of the provider once under concurrency; that there is none is not remembered.
    async fn key(&self, key_id: u32) -> Result<Arc<SecretBox<[u8; 32]>>, SecretError> {
        if let Some(key) = self.remembered.get(&key_id).await {
            return Ok(key);
        }
        self.remembered
            .try_get_with(key_id, async { self.provider.key(key_id).await.map(Arc::new) })
            .await
            .map_err(|error| *error)
    }
}

impl fmt::Debug for Keys {
    // Nothing of the provider: what that shows of itself is not ours to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use secrecy::ExposeSecret;
    use tokio::sync::Notify;
    use uuid::Uuid;

    use super::*;

    const URL: SealedFor<'_> = SealedFor {
        owner: Uuid::from_u128(1),
        column: "connection",
    };

    /// A key service that counts what it is asked, and answers when it is told to.
    #[derive(Default)]
    struct Service {
        newest: AtomicUsize,
        keys: Mutex<Vec<u32>>,
        asked: AtomicUsize,
        answer: Notify,
    }

    #[async_trait]
    impl KeyProvider for Service {
        async fn newest(&self) -> Result<u32, SecretError> {
            Ok(u32::try_from(self.newest.load(Ordering::Relaxed)).unwrap())
        }

        async fn key(&self, key_id: u32) -> Result<SecretBox<[u8; 32]>, SecretError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answer.notified().await;
            if self.keys.lock().unwrap().contains(&key_id) {
                return Ok(SecretBox::new(Box::new([u8::try_from(key_id).unwrap(); 32])));
            }
            Err(SecretError::UnknownKey { key_id })
        }
    }

    fn service(keys: &[u32]) -> (Arc<Service>, Keys) {
        let service = Arc::new(Service::default());
        *service.keys.lock().unwrap() = keys.to_vec();
        service.newest.store(1, Ordering::Relaxed);
        (Arc::clone(&service), Keys::of(service))
    }

    #[tokio::test]
    async fn a_key_is_asked_for_once_whoever_waits_and_then_remembered() {
        let (service, keys) = service(&[1]);
        let secret = "hunter2".into();
        let mut all = Box::pin(join_all((0..50).map(|_| keys.seal(&secret, URL))));
        assert!(all.as_mut().now_or_never().is_none());
        assert_eq!(service.asked.load(Ordering::Relaxed), 1);
        service.answer.notify_one();
        for sealed in all.await {
            // Of a clone as well, and with nobody to answer.
            let opened = keys.clone().open(&sealed.unwrap(), URL).await.unwrap();
            assert_eq!(opened.expose_secret(), "hunter2");
        }
        assert_eq!(service.asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_key_that_was_not_there_is_found_once_it_is() {
        let (service, keys) = service(&[1]);
        service.answer.notify_one();
        let old = keys.seal(&"hunter2".into(), URL).await.unwrap();
        service.newest.store(2, Ordering::Relaxed);
        service.answer.notify_one();
        let missing = keys.seal(&"hunter3".into(), URL).await.unwrap_err();
        assert_eq!(missing, SecretError::UnknownKey { key_id: 2 });
        service.keys.lock().unwrap().push(2);
        service.answer.notify_one();
        let new = keys.seal(&"hunter3".into(), URL).await.unwrap();
        assert_eq!(new.key_id(), Some(2));
        assert_eq!(keys.open(&old, URL).await.unwrap().expose_secret(), "hunter2");
        assert_eq!(keys.open(&new, URL).await.unwrap().expose_secret(), "hunter3");
    }

    #[tokio::test]
    async fn who_is_dropped_while_asking_takes_the_key_from_nobody() {
        let (service, keys) = service(&[1]);
        let secret = "hunter2".into();
        let mut first = Box::pin(keys.seal(&secret, URL));
        assert!(first.as_mut().now_or_never().is_none());
        let mut second = Box::pin(keys.seal(&secret, URL));
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        service.answer.notify_one();
        second.await.unwrap();
    }
}
