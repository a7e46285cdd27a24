//! No secret is stored in clear, or shown by a value or an error.

use std::error::Error as _;
use std::fmt::Debug;

use secrecy::SecretBox;
use sqlx::PgConnection;
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, ClientRef, CredentialKind, Directory as _, Error, Keyring, ManagerOptions, NewClient, NewPool,
    Provider,
};
use uuid::Uuid;

use super::{Outcome, SETUP, directory, keyring, platform_connection};
use crate::sql::{connect, one, refused, rows, run};
use crate::support::HOST;

#[tokio::test]
async fn a_sealed_column_takes_no_clear_text() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let mut conn = platform_connection(&fixture).await;
    let sealed: Vec<(String, String)> = rows(
        &mut conn,
        "select c.oid::regclass::text, a.attname::text from pg_attribute a join pg_class c on c.oid = a.attrelid
         where a.atttypid = 'platform.sealed'::regtype and c.relkind = 'r' order by 1, 2",
    )
    .await;
    assert_eq!(sealed.len(), 12, "{sealed:?}");
    // No other column could hold one.
    let other: i64 = one(
        &mut conn,
        "select count(*) from pg_attribute a join pg_class c on c.oid = a.attrelid
         where c.relnamespace = 'platform'::regnamespace and c.relkind = 'r' and c.relname <> 'migrations'
           and a.atttypid = 'bytea'::regtype",
    )
    .await;
    assert_eq!(other, 0);
    run(
        &mut conn,
        "insert into platform.stock (client_id) values (gen_random_uuid())",
    )
    .await;
    let long = "x".repeat(60);
    for (table, column) in sealed {
        for clear in [
            format!("convert_to('postgres://app:hunter2@db.example/acme?{long}', 'UTF8')"),
            "'\\x5401'".to_owned(),
            "decode('5401' || repeat('ab', 43), 'hex')".to_owned(),
            "decode('5402' || repeat('ab', 60), 'hex')".to_owned(),
        ] {
            run(&mut conn, SETUP).await;
            run(
                &mut conn,
                "insert into platform.client_credentials (client_id, provider, sealed) values (pg_temp.b(), 'p', pg_temp.s());
                 insert into platform.relocations (client_id, source_tier, fingerprint) values (pg_temp.b(), 'none', '')",
            )
            .await;
            let refusal = refused(&mut conn, &format!("update {table} set {column} = {clear}")).await;
            assert_eq!(
                (&*refusal.code, refusal.constraint.as_deref()),
                ("23514", Some("sealed_format")),
                "{table}.{column} = {clear}"
            );
            run(&mut conn, "rollback").await;
        }
    }
    Ok(())
}

/// Debug and Display of a value that can be shown both ways, and of what caused it.
fn shown(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.extend([inner.to_string(), format!("{inner:?}")]);
        cause = inner.source();
    }
    text
}

/// How many rows of the database show the text: as it is, or as the bytes of it.
async fn rows_with(conn: &mut PgConnection, secret: &str) -> i64 {
    let tables: Vec<(String,)> = rows(
        conn,
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'm', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
           and n.nspname !~ '^pg_toast'",
    )
    .await;
    assert!(tables.len() >= 6, "{tables:?}");
    let mut found = 0;
    for (table,) in tables {
        found += one::<i64>(
            conn,
            &format!(
                "select count(*) from {table} t where strpos(t::text, '{secret}') > 0
                     or strpos(t::text, encode(convert_to('{secret}', 'UTF8'), 'hex')) > 0
                     or strpos(t::text, encode(convert_to('{secret}', 'UTF8'), 'base64')) > 0"
            ),
        )
        .await;
    }
    found
}

/// Looks for a secret that belongs to the client, and makes sure that it would be found.
async fn stored_nowhere(fixture: &Fixture, acme: ClientId, secret: &str) {
    let mut conn = connect(fixture.server().connect_options(&fixture.database("platform"))).await;
    assert_eq!(rows_with(&mut conn, secret).await, 0);
    let mut pool = connect(fixture.server().connect_options(&fixture.database("pool-1"))).await;
    assert_eq!(rows_with(&mut pool, secret).await, 0);
    // It would have been found: as text, and as bytes.
    for planted in [
        format!(
            "update platform.clients set settings = jsonb_build_object('password', '{secret}') where id = '{acme}'"
        ),
        format!(
            "update platform.client_credentials
             set sealed = decode('5401' || repeat('ab', 44), 'hex') || convert_to('{secret}', 'UTF8')"
        ),
    ] {
        run(&mut conn, &format!("begin; {planted}")).await;
        assert!(rows_with(&mut conn, secret).await > 0, "{planted}");
        run(&mut conn, "rollback").await;
    }
}

