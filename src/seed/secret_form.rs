use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;

use crate::error::SeedError;
use crate::provision::HookError;

/// What a column holds of a secret: the hash of a password, or a value that the host seals. No column ever holds the
/// secret itself.
///
/// Both are called on a thread where they may take their time.
pub trait SecretForm: Send + Sync {
    /// What is stored of the secret. It may be another each time, by a salt.
    ///
    /// # Errors
    /// Why it could not be made. It is carried as a source, so nothing of the secret may be in it.
    fn make(&self, secret: &SecretString) -> Result<SecretString, HookError>;

    /// Whether what is stored was made of the secret. What is stored in no form that it knows was not.
    ///
    /// # Errors
    /// As [`make`](Self::make).
    fn is_of(&self, stored: &str, secret: &SecretString) -> Result<bool, HookError>;
}

/// The forms that the host has, by name.
#[derive(Clone, Default)]
pub(super) struct Forms(BTreeMap<String, Arc<dyn SecretForm>>);

impl Forms {
    pub(super) fn add(&mut self, name: String, form: Arc<dyn SecretForm>) {
        self.0.insert(name, form);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// What the form says, asked where it keeps nobody else waiting.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        form: &str,
        (name, secret): (&str, &SecretString),
        what: &'static str,
        ask: impl FnOnce(&dyn SecretForm, &SecretString) -> Result<T, HookError> + Send + 'static,
    ) -> Result<T, SeedError> {
        let failed = |source: HookError| SeedError::Secret {
            name: name.to_owned(),
            what,
            source: source.into(),
        };
        let form = self.0.get(form).map(Arc::clone);
        let form = form.ok_or_else(|| failed("nothing makes that of a secret".into()))?;
        let secret = secret.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&*form, &secret)).await;
        // A panic may tell what it was about.
        asked
            .map_err(|_| failed("it ended by itself".into()))?
            .map_err(failed)
    }
}
