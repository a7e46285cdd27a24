//! A command a file: its arguments, what it does, what it shows.

pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod init;
pub(crate) mod migrate;
pub(crate) mod pool;
pub(crate) mod portable;
pub(crate) mod relocate;
pub(crate) mod retrofit;
pub(crate) mod seed;
pub(crate) mod usage;

use crate::arguments::{Arguments, Command};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

pub(crate) async fn run(arguments: Arguments, output: &Output) -> Result<Outcome, Failure> {
    let installation = &arguments.installation;
    match arguments.command {
        Command::Init(init) => init.run(installation, output).await,
        Command::Client(command) => command.run(installation, output).await,
        Command::Pool(command) => command.run(installation, output).await,
        Command::Migrate(migrate) => migrate.run(installation, output).await,
        Command::Seed(seed) => seed.run(installation, output).await,
        Command::Relocate(command) => command.run(installation, output).await,
        Command::Retrofit(command) => command.run(installation, output).await,
        Command::Export(export) => export.run(installation, output).await,
        Command::Restore(restore) => restore.run(installation, output).await,
        Command::Usage(usage) => usage.run(installation, output).await,
        Command::Audit(audit) => audit.run(installation, output).await,
        Command::Doctor(doctor) => doctor.run(installation, output).await,
        Command::Completions(completions) => completions.run(output),
    }
}
