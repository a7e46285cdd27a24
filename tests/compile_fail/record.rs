//! What the macros of `tests/it` are checked against.

use std::fs::File;
use std::process::Command;
use std::time::SystemTime;

use tenantry::testing::Fixture;

static HOST: sqlx::migrate::Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[tokio::test]
#[ignore = "compiles the tests, and writes .sqlx"]
async fn record_what_the_macros_are_checked_against() -> Result<(), Box<dyn std::error::Error>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let fixture = Fixture::start(&HOST).await?;
    let recorded = format!("{root}/.sqlx");
    std::fs::remove_dir_all(&recorded).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    std::fs::create_dir(&recorded)?;
    // Macros are expanded again for a file that is newer than what was made of it.
    File::options()
        .append(true)
        .open(format!("{root}/tests/it/macros.rs"))?
        .set_modified(SystemTime::now())?;
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells a test of its package would make build scripts of dependencies run again.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_") && !["CARGO_HOME", "CARGO_TARGET_DIR"].contains(&name.as_str()) {
            cargo.env_remove(name);
        }
    }
    let checked = cargo
        .args(["check", "--test", "it"])
        .current_dir(root)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &recorded)
        .env("DATABASE_URL", fixture.admin_url(&fixture.database("pool-1")))
        .status()?;
    assert!(checked.success());
    assert!(
        std::fs::read_dir(&recorded)?.next().is_some(),
        "nothing was recorded"
    );
    fixture.close().await;
    Ok(())
}
