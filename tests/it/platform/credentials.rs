//! A credential opens with its key and in its place alone.
#![expect(clippy::disallowed_methods, reason = "copies credentials in SQL")]

use secrecy::{ExposeSecret as _, SecretBox};
use tenantry::testing::Fixture;
use tenantry::{ClientId, ClientRef, CredentialKind, Error, ErrorKind, Keyring, Provider, SecretError};

use super::{Outcome, directory, keyring, platform_connection};
use crate::sql::run;
use crate::support::HOST;

#[tokio::test]
async fn a_credential_opens_for_its_client_and_nobody_else() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    let missing = platform
        .credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY)
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, Error::MissingCredential { owner, what }
                 if *owner == format!("client {acme}") && what == "api_key of openai"),
        "{missing:?}"
    );
    for secret in ["sk-one", "sk-two"] {
        platform
            .set_credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY, &secret.into())
            .await?;
        let opened = platform
            .credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY)
            .await?;
        assert_eq!(opened.expose_secret(), secret);
    }
    for (client, provider, kind) in [
        (bolt, "openai", "api_key"),
        (acme, "anthropic", "api_key"),
        (acme, "openai", "org"),
    ] {
        let missing = platform
            .credential(client, &provider.parse()?, &kind.parse()?)
            .await
            .unwrap_err();
        assert!(matches!(missing, Error::MissingCredential { .. }), "{missing:?}");
        assert_eq!(missing.kind(), ErrorKind::Installation);
    }
    let unknown = ClientId::new();
    let error = platform
        .set_credential(unknown, &Provider::OPENAI, &CredentialKind::API_KEY, &"x".into())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::UnknownClient { client } if client == ClientRef::Id(unknown)),
        "{unknown}"
    );

    Ok(())
}

#[tokio::test]
async fn a_credential_opens_with_its_key_in_its_place_alone() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    platform
        .set_credential(
            acme,
            &Provider::OPENAI,
            &CredentialKind::API_KEY,
            &"sk-one".into(),
        )
        .await?;
    // Another key of the same id, and a keyring without that id.
    let other_key = directory(&fixture, keyring(9)).await?;
    let error = other_key
        .credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::WrongKey {
                source: SecretError::Refused { key_id: 1 },
                ..
            }
        ),
        "{error:?}"
    );
    let newer = Keyring::new(2, SecretBox::new(Box::new([9; 32])));
    let error = directory(&fixture, newer)
        .await?
        .credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY)
        .await
        .unwrap_err();
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

    // Copied in SQL to another client, provider or kind it does not open there.
    let mut conn = platform_connection(&fixture).await;
    for (client, provider, kind) in [
        (bolt, "openai", "api_key"),
        (acme, "anthropic", "api_key"),
        (acme, "openai", "org"),
    ] {
        sqlx::query(
            "insert into platform.client_credentials (client_id, provider, kind, sealed)
             select $1, $2, $3, sealed from platform.client_credentials where client_id = $4 and provider = 'openai'
                and kind = 'api_key'",
        )
        .bind(client)
        .bind(provider)
        .bind(kind)
        .bind(acme)
        .execute(&mut conn)
        .await?;
        let error = platform
            .credential(client, &provider.parse()?, &kind.parse()?)
            .await
            .unwrap_err();
        assert!(
            matches!(
                &error,
                Error::WrongKey {
                    source: SecretError::Refused { .. },
                    ..
                }
            ),
            "{client} {provider} {kind}: {error:?}"
        );
    }
    // A deleted client has no secrets.
    run(
        &mut conn,
        &format!("update platform.clients set deleted_at = now() where id = '{acme}'"),
    )
    .await;
    let gone = platform
        .credential(acme, &Provider::OPENAI, &CredentialKind::API_KEY)
        .await
        .unwrap_err();
    assert!(matches!(gone, Error::MissingCredential { .. }), "{gone:?}");
    let given = platform
        .set_credential(acme, &Provider::GOOGLE, &CredentialKind::API_KEY, &"x".into())
        .await;
    assert!(matches!(given, Err(Error::UnknownClient { .. })), "{given:?}");
    Ok(())
}

#[tokio::test]
async fn a_connection_copied_to_another_row_or_column_does_not_open() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let (vast, huge) = (
        fixture.dedicated_client("vast").await?.id,
        fixture.dedicated_client("huge").await?.id,
    );
    let acme = fixture.shared_client("acme").await?.id;
    let mut conn = platform_connection(&fixture).await;
    for (swap, client) in [
        (
            format!(
                "update platform.clients set app_connection =
                     (select app_connection from platform.clients where id = '{vast}') where id = '{huge}'"
            ),
            huge,
        ),
        (
            format!("update platform.clients set app_connection = admin_connection where id = '{vast}'"),
            vast,
        ),
        (
            "update platform.pools set app_connection = admin_connection".to_owned(),
            acme,
        ),
        (
            "update platform.pools set scope_key = app_connection".to_owned(),
            acme,
        ),
        (
            "update platform.pools set app_connection = scope_key".to_owned(),
            acme,
        ),
    ] {
        run(&mut conn, &swap).await;
        let manager = fixture.manager().await?;
        let error = manager.tenant(client).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::WrongKey {
                    source: SecretError::Refused { .. },
                    ..
                }
            ),
            "{swap}: {error:?}"
        );
        manager.close().await;
    }
    Ok(())
}
