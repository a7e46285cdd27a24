//! What is wrong with an installation, and how to mend it: the platform database, its keys, every pool and dedicated
//! database, and what was begun and not ended. It reads and changes nothing.

mod databases;
mod examination;
mod lifecycle;
mod options;
mod platform;
mod pools;
mod symptom;

pub use self::examination::{Diagnosis, Doctor};
pub use self::options::DoctorOptions;
pub use self::symptom::{Severity, Symptom};
