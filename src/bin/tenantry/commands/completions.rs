use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// For that shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, output: &Output) -> Result<Outcome, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "tenantry", &mut script);
        let script = String::from_utf8_lossy(&script);
        output.script(&script)?;
        Ok(Outcome::Done)
    }
}
