//! What credentials a client has, and what is not taken for one.

use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret as _;
use tenantry::testing::Fixture;
use tenantry::{ClientId, CredentialKind, Error, ErrorKind, NoDummies, Provider};

use super::Outcome;
use crate::support::HOST;

#[tokio::test]
async fn a_client_has_the_credentials_it_was_given_and_no_others() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let platform = fixture.platform();
    let (acme, bolt) = (
        fixture.shared_client("acme").await?.id,
        fixture.shared_client("bolt").await?.id,
    );
    assert_eq!(platform.credentials(acme).await?, []);
    let own: (Provider, CredentialKind) = ("crm.acme".parse()?, "refresh-token".parse()?);
    let given = [
        own.clone(),
        (Provider::GOOGLE, CredentialKind::API_KEY),
        (Provider::OPENAI, CredentialKind::API_KEY),
        (Provider::OPENROUTER, CredentialKind::API_KEY),
        (Provider::SUPABASE, CredentialKind::ANONYMOUS_KEY),
        (Provider::SUPABASE, CredentialKind::DATABASE_URL),
        (Provider::SUPABASE, CredentialKind::PROJECT_REFERENCE),
        (Provider::SUPABASE, CredentialKind::SERVICE_KEY),
    ];
    for (provider, kind) in &given {
        let secret = format!("{provider} {kind}").into();
        platform.set_credential(acme, provider, kind, &secret).await?;
    }
    let before = platform.credentials(acme).await?;
    let names: Vec<_> = before
        .iter()
        .map(|record| (record.provider.clone(), record.kind.clone()))
        .collect();
    assert_eq!(names, given);
    for record in &before {
        assert_eq!(record.created_at, record.set_at);
        let age = SystemTime::now()
            .duration_since(record.set_at)
            .unwrap_or_default();
        assert!(age < Duration::from_mins(5), "{record:?}");
        let opened = platform.credential(acme, &record.provider, &record.kind).await?;
        assert_eq!(
            opened.expose_secret(),
            format!("{} {}", record.provider, record.kind)
        );
    }
    // A new secret is told by its time, and only its own.
    platform
        .set_credential(acme, &own.0, &own.1, &"another".into())
        .await?;
    let after = platform.credentials(acme).await?;
    assert!(after[0].set_at > after[0].created_at && after[0].created_at == before[0].created_at);
    assert_eq!(after[1..], before[1..]);

    assert_eq!(platform.credentials(bolt).await?, []);
    assert!(!platform.remove_credential(bolt, &own.0, &own.1).await?);
    assert!(platform.remove_credential(acme, &own.0, &own.1).await?);
    assert!(!platform.remove_credential(acme, &own.0, &own.1).await?);
    assert_eq!(platform.credentials(acme).await?, before[1..]);
    let missing = platform.credential(acme, &own.0, &own.1).await.unwrap_err();
    assert!(matches!(missing, Error::MissingCredential { .. }), "{missing:?}");
    let unknown = platform.credentials(ClientId::new()).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownClient { .. }), "{unknown:?}");
    Ok(())
}

#[tokio::test]
async fn what_the_validator_refuses_is_not_stored() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let (openai, api_key) = (Provider::OPENAI, CredentialKind::API_KEY);
    let strict = fixture
        .platform()
        .clone()
        .validate_credentials(NoDummies::default());
    strict
        .set_credential(acme, &openai, &api_key, &"sk-proj-Zt7Qm2Lx9Vb4".into())
        .await?;
    for dummy in ["", "sk-test-9fK2mQ", "changeme", "xxxxxxxxxxxx", "your-api-key"] {
        let error = strict
            .set_credential(acme, &openai, &api_key, &dummy.into())
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::CredentialRefused { owner, what, .. }
                     if *owner == format!("client {acme}") && what == "api_key of openai"),
            "{error:?}"
        );
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
    let opened = strict.credential(acme, &openai, &api_key).await?;
    assert_eq!(opened.expose_secret(), "sk-proj-Zt7Qm2Lx9Vb4");
    Ok(())
}

/// No part of the crate that serves clients reads the environment for itself, so nothing in it can stand in for a
/// secret that a client does not have.
#[test]
fn no_secret_comes_from_the_environment() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The tool says which of its variables are missing; that is what it is for.
                if path != root.join("testing") && path != root.join("bin") {
                    folders.push(path);
                }
                continue;
            }
            // A host that wants the secrets of its data sets from there says so.
            if path.ends_with("query/tests.rs") || path.ends_with("seed/secret_source.rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // The tests of a file are not part of the library.
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
            read += 1;
            for word in ["env::var", "env::vars", "dotenv", "option_env!"] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
    assert!(read > 50, "only {read} files were read");
}
