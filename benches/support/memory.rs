#![expect(clippy::print_stdout, reason = "tells the process that started this one")]

use std::io::Read as _;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use sqlx::types::Uuid;
use tenantry::{
    Changes, ClientConnectionManager, ClientId, ClientRecord, ClientRef, Directory, PlatformDirectory,
    PoolId, PoolRecord, Result,
};

use super::board::line;
use super::town::{Part, Town, keyring, trusting};

/// The part of a process that remembers clients, with how it names them and how many.
pub(crate) const ROLE: &str = "memory";
const BY: &str = "TENANTRY_BENCH_NAMED_BY";
const COUNT: &str = "TENANTRY_BENCH_COUNT";

/// As much as a client of a shared tier has.
const LIMITS: &str = r#"{"max_sidekicks": 1, "max_agents": 5, "max_users": 20, "max_documents": 50,
    "max_document_mb": 5, "requests_per_second": 5, "api_calls_per_month": 1000, "statement_timeout_ms": 5000,
    "lock_timeout_ms": 1000, "idle_in_transaction_timeout_ms": 10000, "max_connections": 4}"#;
const FEATURES: &str = r#"{"rag": true, "voice": true, "video": true, "sso": false, "api_access": true}"#;
const SETTINGS: &str = r#"{"branding": {"colour": "teal"}, "providers": ["one"]}"#;

/// Makes clients up as they are asked for, each read from text as the platform database's are.
#[derive(Debug)]
struct MadeUp {
    platform: PlatformDirectory,
    like: ClientRecord,
}

#[async_trait]
impl Directory for MadeUp {
    async fn client(&self, client: &ClientRef) -> Result<Option<ClientRecord>> {
        let id = match client {
            ClientRef::Id(id) => *id,
            ClientRef::Slug(slug) => made_up(slug.as_str().trim_start_matches("client-").parse().unwrap()),
            _ => return Ok(None),
        };
        let number = id.as_uuid().as_u128() & u128::from(u64::MAX);
        let mut record = self.like.clone();
        record.id = id;
        record.name = format!("Client {number}");
        record.slug = slug_of(number).parse().unwrap();
        record.external_ref = Some(format!("krn:{number}:client:prod").parse().unwrap());
        record.domain = None;
        record.tier = "adventurer".into();
        record.limits = serde_json::from_str(LIMITS).unwrap();
        record.features = serde_json::from_str(FEATURES).unwrap();
        record.settings = serde_json::from_str(SETTINGS).unwrap();
        Ok(Some(record))
    }

    async fn pool(&self, pool: PoolId) -> Result<Option<PoolRecord>> {
        self.platform.pool(pool).await
    }

    async fn changes(&self) -> Result<Option<Changes>> {
        self.platform.changes().await
    }
}

fn made_up(number: u128) -> ClientId {
    Uuid::from_u128(0x0ace_0000_0000_4000_8000 << 64 | number).into()
}

fn slug_of(number: u128) -> String {
    format!("client-{number:08}")
}

/// How much more memory a process has once it remembers so many clients.
pub(crate) fn cached_clients(town: &Town, quick: bool) {
    let count: u32 = if quick { 1_000 } else { 100_000 };
    for by in ["id", "slug"] {
        let mut child = town
            .command(ROLE)
            .env(BY, by)
            .env(COUNT, count.to_string())
            .spawn()
            .unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success());
        let mut said = said
            .split_whitespace()
            .map(|number| number.parse::<f64>().unwrap());
        let megabytes = said.next().unwrap() / 1e6 * 1e5 / f64::from(count);
        let each = said.next().unwrap();
        line(
            &format!("100,000 cached clients, by {by}"),
            &format!("{megabytes:.0} MB ({each:.0} B asked for each)"),
            "<= 150 MB",
            megabytes <= 150.0,
        );
    }
}

/// Remembers as many as the environment says, and tells how the process grew and what was asked for each.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
pub(crate) fn fill(part: &Part) {
    let count: u32 = std::env::var(COUNT).unwrap().parse().unwrap();
    let by_slug = std::env::var(BY).unwrap() == "slug";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let manager = runtime.block_on(async {
        let url = SecretString::from(part.platform.clone());
        let platform = PlatformDirectory::connect(&url, keyring()).await.unwrap();
        let like = platform.client(&part.clients[0].into()).await.unwrap().unwrap();
        let directory = Arc::new(MadeUp { platform, like });
        let options = trusting(&part.platform).max_cached_clients(400_000);
        let manager = ClientConnectionManager::with_directory(directory, options);
        manager.hears_changes().await;
        // Opens the pool.
        manager.tenant(made_up(u64::MAX.into())).await.unwrap();
        manager
    });
    let before = resident();
    let asked_for = allocation_counter::measure(|| {
        runtime.block_on(async {
            for number in 0..u128::from(count) {
                let name = if by_slug {
                    ClientRef::Slug(slug_of(number).parse().unwrap())
                } else {
                    made_up(number).into()
                };
                manager.tenant(name).await.unwrap();
            }
        });
    });
    let grown = resident().saturating_sub(before);
    println!("{grown} {}", asked_for.bytes_current as f64 / f64::from(count));
    // What is remembered is worth something only if it is still there.
    let first = manager.tenant(made_up(0));
    assert_eq!(runtime.block_on(first).unwrap().client().id, made_up(0));
    runtime.block_on(manager.close());
}

/// Bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().next().unwrap().parse().unwrap();
    kib * 1024
}
