use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What a finished backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) version: u32,
    pub(super) files: Vec<ManifestFile>,
}

/// A file of a backup, as it was when it was copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ManifestFile {
    /// From the folder on, with slashes.
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) const NAME: &'static str = ".manifest.json";
    pub(super) const VERSION: u32 = 1;

    /// `None` where there is none, or none that can be read.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Self>> {
        match fs::read(folder.join(Self::NAME)) {
            Ok(bytes) => {
                let manifest = serde_json::from_slice::<Self>(&bytes).ok();
                Ok(manifest.filter(|manifest| manifest.version == Self::VERSION && manifest.is_within()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether no path leads out of the folder.
    fn is_within(&self) -> bool {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
        self.files.iter().all(|file| file.path.split('/').all(is_plain))
    }

    /// What is wrong with the files in a folder, each with its path.
    pub(super) fn differences(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        for file in &self.files {
            match File::open(folder.join(&file.path)) {
                Ok(found) => {
                    let (bytes, sha256) = digest(found)?;
                    if (bytes, &sha256) != (file.bytes, &file.sha256) {
                        wrong.push(format!("{} was changed", file.path));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    wrong.push(format!("{} is missing", file.path));
                }
                Err(error) => return Err(error),
            }
        }
        let known = |path: &String| self.files.iter().any(|file| file.path == *path);
        let more = files_in(folder)?.into_iter().filter(|path| !known(path));
        wrong.extend(more.map(|path| format!("{path} was added")));
        Ok(wrong)
    }
}

/// The bytes of a file, and their digest.
pub(super) fn digest(mut file: impl Read) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex::encode(hash.finalize())));
        }
        hash.update(&buffer[..read]);
        bytes += u64::try_from(read).map_err(io::Error::other)?;
    }
}

/// The files of a folder and the folders within, but for hidden ones: their paths from it on, with slashes, sorted.
pub(super) fn files_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(within) = folders.pop() {
        for entry in fs::read_dir(folder.join(&within))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(io::Error::other("the name of a file is not UTF-8"));
            };
            if name.starts_with('.') {
                continue;
            }
            let path = if within.is_empty() {
                name.to_owned()
            } else {
                format!("{within}/{name}")
            };
            // A link is followed to a file, and to no folder: it could lead back.
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if fs::metadata(entry.path())?.is_file() {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}
