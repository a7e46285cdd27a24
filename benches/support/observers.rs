#![expect(
    clippy::disallowed_methods,
    reason = "moves a client, and ends sessions, as an operator would"
)]
#![expect(clippy::print_stdout, reason = "tells the process that started this one")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::SecretString;
use sqlx::{ConnectOptions as _, PgConnection};
use tenantry::{ClientConnectionManager, ClientStatus, Limit, Limits, TenantDb};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::board::line;
use super::town::{Part, Town, admin, manager, quantile, run};

const OBSERVERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(20);

/// Who hears of changes in the platform database.
const LISTENERS: &str = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                         and (query like 'LISTEN%' or query like 'select pg_notify%')";

/// What is changed of a client.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Limit,
    Tier,
    Status,
    Credential,
    Placement,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Limit,
        Self::Tier,
        Self::Status,
        Self::Credential,
        Self::Placement,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Tier => "tier",
            Self::Status => "suspension",
            Self::Credential => "credential",
            Self::Placement => "placement",
        }
    }
}

/// Not the bench: another process of it, that says what it sees of its clients whenever that is another, until its
/// input ends.
pub(crate) async fn observe(part: &Part) {
    let let_go = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&let_go);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    let manager = manager(&part.platform).await;
    let mut held = Vec::new();
    for client in part.clients {
        held.push((manager.tenant(client).await.unwrap(), String::new()));
    }
    while !let_go.load(Ordering::Relaxed) {
        for (number, (held, last)) in held.iter_mut().enumerate() {
            let seen = seen(&manager, held).await;
            if seen != *last {
                println!("{} {number} {seen}", now());
                *last = seen;
            }
        }
        // So that it does not take the processor from those who are to hear.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    manager.close().await;
}

/// What the client is by its name, and what it is to a handle from long ago.
async fn seen(manager: &ClientConnectionManager, held: &TenantDb) -> String {
    let mut seen = String::new();
    match manager.tenant(held.client().id).await {
        Ok(db) => {
            let client = db.client();
            let timeout = client.limits.get(&Limit::STATEMENT_TIMEOUT_MS).flatten();
            let (tier, epoch) = (&client.tier, client.epoch);
            write!(seen, "tier={tier}; epoch={epoch}; timeout={timeout:?}; ").unwrap();
        }
        Err(error) => write!(seen, "refused={:?}; ", error.kind()).unwrap(),
    }
    match held.pool().await {
        Ok(Some(pool)) => {
            write!(seen, "ssl={:?}; ", pool.connect_options().get_ssl_mode()).unwrap();
        }
        Ok(None) => match rows(held).await {
            Ok((name, timeout)) => write!(seen, "in={name}; under={timeout}; ").unwrap(),
            Err(error) => write!(seen, "held={:?}; ", error.kind()).unwrap(),
        },
        Err(error) => write!(seen, "held={:?}; ", error.kind()).unwrap(),
    }
    seen
}

async fn rows(held: &TenantDb) -> tenantry::Result<(String, String)> {
    let mut tx = held.begin().await?;
    let row = sqlx::query_as("select name, current_setting('statement_timeout') from agents")
        .fetch_one(&mut tx)
        .await
        .map_err(|error| tenantry::Error::from_sqlx(held.client().id, error))?;
    tx.commit().await?;
    Ok(row)
}

/// Changes each thing of a client so often, and tells how long it takes until the last process sees it.
pub(crate) async fn changes(town: Town, rounds: usize) {
    let mut crowd = Crowd::gather(town).await;
    for kind in Kind::ALL {
        for deaf in [false, true] {
            let mut times = Vec::new();
            for _ in 0..rounds {
                times.push(crowd.change(kind, deaf).await.as_secs_f64() * 1e3);
            }
            let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
            let suffix = if deaf { ", deaf" } else { "" };
            line(
                &format!("a {} seen by 3 processes, p99{suffix}", kind.name()),
                &format!("{p99:.1} ms (p50 {p50:.1} ms)"),
                "<= 50 ms",
                p99 <= 50.0,
            );
        }
    }
    crowd.disperse().await;
}

