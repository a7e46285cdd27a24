use clap::{Parser, Subcommand};

use crate::commands::{
    audit::Audit,
    client::ClientCommand,
    completions::Completions,
    doctor::Doctor,
    init::Init,
    migrate::Migrate,
    pool::PoolCommand,
    portable::{Export, Restore},
    relocate::RelocateCommand,
    retrofit::RetrofitCommand,
    seed::Seed,
    usage::Usage,
};
use crate::installation::Installation;

/// Runs a platform of many clients: their databases, their moves, their health
#[derive(Debug, Parser)]
#[command(name = "tenantry", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) installation: Installation,
    /// Write JSON, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Secrets come from the environment, a file or a prompt, never from arguments: TENANTRY_PLATFORM_URL and \
TENANTRY_KEYS, and what a command's own help names.

A client is named by its id, its slug, a domain of its own, its name in another system (`krn:…`), or a key of \
the host's (`index=key`).

Exit status: 0 done, 1 something was found that is to be mended, 2 wrong use, 3 the client or its plan, \
4 give it again, 5 the installation, 6 a database refused it, 7 it may have taken effect, 8 a file, 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring a platform database to this version's catalogue, and make a keyring
    Init(Init),
    /// List, create and change clients
    #[command(subcommand)]
    Client(ClientCommand),
    /// List, register and change pool databases
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Bring every pool and dedicated database to the kernel and the host's migrations
    Migrate(Migrate),
    /// Have clients and rows be there as data sets describe them
    Seed(Seed),
    /// Move a client between databases while it is written to
    #[command(subcommand)]
    Relocate(RelocateCommand),
    /// Make the tables of an application that had one client those of many, while it goes on
    #[command(subcommand)]
    Retrofit(RetrofitCommand),
    /// Write all rows of a client to a file
    Export(Export),
    /// Load the file of an export
    Restore(Restore),
    /// Say what clients take up, where there is room, and who has outgrown a pool
    Usage(Usage),
    /// Say by what clients of pools could reach each other, and write the SQL that mends it
    Audit(Audit),
    /// Say what is wrong with the installation, and how to mend it
    Doctor(Doctor),
    /// Write the completions of a shell
    Completions(Completions),
}
