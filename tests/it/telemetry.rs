//! What a subscriber of `tracing` hears of the crate.
#![expect(clippy::disallowed_methods, reason = "a host's own statements")]
#![expect(
    clippy::unwrap_used,
    reason = "the functions that the tests share panic like tests"
)]

use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::Connection as _;
use tenantry::testing::Fixture;
use tenantry::{ClientConnectionManager, ClientRecord, ConnectionOptions};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::HOST;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Writes down every span and event of the crate and of sqlx, a line each, for as long as the test listens.
#[derive(Clone, Default)]
struct Recorder {
    lines: Arc<Mutex<Vec<String>>>,
    spans: Arc<AtomicU64>,
    deaf: Arc<AtomicBool>,
}

impl Recorder {
    fn write(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Line)) {
        if self.deaf.load(Ordering::Relaxed) {
            return;
        }
        let name = if metadata.is_event() {
            format!("{} {}", metadata.level(), metadata.target())
        } else {
            metadata.name().to_owned()
        };
        let mut line = Line(name);
        record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        ["tenantry", "sqlx"]
            .iter()
            .any(|target| metadata.target().starts_with(target))
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.write(span.metadata(), |line| span.record(line));
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.write(event.metadata(), |line| event.record(line));
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn spans_name_the_client_and_the_work_and_nothing_secret() -> Outcome {
    let recorder = Recorder::default();
    let fixture = Fixture::start(&HOST).await?;
    let acme = fixture.shared_client("heard").await?;
    // Of all threads: with a subscriber of one thread alone, tracing lets another say that nobody listens. So it
    // hears the other tests as well.
    tracing::subscriber::set_global_default(recorder.clone())?;
    let manager = fixture.manager().await?;

    let db = manager.tenant(acme.slug.clone()).await?;
    let heard = recorder.take();
    assert!(
        heard
            .iter()
            .any(|line| line == "tenantry.resolve client=slug heard"),
        "{heard:?}"
    );

    db.insert("agents")
        .set("slug", "a-bound-value")
        .set("name", "Guide")
        .execute()
        .await?;
    let mut tx = db.begin().await?;
    sqlx::query("select slug from agents").fetch_all(&mut tx).await?;
    tx.rpc("get_user_overview_for_agent")
        .arg("p_user_id", "ada")
        .arg("p_agent_id", None::<uuid::Uuid>)
        .execute()
        .await?;
    tx.commit().await?;
    // Bound before the client's placement changed.
    let mut admin =
        sqlx::PgConnection::connect_with(&fixture.admin_options(&fixture.database("pool-1"))).await?;
    assert_eq!(db.query("agents").count().await?, 1);
    sqlx::query("select tenantry.place($1, 'active', $2)")
        .bind(acme.id)
        .bind(acme.epoch)
        .execute(&mut admin)
        .await?;
    assert_eq!(db.query("agents").count().await?, 1);
    assert_eq!(db.pool_statistics().unwrap().refused, 1);

    let id = acme.id;
    let heard = recorder.take();
    for span in [
        format!("tenantry.statement client={id} verb=\"insert into\" of=\"agents\""),
        format!("tenantry.begin client={id}"),
        format!("tenantry.statement client={id} verb=\"call\" of=\"get_user_overview_for_agent\""),
    ] {
        assert!(heard.contains(&span), "{span}: {heard:#?}");
    }
    // Each statement of both, and not its values.
    for sql in [
        "insert into public.agents (client_id, slug, name) values ($1, $2, $3)",
        "select slug from agents",
        "select count(*) from public.agents where client_id = $1",
    ] {
        let told = heard.iter().any(|line| {
            line.starts_with(&format!(
                "DEBUG tenantry::statement message=a statement client={id} "
            )) && line.contains(&format!("sql={sql:?} outcome=\"answered\""))
        });
        assert!(told, "{sql}: {heard:#?}");
    }
    let again = format!(
        "client={id} sql=\"select count(*) from public.agents where client_id = $1\" outcome=\"refused: TN0"
    );
    assert!(heard.iter().any(|line| line.contains(&again)), "{heard:#?}");
    let ticket = id.as_uuid().simple().to_string();
    for line in &heard {
        assert!(
            !line.contains("a-bound-value") && !line.contains(&ticket),
            "{line}"
        );
    }
    manager.close().await;

    statements_are_told(&fixture, &recorder, &acme).await?;
    recorder.deaf.store(true, Ordering::Relaxed);
    fixture.close().await;
    Ok(())
}

/// Every one is slow for whoever says so; SQL of the host's is told, and so is a refusal.
async fn statements_are_told(fixture: &Fixture, recorder: &Recorder, acme: &ClientRecord) -> Outcome {
    let (id, ticket) = (acme.id, acme.id.as_uuid().simple().to_string());
    let options = ConnectionOptions::default().slow_statement(Duration::from_nanos(1));
    let manager =
        ClientConnectionManager::connect(fixture.manager_options().pool_connections(options)).await?;
    let mut tx = manager.tenant(acme.id).await?.begin().await?;
    sqlx::query("select slug from agent where slug = $1")
        .bind("a-bound-value")
        .execute(&mut tx)
        .await
        .unwrap_err();
    drop(tx);
    // On a dedicated database it is sqlx that tells.
    let vast = manager
        .tenant(fixture.dedicated_client("heard-alone").await?.id)
        .await?;
    vast.insert("agents")
        .set("slug", "a-bound-value")
        .set("name", "heard alone")
        .execute()
        .await?;
    manager.close().await;
    let heard = recorder.take();
    let slow = format!(
        "WARN tenantry::statement message=a statement was slow client={id} \
         sql=\"select slug from agent where slug = $1\" outcome=\"refused: 42P01\""
    );
    assert!(heard.iter().any(|line| line.starts_with(&slow)), "{heard:#?}");
    let alone = "insert into public.agents (slug, name)";
    assert!(
        heard
            .iter()
            .any(|line| line.starts_with("DEBUG sqlx::query") && line.contains(alone)),
        "{heard:#?}"
    );
    for line in &heard {
        assert!(
            !line.contains("a-bound-value") && !line.contains("heard alone") && !line.contains(&ticket),
            "{line}"
        );
    }
    Ok(())
}
