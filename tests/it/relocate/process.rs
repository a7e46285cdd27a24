//! Another process moves a client, and is killed or frozen at whatever it tells of.
#![expect(clippy::disallowed_methods, reason = "has a task that tells")]

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use secrecy::{SecretBox, SecretString};
use sha2::{Digest as _, Sha256};
use tenantry::testing::Fixture;
use tenantry::{
    ClientId, Error, Isolation, Keyring, Phase, PlatformDirectory, RelocateTo, Relocation, RelocationError,
    RelocationOptions,
};
use tokio::time::timeout;

use super::writers::{As, Writers};
use super::{Outcome, own_database, relocation};
use crate::private_server::{helper_of, this_program};
use crate::support::{HOST, fill};

const PLATFORM: &str = "TENANTRY_RELOCATE_PLATFORM";
const NAME: &str = "TENANTRY_RELOCATE_NAME";
const CLIENT: &str = "TENANTRY_RELOCATE_CLIENT";
const TARGET: &str = "TENANTRY_RELOCATE_TARGET";

/// A process that moves the client.
struct Mover {
    child: Child,
    told: Lines<BufReader<ChildStdout>>,
}

impl Mover {
    fn start(fixture: &Fixture, client: ClientId, target: &str) -> Self {
        let name = fixture.database("");
        let mut child = helper_of(module_path!(), &this_program())
            .env(PLATFORM, fixture.admin_url(&fixture.database("platform")))
            .env(NAME, name.trim_end_matches('_'))
            .env(CLIENT, client.to_string())
            .env(TARGET, target)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, told }
    }

    /// Reads so many of the things that it tells; says whether there were as many.
    fn tells(&mut self, times: usize) -> bool {
        let told = self.told.by_ref().map_while(Result::ok);
        told.filter(|line| line.starts_with("TOLD ")).take(times).count() == times
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("sh");
        kill.args([
            "-c",
            r#"kill "$1" "$2""#,
            "sh",
            signal,
            &self.child.id().to_string(),
        ]);
        assert!(kill.status().unwrap().success());
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: the process that moves.
#[tokio::test]
#[ignore = "the other process of other tests"]
async fn helper_process() {
    let (Ok(platform), Ok(name), Ok(client), Ok(target)) = (
        std::env::var(PLATFORM),
        std::env::var(NAME),
        std::env::var(CLIENT),
        std::env::var(TARGET),
    ) else {
        return;
    };
    // The key of the fixture, which only its name tells.
    let mut key: [u8; 32] = Sha256::digest(name).into();
    key[..13].copy_from_slice(b"plantedsecret");
    let keyring = Keyring::new(1, SecretBox::new(Box::new(key)));
    let platform = PlatformDirectory::connect(&SecretString::from(platform), keyring)
        .await
        .unwrap();
    let client = ClientId::from(client.parse::<uuid::Uuid>().unwrap());
    let relocation = Relocation::new(platform).options(
        RelocationOptions::default()
            .plain_up_to(0)
            .fence_attempts(50)
            .lease(Duration::from_secs(1)),
    );
    let mut events = Box::pin(relocation.progress());
    let telling = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            println!("\nTOLD {} {:?}", event.phase, event.table);
        }
    });
    let outcome = match relocation.status(client).await.unwrap() {
        Some(status) if !status.phase.is_ended() => relocation.resume(client).await,
        _ => relocation.start(client, &parse(&target)).await,
    };
    println!("\nENDED {}", outcome.is_ok());
    telling.abort();
}

fn parse(target: &str) -> RelocateTo {
    match target.split_once(' ') {
        Some((app, admin)) => RelocateTo::dedicated(app, admin),
        None => RelocateTo::Pool(target.parse::<uuid::Uuid>().unwrap().into()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_killed_at_every_step_or_frozen_loses_nothing() -> Outcome {
    let fixture = Fixture::start(&HOST).await?;
    let second = fixture.add_pool("pool-2", 10).await?;
    let acme = fixture.shared_client("acme").await?.id;
    let manager = fixture.manager().await?;
    let db = manager.tenant(acme).await?;
    fill(&db, "acme").await?;
    own_database(&fixture, "own", acme).await;
    let own = fixture.database("own");
    let own = format!("{} {}", fixture.app_url(&own), fixture.admin_url(&own));
    let writers = Writers::begin(
        &fixture,
        acme,
        &[As::Statements, As::Transactions(Isolation::ReadCommitted)],
    )
    .await;
    for (target, signal) in [
        (own.clone(), "-KILL"),
        (second.to_string(), "-KILL"),
        (own, "-STOP"),
    ] {
        // Killed later each time, until it was done before that.
        let mut frozen = Vec::new();
        for step in 1.. {
            let mut mover = Mover::start(&fixture, acme, &target);
            let reached = mover.tells(step);
            mover.signal(signal);
            if signal == "-STOP" {
                frozen.push(mover);
            }
            // The client is served all the while, or again by the next one.
            let _ = timeout(Duration::from_secs(2), writers.have_written(2)).await;
            let status = relocation(&fixture).status(acme).await?;
            if !reached || status.is_some_and(|status| status.phase == Phase::Moved) || step > 14 {
                break;
            }
        }
        let ours = relocation(&fixture).options(RelocationOptions::default().fence_attempts(50));
        let moved = loop {
            match ours.resume(acme).await {
                // Who is frozen holds it, until it was silent for too long.
                Err(Error::Relocation {
                    source: RelocationError::Taken,
                    ..
                }) => tokio::task::yield_now().await,
                moved => break moved?,
            }
        };
        assert_eq!(moved.phase, Phase::Moved);
        // Whoever was frozen wakes up, and can do no more harm.
        for mover in &frozen {
            mover.signal("-CONT");
        }
        writers.have_written(4).await;
        relocation(&fixture).revert(acme).await?;
    }
    writers.end(&db).await?;
    manager.close().await;
    fixture.close().await;
    Ok(())
}
