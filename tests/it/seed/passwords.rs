//! Secrets: from where they come, what is made of them, and that none is told.

use std::fmt::Write as _;

use argon2::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::json;
use tenantry::{
    DataSet, EnvironmentSecrets, Error, HookError, SecretFile, SecretForm, SecretSource, SeedError,
};

use super::{Outcome, Passwords, Stage, argon2, bot, counts, set, to, totals, why};
use crate::sql::one;

#[tokio::test]
async fn a_password_is_stored_as_what_is_made_of_it_and_made_again_only_where_it_is_another() -> Outcome {
    let stage = Stage::with_acme().await;
    let seed = stage.seed().data(set(&bot(&["acme"])));
    seed.apply().await?;
    let mut conn = stage.database("acme").await;
    let ada = "select hash from users where email = 'ada@acme'";
    let stored: String = one(&mut conn, ada).await;
    assert!(
        argon2()
            .verify_password(b"plantedsecretada", &PasswordHash::new(&stored).unwrap())
            .is_ok()
    );

    assert_eq!(counts(&seed.apply().await?, "acme", "users"), [0, 0, 2]);
    assert_eq!(one::<String>(&mut conn, ada).await, stored);

    let newer = seed
        .clone()
        .secrets(Passwords::default().with("ADA", "another one"));
    let verified = newer.verify().await?;
    assert_eq!(
        verified.findings[0].to_string(),
        r#"acme: users (email="ada@acme") differs in hash (set.json: of_client.acme[0].rows[0])"#
    );
    assert_eq!(counts(&newer.dry_run().await?, "acme", "users"), [0, 1, 1]);
    assert_eq!(counts(&newer.apply().await?, "acme", "users"), [0, 1, 1]);
    let changed: String = one(&mut conn, ada).await;
    assert!(
        argon2()
            .verify_password(b"another one", &PasswordHash::new(&changed).unwrap())
            .is_ok()
    );

    // Another column changes without the password being made again.
    let mut described = bot(&["acme"]);
    described["of_client"]["acme"][0]["rows"][0]["number"] = json!(2);
    let other = stage
        .seed()
        .data(set(&described))
        .secrets(Passwords::default().with("ADA", "another one"));
    assert_eq!(counts(&other.apply().await?, "acme", "users"), [0, 1, 1]);
    assert_eq!(one::<String>(&mut conn, ada).await, changed);

    // What is stored in no form that is known is none of it.
    crate::sql::run(
        &mut conn,
        "update users set hash = 'by hand' where email = 'bob@acme'",
    )
    .await;
    assert_eq!(counts(&other.apply().await?, "acme", "users"), [0, 1, 1]);
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn secrets_that_are_missing_are_named_all_before_anything_is_written() -> Outcome {
    let stage = Stage::start().await;
    let described = json!({ "clients": [{ "slug": "acme", "name": "Acme", "tier": "adventurer", "credentials": [
        { "provider": "openai", "kind": "api_key", "secret": { "$secret": "NOT_SET_1" } },
        { "provider": "cohere", "kind": "api_key", "secret": { "$secret": "NOT_SET_2" } }
    ] }] });
    let nowhere =
        tenantry::Seed::new(stage.fixture.platform().clone(), stage.manager.clone()).data(set(&described));
    let environment = nowhere
        .clone()
        .secrets(EnvironmentSecrets::default().prefix("TENANTRY_SEED_"));
    for seed in [nowhere, environment] {
        for refused in [seed.apply().await, seed.dry_run().await] {
            match why(refused) {
                SeedError::MissingSecret { names } => assert_eq!(names, ["NOT_SET_1", "NOT_SET_2"]),
                other => panic!("{other:?}"),
            }
        }
    }
    let slug: tenantry::ClientSlug = "acme".parse()?;
    assert!(matches!(
        stage.manager.tenant(slug).await,
        Err(Error::UnknownClient { .. })
    ));
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn the_environment_tells_what_it_has_under_that_prefix() -> Outcome {
    // The package's own name is in the environment of its tests.
    let environment = EnvironmentSecrets::default().prefix("CARGO_");
    let name = environment
        .secret("PKG_NAME")
        .await
        .map_err(|error| error.to_string())?;
    assert_eq!(secrecy::ExposeSecret::expose_secret(&name.unwrap()), "tenantry");
    assert!(
        environment
            .secret("NOT_SET")
            .await
            .map_err(|error| error.to_string())?
            .is_none()
    );
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_of_secrets_is_read_where_it_is_its_owner_s_alone() -> Outcome {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt as _;

    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(uuid::Uuid::new_v4().to_string());
    write(&file, "# keys\n\nA=planted=1 \nB_2=\"planted\"\n")?;
    for open in [0o644, 0o640, 0o604, 0o620] {
        set_permissions(&file, Permissions::from_mode(open))?;
        let refused = why(SecretFile::read(&file).await);
        assert!(
            matches!(refused, SeedError::WrongFile(_)),
            "{open:o}: {refused:?}"
        );
    }
    set_permissions(&file, Permissions::from_mode(0o600))?;
    let secrets = SecretFile::read(&file).await?;
    assert_eq!(format!("{secrets:?}"), "SecretFile(2 secrets)");
    for (name, value) in [
        ("A", Some("planted=1 ")),
        ("B_2", Some("\"planted\"")),
        ("C", None),
    ] {
        let secret = secrets.secret(name).await.map_err(|error| error.to_string())?;
        let secret = secret.as_ref().map(secrecy::ExposeSecret::expose_secret);
        assert_eq!(secret, value);
    }
    for wrong in ["planted", "A=planted\nA=planted", "A="] {
        write(&file, wrong)?;
        let refused = SecretFile::read(&file).await.unwrap_err();
        let told = format!("{refused} {refused:?}");
        assert!(!told.contains("planted"), "{told}");
    }
    std::fs::remove_file(&file)?;
    assert!(matches!(why(SecretFile::read(&file).await), SeedError::File(_)));
    Ok(())
}

/// A form that fails, and panics with the secret in its message.
struct Broken;

impl SecretForm for Broken {
    fn make(&self, secret: &SecretString) -> Result<SecretString, HookError> {
        std::panic::resume_unwind(Box::new(secrecy::ExposeSecret::expose_secret(secret).to_owned()))
    }

    fn is_of(&self, _stored: &str, _secret: &SecretString) -> Result<bool, HookError> {
        Err("it does not work".into())
    }
}

/// A source that fails.
struct Unreachable;

#[async_trait]
impl SecretSource for Unreachable {
    async fn secret(&self, _name: &str) -> Result<Option<SecretString>, HookError> {
        Err("nobody answers".into())
    }
}

#[tokio::test]
async fn no_secret_is_in_any_report_error_or_debug() -> Outcome {
    let stage = Stage::with_acme().await;
    let mut told = Vec::new();
    let mut described = bot(&["acme"]);
    described["clients"] = json!([{ "slug": "newly", "name": "Newly", "tier": "adventurer",
        "credentials": [{ "provider": "openai", "kind": "api_key", "secret": { "$secret": "KEY" } }] }]);
    let good = stage.seed().data(set(&described));
    told.push(format!("{good:?} {good:#?}"));
    let error = |error: Error| {
        let mut told = format!("{error} {error:?} {error:#?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            let _ = write!(told, "{source} {source:?}");
            cause = source.source();
        }
        told
    };
    // The form and the source fail, and a row is refused by the database whose secret was made.
    told.push(error(
        good.clone()
            .secret_form("argon2", Broken)
            .apply()
            .await
            .unwrap_err(),
    ));
    told.push(error(
        good.clone().secrets(Unreachable).apply().await.unwrap_err(),
    ));
    let mut wrong = bot(&["acme"]);
    wrong["of_client"]["acme"][0]["rows"][1]["role"] = json!("king");
    told.push(error(stage.seed().data(set(&wrong)).apply().await.unwrap_err()));
    wrong["of_client"]["acme"][0]["rows"][1]["number"] = json!("one");
    told.push(error(stage.seed().data(set(&wrong)).apply().await.unwrap_err()));
    for report in [good.dry_run().await?, good.apply().await?, good.apply().await?] {
        told.push(format!("{report} {report:?}"));
    }
    told.push(error(
        good.clone()
            .secret_form("argon2", Broken)
            .apply()
            .await
            .unwrap_err(),
    ));
    let verified = good
        .secrets(Passwords::default().with("ADA", "plantedsecret2"))
        .verify()
        .await?;
    told.push(format!("{verified} {verified:?}"));
    // A secret in the place of its name.
    for misplaced in [
        json!({ "slug": "a", "hash": { "$secret": "plantedsecret3", "as": "argon2" } }),
        json!({ "slug": "a", "hash": { "$secret": { "plantedsecret3": 1 }, "as": "argon2" } }),
    ] {
        let json = json!({ "each_client": [{ "table": "users", "key": ["slug"], "rows": [misplaced] }] });
        told.push(error(
            DataSet::from_json("set.json", &json.to_string()).unwrap_err(),
        ));
    }
    let json = json!({ "clients": [{ "slug": "a", "name": "A", "tier": "t",
        "credentials": [{ "provider": "openai", "kind": "api_key", "secret": "plantedsecret4" }] }] });
    told.push(error(
        DataSet::from_json("set.json", &json.to_string()).unwrap_err(),
    ));
    let json = json!({ "clients": [{ "slug": "a", "name": "A", "tier": "t",
        "credentials": [{ "provider": "openai", "kind": "Plantedsecret5", "secret": { "$secret": "A" } }] }] });
    told.push(error(
        DataSet::from_json("set.json", &json.to_string()).unwrap_err(),
    ));
    for text in &told {
        assert!(!text.to_lowercase().contains("plantedsecret"), "{text}");
    }
    assert_eq!(told.len(), 14);
    // And none is in the databases, but sealed or hashed.
    for database in ["pool-1", "platform"] {
        let mut conn =
            crate::sql::connect(stage.fixture.admin_options(&stage.fixture.database(database))).await;
        let tables: Vec<(String,)> = crate::sql::rows(
            &mut conn,
            "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind = 'r' and n.nspname in ('public', 'platform')",
        )
        .await;
        assert!(!tables.is_empty());
        for (table,) in tables {
            let found: i64 = one(
                &mut conn,
                &format!("select count(*) from {table} t where t::text ~ 'plantedsecret'"),
            )
            .await;
            assert_eq!(found, 0, "{database} {table}");
        }
    }
    stage.close().await;
    Ok(())
}

#[tokio::test]
async fn a_secret_goes_into_a_column_of_text_by_a_form_that_there_is() -> Outcome {
    let stage = Stage::with_acme().await;
    let of = |column: &str, form: &str| {
        let mut row = json!({ "slug": "a" });
        row[column] = json!({ "$secret": "ADA", "as": form });
        let described =
            json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": [row] }] } });
        stage.seed().data(set(&described))
    };
    let refused = why(of("endpoint", "md5").apply().await);
    assert!(
        matches!(&refused, SeedError::UnknownForm { form, .. } if form == "md5"),
        "{refused:?}"
    );
    for column in ["settings", "tags", "share"] {
        let refused = why(of(column, "argon2").apply().await);
        assert!(matches!(&refused, SeedError::WrongValue { .. }), "{refused:?}");
    }
    assert_eq!(totals(&of("endpoint", "argon2").apply().await?), [1, 0, 0]);
    let by_secret = json!({ "of_client": { "acme": [{ "table": "tools", "key": ["slug"], "rows": [
        { "slug": "b", "parent_id": to("tools", "a") }] }] } });
    assert_eq!(
        totals(&stage.seed().data(set(&by_secret)).apply().await?),
        [1, 0, 0]
    );
    stage.close().await;
    Ok(())
}
