use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::databases::Patient;
use super::options::DoctorOptions;
use super::symptom::{Severity, Symptom};
use super::{lifecycle, platform};
use crate::directory::PlatformDirectory;
use crate::error::Result;

/// Examines an installation. Cheap to clone.
///
/// ```no_run
/// # async fn example(platform: tenantry::PlatformDirectory) -> tenantry::Result<()> {
/// use tenantry::Doctor;
///
/// for symptom in Doctor::new(platform).examine().await?.symptoms {
///     eprintln!("{}: {}. {}", symptom.about, symptom.what, symptom.mend);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Doctor {
    platform: PlatformDirectory,
    options: DoctorOptions,
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Diagnosis {
    /// What is wrong, the worst first.
    pub symptoms: Vec<Symptom>,
    /// How many pool databases were examined.
    pub pools: usize,
    /// How many dedicated databases were examined.
    pub dedicated: usize,
}

impl Diagnosis {
    /// Whether nothing keeps a client from being served and guarded as intended; there may be advice.
    pub fn is_healthy(&self) -> bool {
        self.symptoms
            .iter()
            .all(|symptom| symptom.severity < Severity::Problem)
    }
}

impl Doctor {
    /// With the defaults of [`DoctorOptions`].
    pub fn new(platform: PlatformDirectory) -> Self {
        Self {
            platform,
            options: DoctorOptions::default(),
        }
    }

    /// With these options.
    #[must_use]
    pub fn options(mut self, options: DoctorOptions) -> Self {
        self.options = options;
        self
    }

    /// Examines the platform database and its keys; each pool: both roles, versions, kernel, tables, room, and whether
    /// those it serves are those that are placed there; each dedicated database; and what was begun and not ended.
    /// Reads, and changes nothing. A database that does not answer is a symptom, and the others are examined.
    ///
    /// # Errors
    /// [`Error::Platform`](crate::Error::Platform) where the platform database stops answering meanwhile.
    ///
    /// # Cancel safety
    /// Dropped, its connections close.
    pub async fn examine(&self) -> Result<Diagnosis> {
        let mut diagnosis = Diagnosis::default();
        let outdated = platform::catalogue(&self.platform).await?;
        if !outdated.is_empty() {
            // Nothing else can be read of a catalogue of another version.
            diagnosis.symptoms = outdated;
            return Ok(diagnosis);
        }
        diagnosis.symptoms.extend(platform::keys(&self.platform).await?);
        diagnosis.symptoms.extend(platform::tiers(&self.platform).await?);
        diagnosis.symptoms.extend(platform::room(&self.platform).await?);
        diagnosis
            .symptoms
            .extend(lifecycle::unfinished(&self.platform, self.options.unfinished_after).await?);
        let patients = Patient::all(&self.platform).await?;
        diagnosis.pools = patients.iter().filter(|patient| patient.is_pool()).count();
        diagnosis.dedicated = patients.len() - diagnosis.pools;
        let examined = stream::iter(patients)
            .map(|patient| async move { patient.examine(&self.platform, self.options.patience).await })
            .buffer_unordered(self.options.at_once)
            .collect::<Vec<_>>()
            .await;
        diagnosis.symptoms.extend(examined.into_iter().flatten());
        diagnosis.symptoms.sort_by(|a, b| {
            let worst_first = b.severity.cmp(&a.severity);
            worst_first.then_with(|| (a.check, &a.about, &a.what).cmp(&(b.check, &b.about, &b.what)))
        });
        Ok(diagnosis)
    }
}
