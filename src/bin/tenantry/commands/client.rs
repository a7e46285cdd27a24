mod create;
mod credential;
mod end;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use tenantry::{
    ClientCursor, ClientFilter, ClientRecord, ClientStatus, Hosting, Limit, Limits, PlatformDirectory,
    TierName,
};

use self::create::{Create, Resume};
pub(crate) use self::create::{Databases, MaybeDatabases};
use self::credential::CredentialCommand;
use self::end::{Delete, Erase};
use super::pool;
use crate::failure::{Failure, Outcome};
use crate::installation::{Installation, Named};
use crate::output::Output;
use crate::views::ClientView;

#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// List clients, a page at a time
    List(List),
    /// Show a client
    Show(Who),
    /// Create a client and set it up
    ///
    /// A client of a dedicated tier needs a database: TENANTRY_SERVER_URL names a server that it is made on, or
    /// TENANTRY_CLIENT_APP_URL and TENANTRY_CLIENT_ADMIN_URL name one that is there.
    Create(Create),
    /// Go on with the set-up of a client that was interrupted
    Continue(Resume),
    /// Give a client another tier
    SetTier(SetTier),
    /// Give a client limits of its own, in place of those it had of its own
    SetLimits(SetLimits),
    /// Serve a client no more, until it is resumed
    Suspend(Who),
    /// Serve a client again
    Resume(Who),
    /// Serve a client no more; what it has may be erased after its retention
    Archive(Who),
    /// Delete a client: its names are free, what it has stays until it is erased
    Delete(Delete),
    /// Bring back a client that was deleted and not erased
    Undelete(Id),
    /// Remove all that is a client's, once its retention is over
    Erase(Erase),
    /// Store, list and remove the secrets of a client
    #[command(subcommand)]
    Credential(CredentialCommand),
}

#[derive(Args, Debug)]
pub(crate) struct Who {
    /// The client
    client: Named,
}

#[derive(Args, Debug)]
pub(crate) struct Id {
    /// The client's id: one that is deleted has no names
    id: uuid::Uuid,
}

#[derive(Args, Debug)]
pub(crate) struct SetTier {
    /// The client
    client: Named,
    /// The tier, which demands no other hosting: `tenantry relocate upgrade` gives one that does
    tier: String,
}

#[derive(Args, Debug)]
pub(crate) struct SetLimits {
    /// The client
    client: Named,
    /// Its own limits, such as max_documents=50 or max_users=unlimited; none, and all are its tier's
    #[arg(value_name = "LIMIT=MOST")]
    limits: Vec<OwnLimit>,
}

#[derive(Clone, Debug)]
struct OwnLimit(Limit, Option<i64>);

impl std::str::FromStr for OwnLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (limit, most) = text.split_once('=').ok_or("not of the form limit=most")?;
        let limit = limit
            .parse()
            .map_err(|error: tenantry::InvalidPlanName| error.to_string())?;
        match (most, most.parse::<i64>()) {
            ("unlimited", _) => Ok(Self(limit, None)),
            (_, Ok(most)) if most >= 0 => Ok(Self(limit, Some(most))),
            _ => Err(format!("{most:?} is neither a number from 0 on nor `unlimited`")),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// Those of that status
    #[arg(long)]
    status: Option<ClientStatus>,
    /// Those of that tier
    #[arg(long)]
    tier: Option<String>,
    /// Those hosted so: shared, dedicated
    #[arg(long)]
    hosting: Option<Hosting>,
    /// Those in that pool, by its name or id
    #[arg(long)]
    pool: Option<String>,
    /// Those whose name or slug has the text in it
    #[arg(long, value_name = "TEXT")]
    named: Option<String>,
    /// Those that were deleted
    #[arg(long)]
    deleted: bool,
    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// From there on: what the page before said is next
    #[arg(long, value_name = "PLACE")]
    after: Option<ClientCursor>,
}

