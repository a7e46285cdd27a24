use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use tenantry::{CredentialKind, PlatformDirectory, Provider};

use crate::failure::Failure;
use crate::installation::Named;
use crate::output::Output;
use crate::secrets::secret;
use crate::table::Table;
use crate::views::seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// List the secrets that a client has; none of them is shown
    List(Of),
    /// Store a secret, sealed, in place of the one of that provider and kind
    ///
    /// TENANTRY_CREDENTIAL holds it.
    Set(Set),
    /// Remove a secret
    Remove(Which),
}

#[derive(Args, Debug)]
pub(crate) struct Of {
    /// The client
    client: Named,
}

#[derive(Args, Debug)]
pub(crate) struct Which {
    /// The client
    client: Named,
    /// Whom it is for, such as openai
    provider: Provider,
    /// What it is, such as api_key
    kind: CredentialKind,
}

#[derive(Args, Debug)]
pub(crate) struct Set {
    #[command(flatten)]
    which: Which,
    /// Taken to be refused without being repeated.
    #[arg(hide = true)]
    misplaced: Vec<Misplaced>,
}

/// What may be a secret in the wrong place: nothing is kept of it.
#[derive(Clone, Debug)]
struct Misplaced;

impl std::str::FromStr for Misplaced {
    type Err = std::convert::Infallible;

    fn from_str(_: &str) -> Result<Self, Self::Err> {
        Ok(Self)
    }
}

#[derive(Serialize)]
struct CredentialView {
    provider: String,
    kind: String,
    /// In seconds since 1970.
    set_at: u64,
}

impl CredentialCommand {
    pub(super) async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        match self {
            Self::List(Of { client }) => {
                let found = platform.credentials(client.id(platform).await?).await?;
                let view = |found: &tenantry::CredentialRecord| CredentialView {
                    provider: found.provider.to_string(),
                    kind: found.kind.to_string(),
                    set_at: seconds(found.set_at),
                };
                let views: Vec<CredentialView> = found.iter().map(view).collect();
                output.show(&views, |views| {
                    let mut table = Table::new(["provider", "kind"], "no credentials");
                    for view in views {
                        table.row([view.provider.clone(), view.kind.clone()]);
                    }
                    table
                })
            }
            Self::Set(Set { misplaced, .. }) if !misplaced.is_empty() => Err(Failure::usage(
                "no argument takes a secret: set TENANTRY_CREDENTIAL. If that was one, it is in the shell's history now",
            )),
            Self::Set(Set { which, .. }) => {
                let client = which.client.id(platform).await?;
                let value = secret("TENANTRY_CREDENTIAL", "the credential")?;
                platform
                    .set_credential(client, &which.provider, &which.kind, &value)
                    .await?;
                which.done(output, "stored")
            }
            Self::Remove(which) => {
                let client = which.client.id(platform).await?;
                let had = platform
                    .remove_credential(client, &which.provider, &which.kind)
                    .await?;
                which.done(output, if had { "removed" } else { "was not there" })
            }
        }
    }
}

impl Which {
    fn done(&self, output: &Output, what: &str) -> Result<(), Failure> {
        let (provider, kind) = (self.provider.as_str(), self.kind.as_str());
        output.say(
            &json!({ "provider": provider, "kind": kind, "done": what }),
            format!("{provider} {kind}: {what}"),
        )
    }
}
