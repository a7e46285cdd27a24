use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{BadRecord, FilePosition};

/// What an import did, file by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonImported {
    /// The files, in their order.
    pub files: Vec<ImportedFile>,
    /// What the comparison of all files with the repository found; `None` of a dual store, which has one of its own.
    pub verified: Option<Verified>,
}

/// What became of the records of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedFile {
    /// The file.
    pub file: PathBuf,
    /// Records that are neither bad nor refused.
    pub records: u64,
    /// Those that the target did not have.
    pub created: u64,
    /// Those that it had as they are.
    pub unchanged: u64,
    /// Those that it had otherwise.
    pub changed: u64,
    /// Of a dual store: those that the store which decides does not have any more.
    pub gone: u64,
    /// How many cannot be taken, and what is wrong with the file itself.
    pub bad: u64,
    /// Some of those.
    pub bad_records: Vec<BadRecord>,
}

/// How files and a repository compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Good records of the files.
    pub records: u64,
    /// Records of the repository.
    pub target: u64,
    /// Records that both have alike.
    pub agreed: u64,
    /// Records that the repository does not have.
    pub missing: u64,
    /// Records that it has otherwise.
    pub differing: u64,
    /// Some of those.
    pub differences: Vec<FilePosition>,
    /// Records that it has alone.
    pub extra: u64,
    /// Records that cannot be taken.
    pub bad: u64,
}

impl ImportedFile {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn count_bad(&mut self, bad: BadRecord, told: usize) {
        self.bad += 1;
        if self.bad_records.len() < told {
            self.bad_records.push(bad);
        }
    }
}

impl Verified {
    /// Whether the repository has the good records of the files as they are, and no others.
    pub fn is_the_same(&self) -> bool {
        self.agreed == self.records && self.target == self.records && self.extra == 0
    }

    pub(super) fn differs(&mut self, at: &FilePosition, told: usize) {
        self.differing += 1;
        if self.differences.len() < told {
            self.differences.push(at.clone());
        }
    }
}

impl JsonImported {
    fn sum(&self, of: impl Fn(&ImportedFile) -> u64) -> u64 {
        self.files.iter().map(of).sum()
    }

    /// How many records the target did not have.
    pub fn created(&self) -> u64 {
        self.sum(|file| file.created)
    }

    /// How many it had as they are.
    pub fn unchanged(&self) -> u64 {
        self.sum(|file| file.unchanged)
    }

    /// How many it had otherwise.
    pub fn changed(&self) -> u64 {
        self.sum(|file| file.changed)
    }

    /// How many cannot be taken.
    pub fn bad(&self) -> u64 {
        self.sum(|file| file.bad)
    }
}

impl fmt::Display for ImportedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} created, {} unchanged, {} changed, {} bad",
            self.file.display(),
            self.created,
            self.unchanged,
            self.changed,
            self.bad
        )?;
        for bad in &self.bad_records {
            write!(f, "\n  {bad}")?;
        }
        Ok(())
    }
}

impl fmt::Display for JsonImported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, file) in self.files.iter().enumerate() {
            write!(f, "{}{file}", if number == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
