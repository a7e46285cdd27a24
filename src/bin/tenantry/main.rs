//! `tenantry`: a platform of many clients from the command line.
//!
//! Secrets are read from the environment, from files that nobody else can read, or from a prompt; no argument takes
//! one. What was asked for is written to standard output, everything else to standard error.
#![expect(
    clippy::doc_markdown,
    reason = "what arguments say of themselves is shown as it is"
)]

mod arguments;
mod commands;
mod failure;
mod files;
mod installation;
mod output;
mod progress;
mod secrets;
mod table;
mod views;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::Arguments;
use self::failure::{Failure, Outcome};
use self::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json);
    let outcome = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime.block_on(run(arguments, &output)),
        Err(error) => Err(Failure::io("starting", &error)),
    };
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(failure) => {
            output.failed(&failure);
            failure.exit_code()
        }
    }
}

/// Every command is cancel-safe as the library's functions are: interrupted, it is dropped where it waits.
async fn run(arguments: Arguments, output: &Output) -> Result<Outcome, Failure> {
    tokio::select! {
        outcome = commands::run(arguments, output) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
    }
}