/// A town, and the processes that watch two of its clients.
struct Crowd {
    town: Town,
    children: Vec<Child>,
    said: mpsc::UnboundedReceiver<Said>,
    /// What each of them saw last of each client, and since when.
    last: [[Option<(u128, String)>; 2]; OBSERVERS],
    pools: [PgConnection; 2],
    catalogue: PgConnection,
    operator: PgConnection,
    change: u32,
    epoch: i64,
}

struct Said {
    who: usize,
    at: u128,
    client: usize,
    seen: String,
}

impl Crowd {
    async fn gather(town: Town) -> Self {
        let mut pools = [
            admin(&town.fixture, "pool-1").await,
            admin(&town.fixture, "pool-2").await,
        ];
        for (number, pool) in pools.iter_mut().enumerate() {
            let place = format!("place-{number}");
            let row = format!(
                "insert into agents (client_id, slug, name) values ('{}', 'guide', '{place}')",
                town.acme
            );
            run(pool, &row).await;
        }
        let (tell, said) = mpsc::unbounded_channel();
        let mut children = Vec::new();
        for who in 0..OBSERVERS {
            let mut child = town.command("observer").spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            let tell = tell.clone();
            std::thread::spawn(move || {
                for line in lines.lines().map_while(Result::ok) {
                    let mut parts = line.splitn(3, ' ');
                    let mut next = || parts.next().unwrap().to_owned();
                    let said = Said {
                        who,
                        at: next().parse().unwrap(),
                        client: next().parse().unwrap(),
                        seen: next(),
                    };
                    if tell.send(said).is_err() {
                        return;
                    }
                }
            });
            children.push(child);
        }
        let operator = town
            .fixture
            .server()
            .connect_options(&town.fixture.database("platform"));
        let mut crowd = Self {
            catalogue: admin(&town.fixture, "platform").await,
            operator: operator.connect().await.unwrap(),
            town,
            children,
            said,
            last: Default::default(),
            pools,
            change: 0,
            epoch: 1,
        };
        crowd.all_see(0, &["in=place-0;".to_owned()]).await;
        crowd.all_see(1, &["ssl=".to_owned()]).await;
        crowd
    }