#[tokio::test]
async fn no_secret_is_shown_or_stored_in_clear() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let secret = format!("planted{}", Uuid::new_v4().simple());
    // Refused at once: a port that nobody listens on is tried again until the pool's patience ends.
    let nowhere = format!("postgres://app:{secret}@localhost/nowhere?host=/nowhere");
    let platform = fixture.platform();
    let (openai, kind, key) = (Provider::OPENAI, CredentialKind::API_KEY, secret.as_str().into());
    let acme = fixture.shared_client("acme").await?.id;
    let mut texts: Vec<String> = Vec::new();
    let mut debug = |value: &dyn Debug| texts.push(format!("{value:?} {value:#?}"));

    platform.set_credential(acme, &openai, &kind, &key).await?;
    debug(&platform.credential(acme, &openai, &kind).await?);
    let new_client =
        NewClient::new("Vast", "vast".parse()?, "champion").dedicated(nowhere.clone(), nowhere.clone());
    debug(&new_client);
    let record = platform.create_client(new_client.clone()).await?;
    debug(&record);
    debug(&platform.client(&ClientRef::Id(record.id)).await?);
    let new_pool = NewPool::new(
        "lost",
        nowhere.clone(),
        fixture.admin_url(&fixture.database("pool-1")),
    );
    debug(&new_pool);
    let lost = platform.register_pool(new_pool.clone()).await?;
    debug(&platform.pool(lost).await?);
    debug(platform);
    platform.set_pool_active(fixture.pool(), false).await?;
    let lost_client = fixture.shared_client("lost").await?;

    let secret_key = *b"planted key of thirty-two bytes!";
    let planted_key = Keyring::new(1, SecretBox::new(Box::new(secret_key)));
    let options = ManagerOptions::new(nowhere.clone(), planted_key.clone());
    debug(&options);
    debug(&planted_key);
    let manager = fixture.manager().await?;
    let db = manager.tenant(record.id).await?;
    debug(&db);
    debug(&manager);

    let mut errors = vec![
        tenantry::ClientConnectionManager::connect(options)
            .await
            .unwrap_err(),
        db.query("agents").count().await.unwrap_err(),
        db.begin().await.unwrap_err(),
        manager.tenant(lost_client.id).await.unwrap_err(),
        platform.create_client(new_client).await.unwrap_err(),
        platform.register_pool(new_pool).await.unwrap_err(),
        platform
            .set_credential(ClientId::new(), &openai, &kind, &key)
            .await
            .unwrap_err(),
        directory(&fixture, planted_key)
            .await?
            .credential(acme, &openai, &kind)
            .await
            .unwrap_err(),
    ];
    // URLs that cannot be read.
    for url in [format!("postgres://app:{secret}@db:port/x"), secret.clone()] {
        let options = ManagerOptions::new(url.clone(), keyring(1));
        errors.push(
            tenantry::ClientConnectionManager::connect(options)
                .await
                .unwrap_err(),
        );
        let pool = NewPool::new("unreadable", fixture.app_url("x"), url.clone());
        errors.push(platform.register_pool(pool).await.unwrap_err());
        let slug = format!("c{}", &Uuid::new_v4().simple().to_string()[..8]);
        let client = NewClient::new("Bad", slug.parse()?, "champion").dedicated(url.clone(), url);
        let client = platform.create_client(client).await?;
        errors.push(manager.tenant(client.id).await.unwrap_err());
    }
    let invalid = errors
        .iter()
        .filter(|error| matches!(error, Error::Invalid { .. }))
        .count();
    assert_eq!(invalid, 6, "{errors:#?}");
    texts.extend(errors.iter().map(shown));
    for text in &texts {
        assert!(!text.contains(&secret), "{text}");
        assert!(
            !text.contains("planted key") && !text.contains("112, 108, 97, 110"),
            "{text}"
        );
    }

    stored_nowhere(&fixture, acme, &secret).await;
    manager.close().await;
    Ok(())
}
