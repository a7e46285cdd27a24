//! The crate inside a service: an HTTP endpoint and a queue consumer. Both take the client from the
//! message and go through the same scope; what they call knows neither HTTP nor queues.
//!
//! ```sh
//! cargo run --example embed
//! ```
//!
//! It serves itself, asks itself, prints what came of it and ends.
#![expect(clippy::print_stdout, reason = "prints what happened")]

mod agents;
mod http;
mod queue;
mod request;
mod tenancy;

use std::net::{Ipv4Addr, SocketAddr};

use sqlx::migrate::Migrator;
use tenantry::ClientStatus;
use tenantry::testing::Fixture;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use self::queue::Message;
use self::request::Request;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

static TABLES: Migrator = sqlx::migrate!("examples/agent_platform/migrations");

#[tokio::main]
async fn main() -> Outcome<()> {
    // The databases and clients are there before the service is; the example quickstart creates them.
    let fixture = Fixture::start(&TABLES).await?;
    let acme = fixture.shared_client("acme").await?;
    let idle = fixture.shared_client("idle").await?;
    fixture.dedicated_client("vast").await?;
    fixture
        .platform()
        .set_status(idle.id, ClientStatus::Suspended)
        .await?;

    // One manager for the process; a clone is the same manager.
    let manager = fixture.manager().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel();
    let (sender, messages) = mpsc::channel(16);

    let web = axum::serve(listener, http::router(manager.clone())?)
        .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let consumer = queue::consume(manager.clone(), messages);
    let traffic = async {
        ask(address, &acme.id.to_string()).await?;
        send(sender).await?;
        // Nobody asks any more: the server finishes what it has, the consumer what was sent.
        let _ = stop.send(());
        Outcome::Ok(())
    };
    let (served, (), sent) = tokio::join!(web.into_future(), consumer, traffic);

    // Then the databases are let go.
    manager.close().await;
    fixture.close().await;
    served?;
    sent?;
    println!("\nThe server, the consumer and the manager are closed.");
    Ok(())
}

/// The requests of users.
async fn ask(address: SocketAddr, acme: &str) -> Outcome<()> {
    println!("Over HTTP, the client is in the host name or in X-Tenant-ID:\n");
    for request in [
        Request::post("/agents", "guide").host("acme.service.example"),
        Request::post("/agents", "scout").tenant(acme),
        Request::post("/agents", "guide").host("vast.service.example"),
        Request::get("/agents").host("acme.service.example"),
        Request::get("/agents").host("vast.service.example"),
        Request::get("/agents").host("vast.service.example").tenant(acme),
        Request::post("/agents", "guide").host("acme.service.example"),
        Request::post("/agents", "no slug").host("acme.service.example"),
        Request::get("/agents").host("nobody.service.example"),
        Request::get("/agents").host("idle.service.example"),
        Request::get("/agents").host("a_b.service.example"),
        Request::get("/agents"),
    ] {
        let (status, body) = request.send(address).await?;
        println!("  {request:<48}{status}  {body}");
    }
    Ok(())
}

/// The messages of other services.
async fn send(sender: mpsc::Sender<Message>) -> Outcome<()> {
    println!("\nFrom the queue, the client is in the message:\n");
    for (client, agent) in [
        ("acme", "miner"),
        ("vast", "miner"),
        ("acme", "miner"),
        ("nobody", "miner"),
        ("idle", "miner"),
        ("a_b", "miner"),
    ] {
        sender.send(Message::new(client, agent)).await?;
    }
    Ok(())
}