    /// Changes one thing, and returns how long after its commit the last process saw it.
    async fn change(&mut self, kind: Kind, deaf: bool) -> Duration {
        self.all_hear().await;
        self.change += 1;
        let change = self.change;
        let platform = self.town.platform.clone();
        let (acme, vast) = (self.town.acme, self.town.vast);
        let kill = format!("select pg_terminate_backend(pid) {LISTENERS}");
        let operator = &mut self.operator;
        let kill = async {
            if deaf {
                run(operator, &kill).await;
            }
        };
        let odd = change.is_multiple_of(2);
        let (client, wanted, committed) = match kind {
            Kind::Limit => {
                let most = 10_001 + i64::from(change % 900);
                let limits = Limits::default().with(Limit::STATEMENT_TIMEOUT_MS, Some(most));
                let change = async {
                    platform.set_limits(acme, &limits).await.unwrap();
                    now()
                };
                let committed = tokio::join!(change, kill).0;
                let wanted = vec![format!("timeout=Some({most});"), format!("under={most}ms;")];
                (0, wanted, committed)
            }
            Kind::Tier => {
                let tier = if odd { "paragon" } else { "champion" };
                let change = async {
                    platform.set_tier(vast, tier).await.unwrap();
                    now()
                };
                let committed = tokio::join!(change, kill).0;
                (1, vec![format!("tier={tier};")], committed)
            }
            Kind::Status => {
                let change = async {
                    platform.set_status(acme, ClientStatus::Suspended).await.unwrap();
                    now()
                };
                let committed = tokio::join!(change, kill).0;
                (0, vec!["refused=".to_owned(), "held=".to_owned()], committed)
            }
            Kind::Credential => {
                let database = self.town.fixture.database("vast");
                let url = self.town.fixture.app_url(&database);
                let with = if url.contains('?') { '&' } else { '?' };
                // As another password would be: the same sessions, by another URL.
                let says = if odd { "Disable" } else { "Allow" };
                let app = SecretString::from(format!("{url}{with}sslmode={}", says.to_lowercase()));
                let own = SecretString::from(self.town.fixture.admin_url(&database));
                let change = async {
                    platform.set_dedicated(vast, &app, &own).await.unwrap();
                    now()
                };
                let committed = tokio::join!(change, kill).0;
                (1, vec![format!("ssl={says};")], committed)
            }
            Kind::Placement => {
                let from = usize::from(self.epoch % 2 == 0);
                let left = format!("select tenantry.place('{acme}', 'moved', {})", self.epoch);
                self.epoch += 1;
                let come = format!("select tenantry.place('{acme}', 'active', {})", self.epoch);
                let update = format!(
                    "update platform.clients set pool_id = '{}', epoch = {} where id = '{acme}'",
                    self.town.pools[1 - from],
                    self.epoch
                );
                let (pools, catalogue) = (&mut self.pools, &mut self.catalogue);
                let change = async {
                    run(&mut pools[from], &left).await;
                    run(&mut pools[1 - from], &come).await;
                    run(catalogue, &update).await;
                    now()
                };
                let committed = tokio::join!(change, kill).0;
                let wanted = vec![
                    format!("epoch={};", self.epoch),
                    format!("in=place-{};", 1 - from),
                ];
                (0, wanted, committed)
            }
        };
        let last = self.all_see(client, &wanted).await;
        if matches!(kind, Kind::Status) {
            self.all_hear().await;
            platform.set_status(acme, ClientStatus::Active).await.unwrap();
            self.all_see(0, &["tier=".to_owned(), "in=".to_owned()]).await;
        }
        if matches!(kind, Kind::Limit | Kind::Status) {
            // The catalogue counts those placements, too.
            let epoch = "select epoch from platform.clients where id = $1";
            self.epoch = sqlx::query_scalar(epoch)
                .bind(acme)
                .fetch_one(&mut self.catalogue)
                .await
                .unwrap();
        }
        Duration::from_nanos(u64::try_from(last.saturating_sub(committed)).unwrap())
    }

    /// Waits until every process sees all this of a client; when the last one did.
    async fn all_see(&mut self, client: usize, wanted: &[String]) -> u128 {
        loop {
            let sees = |said: &Option<(u128, String)>| {
                let (at, seen) = said.as_ref()?;
                wanted.iter().all(|wanted| seen.contains(wanted)).then_some(*at)
            };
            let at: Option<Vec<u128>> = self.last.iter().map(|last| sees(&last[client])).collect();
            if let Some(at) = at {
                return at.into_iter().max().unwrap();
            }
            let said = timeout(PATIENCE, self.said.recv()).await;
            assert!(said.is_ok(), "not seen in time: {wanted:?}, but {:?}", self.last);
            let said = said.unwrap().unwrap();
            self.last[said.who][said.client] = Some((said.at, said.seen));
        }
    }

    /// Waits until every process listens.
    async fn all_hear(&mut self) {
        let count = "select count(*) from pg_stat_activity where datname = current_database()
                     and query like 'LISTEN%' and state = 'idle'";
        loop {
            let listening: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut self.operator)
                .await
                .unwrap();
            if usize::try_from(listening).unwrap() >= OBSERVERS {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn disperse(mut self) {
        for mut child in self.children.drain(..) {
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
        }
        drop((self.pools, self.catalogue, self.operator));
        self.town.close().await;
    }
}

/// Nanoseconds of the machine's clock, which all its processes share.
fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}
