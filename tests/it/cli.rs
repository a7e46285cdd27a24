//! The command-line tool, as somebody at a terminal, a script and a pipe meet it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what the tests share panics like tests"
)]

mod audit;
mod clients;
mod databases;
mod doctor;
mod failures;
mod fleet;
mod moves;
mod terminal;

use std::path::Path;
use std::process::{Command, Stdio};

use secrecy::ExposeSecret as _;
use serde_json::Value;
use tenantry::testing::Fixture;

/// What every password and key of a fixture begins with, as text and in hex.
const PLANTED: [&str; 2] = ["plantedsecret", "706c616e746564736563726574"];

/// The tool, given the platform of a fixture.
struct Tool {
    environment: Vec<(&'static str, String)>,
}

/// What a command left.
#[derive(Debug)]
struct Left {
    code: i32,
    out: String,
    err: String,
}

impl Tool {
    fn of(fixture: &Fixture) -> Self {
        Self::with(fixture, &fixture.database("platform"))
    }

    fn with(fixture: &Fixture, platform: &str) -> Self {
        Self {
            environment: vec![
                ("TENANTRY_PLATFORM_URL", fixture.admin_url(platform)),
                ("TENANTRY_KEYS", fixture.keyring_text().expose_secret().to_owned()),
            ],
        }
    }

    fn set(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }

    fn without(mut self, variable: &'static str) -> Self {
        self.environment.retain(|(name, _)| *name != variable);
        self
    }

    /// Nothing of the environment of the tests reaches it.
    fn command<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = Command::new(program());
        command
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end. None of what is planted is in what it writes.
    async fn run<const N: usize>(&self, arguments: [&str; N]) -> Left {
        let command = self.command(arguments);
        let left = tokio::process::Command::from(command).output().await.unwrap();
        let left = Left {
            code: left.status.code().unwrap(),
            out: String::from_utf8(left.stdout).unwrap(),
            err: String::from_utf8(left.stderr).unwrap(),
        };
        for planted in PLANTED {
            assert!(
                !left.out.contains(planted) && !left.err.contains(planted),
                "{left:?}"
            );
        }
        left
    }

    /// As [`run`](Self::run), where it does what it was asked for.
    async fn does<const N: usize>(&self, arguments: [&str; N]) -> String {
        let left = self.run(arguments).await;
        assert_eq!(left.code, 0, "{left:?}");
        left.out
    }

    /// As [`does`](Self::does), for machines.
    async fn json<const N: usize>(&self, arguments: [&str; N]) -> Value {
        let left = tokio::process::Command::from({
            let mut command = self.command(arguments);
            command.arg("--json");
            command
        });
        let mut left = left;
        let left = left.output().await.unwrap();
        serde_json::from_slice(&left.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&left.stderr)))
    }
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_tenantry"))
}
