use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use tenantry::{Diagnosis, DoctorOptions, Severity};

use crate::failure::{Failure, Outcome};
use crate::installation::Installation;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// How many databases are examined at once
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    /// How many seconds a database may take
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..))]
    patience: u16,
    /// Exit with 1 for advice as well, not for problems alone
    #[arg(long)]
    strict: bool,
}

impl Doctor {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let platform = installation.platform().await?;
        let options = DoctorOptions::default()
            .at_once(self.at_once.into())
            .patience(Duration::from_secs(self.patience.into()));
        let diagnosis = tenantry::Doctor::new(platform.clone())
            .options(options)
            .examine()
            .await;
        platform.close().await;
        let diagnosis = diagnosis?;
        output.say(&diagnosis, told(&diagnosis).trim_end())?;
        let healthy = if self.strict {
            diagnosis.symptoms.is_empty()
        } else {
            diagnosis.is_healthy()
        };
        Ok(if healthy { Outcome::Done } else { Outcome::Found })
    }
}

/// A paragraph a symptom: what is wrong where, and how to mend it.
fn told(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for symptom in &diagnosis.symptoms {
        let _ = write!(
            text,
            "{} {}: {}\n  {}\n  mend: {}\n\n",
            symptom.severity, symptom.check, symptom.about, symptom.what, symptom.mend
        );
    }
    let of = |severity| {
        diagnosis
            .symptoms
            .iter()
            .filter(|symptom| symptom.severity == severity)
            .count()
    };
    let _ = writeln!(
        text,
        "{} pool and {} dedicated databases examined: {} problems, {} pieces of advice",
        diagnosis.pools,
        diagnosis.dedicated,
        of(Severity::Problem),
        of(Severity::Advice)
    );
    text
}
