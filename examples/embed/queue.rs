//! The queue door: the client is in the message, and an error is a second try or a dead letter.
#![expect(clippy::print_stdout, reason = "prints what happened")]

use std::fmt;

use tenantry::ClientConnectionManager;
use tokio::sync::mpsc;

use super::agents;
use super::tenancy::{Failure, tenant};

/// An agent to be added for a client.
pub(crate) struct Message {
    client: String,
    agent: String,
}

impl Message {
    pub(crate) fn new(client: &str, agent: &str) -> Self {
        Self {
            client: client.to_owned(),
            agent: agent.to_owned(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} for {}", self.agent, self.client))
    }
}

const ATTEMPTS: u32 = 3;

/// Handles messages until nobody can send any more.
pub(crate) async fn consume(manager: ClientConnectionManager, mut messages: mpsc::Receiver<Message>) {
    while let Some(message) = messages.recv().await {
        let mut attempt = 1;
        let result = loop {
            match handle(&manager, &message).await {
                Err(Failure::Tenant(error)) if error.is_retryable() && attempt < ATTEMPTS => attempt += 1,
                result => break result,
            }
        };
        match result {
            Ok(()) => println!("  {message:<48}done"),
            Err(failure) => println!("  {message:<48}dead letter: {failure}"),
        }
    }
}

/// The client is resolved for each attempt: it may have moved since the last.
async fn handle(manager: &ClientConnectionManager, message: &Message) -> Result<(), Failure> {
    let db = tenant(manager, &message.client).await?;
    match agents::add(&db, &message.agent).await {
        // Messages come at least once: an agent that is there was added by an earlier delivery.
        Err(error) if error.constraint() == Some("agents_client_id_slug_key") => Ok(()),
        result => Ok(result?),
    }
}
