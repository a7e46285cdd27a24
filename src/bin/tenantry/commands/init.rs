use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;
use serde::Serialize;
use tenantry::{AppliedTiers, Keyring, TierCatalog};
use tokio::io::AsyncWriteExt;

use crate::failure::{Failure, Outcome};
use crate::files::create_private;
use crate::installation::Installation;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The tiers that the platform offers; those that are there stay without it
    #[arg(long, value_enum, conflicts_with = "tiers_file")]
    tiers: Option<Preset>,
    /// The tiers of a JSON file
    #[arg(long, value_name = "FILE")]
    tiers_file: Option<PathBuf>,
    /// Make a keyring of one new key in this file, which must not be there, and use it
    #[arg(long, value_name = "FILE", conflicts_with = "keys_file")]
    new_keys: Option<PathBuf>,
}

/// Tiers that come with the library.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// adventurer, champion, paragon
    Sidekicks,
    /// free, starter, professional, enterprise
    Agents,
}

#[derive(Serialize)]
struct Initialised {
    new_keys: Option<PathBuf>,
    tiers_created: Vec<String>,
    tiers_changed: Vec<String>,
    tiers_retired: Vec<String>,
}

impl Init {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let catalog = self.catalog()?;
        let keyring = match &self.new_keys {
            Some(path) => new_keyring(path).await?,
            None => installation.keyring()?,
        };
        let platform = installation.platform_with(keyring).await?;
        platform.migrate().await?;
        let applied = match catalog {
            Some(catalog) => platform.apply_tiers(&catalog).await?,
            None => AppliedTiers::default(),
        };
        platform.close().await;
        let names = |tiers: &[tenantry::TierName]| tiers.iter().map(ToString::to_string).collect::<Vec<_>>();
        let done = Initialised {
            new_keys: self.new_keys.clone(),
            tiers_created: names(&applied.created),
            tiers_changed: names(&applied.changed),
            tiers_retired: names(&applied.retired),
        };
        let mut sentence = "the platform database is at this version's catalogue".to_owned();
        for (what, names) in [
            ("created", &done.tiers_created),
            ("changed", &done.tiers_changed),
            ("retired", &done.tiers_retired),
        ] {
            if !names.is_empty() {
                let _ = write!(sentence, "\ntiers {what}: {}", names.join(", "));
            }
        }
        if let Some(path) = &self.new_keys {
            let path = path.display();
            let _ = write!(
                sentence,
                "\na new keyring is in {path}: keep a copy where the database's backups are not"
            );
        }
        output.say(&done, sentence)?;
        Ok(Outcome::Done)
    }

    fn catalog(&self) -> Result<Option<TierCatalog>, Failure> {
        match (self.tiers, &self.tiers_file) {
            (Some(Preset::Sidekicks), _) => Ok(Some(TierCatalog::sidekicks())),
            (Some(Preset::Agents), _) => Ok(Some(TierCatalog::agents())),
            (None, None) => Ok(None),
            (None, Some(path)) => {
                let text =
                    std::fs::read_to_string(path).map_err(|error| Failure::file("reading", path, &error))?;
                serde_json::from_str(&text)
                    .map(Some)
                    .map_err(|error| Failure::usage(format!("{} holds no tiers: {error}", path.display())))
            }
        }
    }
}

async fn new_keyring(path: &std::path::Path) -> Result<Keyring, Failure> {
    let text = Keyring::generate(1).map_err(|error| Failure::usage(error.to_string()))?;
    let keyring = Keyring::from_text(&text).map_err(|error| Failure::usage(error.to_string()))?;
    let mut file = create_private(path).await?;
    let written = async {
        file.write_all(text.expose_secret().as_bytes()).await?;
        file.write_all(b"\n").await?;
        file.sync_all().await
    };
    written
        .await
        .map_err(|error| Failure::file("writing", path, &error))?;
    Ok(keyring)
}