#[derive(Serialize)]
struct Page {
    clients: Vec<ClientView>,
    next: Option<String>,
}

impl ClientCommand {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let on = async |platform: &PlatformDirectory| self.on(installation, platform, output).await;
        installation.on_platform(on).await.map(|()| Outcome::Done)
    }

    async fn on(
        &self,
        installation: &Installation,
        platform: &PlatformDirectory,
        output: &Output,
    ) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.on(platform, output).await,
            Self::Show(who) => {
                let view = ClientView::from(&who.client.record(platform).await?);
                output.show(&view, ClientView::table)
            }
            Self::Create(create) => create.on(installation, platform, output).await,
            Self::Continue(resume) => resume.on(installation, platform, output).await,
            Self::SetTier(set) => {
                let client = set.client.record(platform).await?;
                platform
                    .set_tier(client.id, TierName::from(set.tier.as_str()))
                    .await?;
                done(output, &client, &format!("is of tier {} now", set.tier))
            }
            Self::SetLimits(set) => set.on(platform, output).await,
            Self::Suspend(who) => {
                who.become_of(platform, output, ClientStatus::Suspended, "is suspended")
                    .await
            }
            Self::Resume(who) => {
                who.become_of(platform, output, ClientStatus::Active, "is served again")
                    .await
            }
            Self::Archive(who) => {
                who.become_of(platform, output, ClientStatus::Archived, "is archived")
                    .await
            }
            Self::Delete(delete) => delete.on(platform, output).await,
            Self::Undelete(Id { id }) => {
                platform.undelete_client((*id).into()).await?;
                let said = json!({ "id": id, "done": "undeleted" });
                output.say(&said, format!("client {id} is there again"))
            }
            Self::Erase(erase) => erase.on(platform, output).await,
            Self::Credential(command) => command.on(platform, output).await,
        }
    }
}

fn done(output: &Output, client: &ClientRecord, what: &str) -> Result<(), Failure> {
    output.say(
        &json!({ "id": client.id.to_string(), "slug": client.slug.as_str(), "done": what }),
        format!("client {} {what}", client.slug),
    )
}

impl Who {
    async fn become_of(
        &self,
        platform: &PlatformDirectory,
        output: &Output,
        status: ClientStatus,
        what: &str,
    ) -> Result<(), Failure> {
        let client = self.client.record(platform).await?;
        platform.set_status(client.id, status).await?;
        done(output, &client, what)
    }
}

impl SetLimits {
    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        let client = self.client.record(platform).await?;
        let limits = self.limits.iter().cloned();
        let own = limits.fold(Limits::default(), |own, OwnLimit(limit, most)| {
            own.with(limit, most)
        });
        platform.set_limits(client.id, &own).await?;
        let what = match self.limits.len() {
            0 => "has the limits of its tier".to_owned(),
            count => format!("has {count} of its own, the other limits are its tier's"),
        };
        done(output, &client, &what)
    }
}

impl List {
    async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        let mut filter = ClientFilter::default();
        if let Some(status) = self.status {
            filter = filter.status(status);
        }
        if let Some(tier) = &self.tier {
            filter = filter.tier(tier.as_str());
        }
        if let Some(hosting) = self.hosting {
            filter = filter.hosting(hosting);
        }
        if let Some(named) = &self.pool {
            filter = filter.pool(pool::find(platform, named).await?.id);
        }
        if let Some(named) = &self.named {
            filter = filter.named(named);
        }
        if self.deleted {
            filter = filter.deleted();
        }
        let page = platform.clients(&filter, self.after, self.limit).await?;
        let page = Page {
            clients: page.clients.iter().map(ClientView::from).collect(),
            next: page.next.map(|next| next.to_string()),
        };
        output.show(&page, |page| ClientView::list(&page.clients))?;
        if let (Some(next), false) = (&page.next, output.is_json()) {
            output.note(&format!("there are more: --after {next}"));
        }
        Ok(())
    }
}
