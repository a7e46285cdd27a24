use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tenantry::{EraseOptions, PlatformDirectory};

use super::done;
use crate::failure::Failure;
use crate::installation::Named;
use crate::output::Output;
use crate::views::RowsView;

#[derive(Args, Debug)]
pub(crate) struct Delete {
    /// The client
    client: Named,
    /// That it is meant
    #[arg(long, required = true)]
    yes: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Erase {
    /// The client, archived; or the id of one that was deleted
    client: Named,
    /// That it is meant
    #[arg(long, required = true)]
    yes: bool,
    /// Whatever its retention says, after so many days
    #[arg(long, value_name = "DAYS")]
    after_days: Option<u32>,
}

#[derive(Serialize)]
struct Erased {
    id: String,
    tables: Vec<RowsView>,
    credentials: u64,
    database_to_drop: Option<String>,
}

impl Delete {
    pub(super) async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        let client = self.client.record(platform).await?;
        platform.delete_client(client.id).await?;
        done(output, &client, &format!("is deleted; its id is {}", client.id))
    }
}

impl Erase {
    pub(super) async fn on(&self, platform: &PlatformDirectory, output: &Output) -> Result<(), Failure> {
        let id = self.client.id(platform).await?;
        let mut options = EraseOptions::default();
        if let Some(days) = self.after_days {
            options = options.after(Duration::from_secs(u64::from(days) * 24 * 60 * 60));
        }
        let report = platform.erase_client(id, &options).await?;
        let erased = Erased {
            id: id.to_string(),
            tables: RowsView::all(&report.tables),
            credentials: report.credentials,
            database_to_drop: report.database_to_drop,
        };
        output.show(&erased, |erased| RowsView::list(&erased.tables))?;
        if let Some(database) = &erased.database_to_drop {
            output.note(&format!(
                "its database {database} holds nothing of it any more: drop it"
            ));
        }
        Ok(())
    }
}
