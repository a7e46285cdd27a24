#![expect(
    clippy::disallowed_methods,
    reason = "the statements about clients' credentials"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;

use super::platform::{PlatformDirectory, failed};
use super::sealing::of_client;
use crate::client::ClientId;
use crate::error::{Error, Result};
use crate::secret::{CredentialKind, CredentialValidator, Provider, Sealed};

/// A credential that a client has, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialRecord {
    /// Whom it is for.
    pub provider: Provider,
    /// What it is.
    pub kind: CredentialKind,
    /// When the first of its name was stored.
    pub created_at: SystemTime,
    /// When this one was stored.
    pub set_at: SystemTime,
}

/// The column that a credential is sealed for.
pub(super) fn credential_column(provider: &str, kind: &str) -> String {
    format!("client_credentials.sealed/{provider}/{kind}")
}

fn named(provider: &Provider, kind: &CredentialKind) -> String {
    format!("{kind} of {provider}")
}

impl PlatformDirectory {
    /// A directory that stores no credential which the validator refuses, such as
    /// [`NoDummies`](crate::NoDummies). It is asked by this directory and its clones. Defaults to none: what a test
    /// key is depends on the installation.
    #[must_use]
    pub fn validate_credentials(mut self, validator: impl CredentialValidator + 'static) -> Self {
        self.validator = Some(Arc::new(validator));
        self
    }

    /// Stores a secret of a client, sealed, in place of the one of that provider and kind.
    ///
    /// ```no_run
    /// # use tenantry::{ClientId, PlatformDirectory, Result};
    /// use tenantry::{CredentialKind, Provider};
    ///
    /// # async fn example(platform: PlatformDirectory, acme: ClientId, key: secrecy::SecretString) -> Result<()> {
    /// platform.set_credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY, &key).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::CredentialRefused`] where the validator refuses it; [`Error::UnknownClient`]; [`Error::WrongKey`]
    /// where it cannot be sealed; [`Error::Platform`].
    ///
    /// # Cancel safety
    /// Dropped, the secret was stored or not.
    pub async fn set_credential(
        &self,
        client: ClientId,
        provider: &Provider,
        kind: &CredentialKind,
        secret: &SecretString,
    ) -> Result<()> {
        let owner = || format!("client {client}");
        if let Some(validator) = &self.validator {
            validator
                .validate(provider, kind, secret)
                .map_err(|reason| Error::CredentialRefused {
                    owner: owner(),
                    what: named(provider, kind),
                    reason,
                })?;
        }
        let column = credential_column(provider.as_str(), kind.as_str());
        let sealed = self.seal(secret, of_client(client, &column), owner).await?;
        let mut writing = self.write("storing a credential").await?;
        let stored = sqlx::query(
            "insert into platform.client_credentials (client_id, provider, kind, sealed)
             select c.id, $2, $3, $4 from platform.clients c where c.id = $1 and c.deleted_at is null
             on conflict (client_id, provider, kind) do update set sealed = excluded.sealed, set_at = now()",
        )
        .bind(client)
        .bind(provider.as_str())
        .bind(kind.as_str())
        .bind(sealed)
        .execute(writing.conn()?)
        .await
        .map_err(failed("storing a credential"))?;
        if stored.rows_affected() == 0 {
            return Err(Error::UnknownClient {
                client: client.into(),
            });
        }
        writing.commit().await
    }

    /// A secret of a client: read from the platform database each time, so that it is the one set last. There is no
    /// fallback where it has none.
    ///
    /// # Errors
    /// [`Error::MissingCredential`]; [`Error::WrongKey`] where it does not open.
    pub async fn credential(
        &self,
        client: ClientId,
        provider: &Provider,
        kind: &CredentialKind,
    ) -> Result<SecretString> {
        let sealed: Option<Sealed> = sqlx::query_scalar(
            "select k.sealed from platform.client_credentials k
             join platform.clients c on c.id = k.client_id and c.deleted_at is null
             where k.client_id = $1 and k.provider = $2 and k.kind = $3",
        )
        .bind(client)
        .bind(provider.as_str())
        .bind(kind.as_str())
        .fetch_optional(&self.db)
        .await
        .map_err(failed("reading a credential"))?;
        let owner = || format!("client {client}");
        let sealed = sealed.ok_or_else(|| Error::MissingCredential {
            owner: owner(),
            what: named(provider, kind),
        })?;
        let column = credential_column(provider.as_str(), kind.as_str());
        let opened = self.keys.open(&sealed, of_client(client, &column)).await;
        opened.map_err(|source| Error::WrongKey {
            owner: owner(),
            what: named(provider, kind),
            source,
        })
    }

    /// The credentials that a client has, in order of their names.
    ///
    /// # Errors
    /// [`Error::UnknownClient`]; [`Error::Platform`].
    pub async fn credentials(&self, client: ClientId) -> Result<Vec<CredentialRecord>> {
        type Row = (Option<String>, Option<String>, Option<i64>, Option<i64>);
        let rows: Vec<Row> = sqlx::query_as(
            "select k.provider, k.kind, (extract(epoch from k.created_at) * 1000000)::int8,
                    (extract(epoch from k.set_at) * 1000000)::int8
             from platform.clients c left join platform.client_credentials k on k.client_id = c.id
             where c.id = $1 and c.deleted_at is null
             order by k.provider, k.kind",
        )
        .bind(client)
        .fetch_all(&self.db)
        .await
        .map_err(failed("listing credentials"))?;
        if rows.is_empty() {
            return Err(Error::UnknownClient {
                client: client.into(),
            });
        }
        let moment = |micros: i64| UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs());
        rows.into_iter()
            .filter_map(|row| match row {
                (Some(provider), Some(kind), Some(created), Some(set)) => {
                    Some((provider, kind, created, set))
                }
                _ => None,
            })
            .map(|(provider, kind, created, set)| {
                Ok(CredentialRecord {
                    provider: provider.parse().map_err(|error| invalid(client, &error))?,
                    kind: kind.parse().map_err(|error| invalid(client, &error))?,
                    created_at: moment(created),
                    set_at: moment(set),
                })
            })
            .collect()
    }

    /// Removes a secret of a client. Says whether it had one.
    ///
    /// # Errors
    /// [`Error::Platform`].
    ///
    /// # Cancel safety
    /// Dropped, the secret was removed or not.
    pub async fn remove_credential(
        &self,
        client: ClientId,
        provider: &Provider,
        kind: &CredentialKind,
    ) -> Result<bool> {
        let mut writing = self.write("removing a credential").await?;
        let removed = sqlx::query(
            "delete from platform.client_credentials where client_id = $1 and provider = $2 and kind = $3",
        )
        .bind(client)
        .bind(provider.as_str())
        .bind(kind.as_str())
        .execute(writing.conn()?)
        .await
        .map_err(failed("removing a credential"))?;
        writing.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}

fn invalid(client: ClientId, error: &dyn std::error::Error) -> Error {
    Error::Invalid {
        owner: format!("client {client}"),
        what: "name of a credential".to_owned(),
        reason: error.to_string(),
    }
}
