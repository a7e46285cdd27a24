use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::super::record::Record;
use super::parsed::{bad_record, parsed};
use super::scanner::{Scanned, Scanner};
use crate::error::{BadRecord, BadRecordKind, Error, FilePosition, JsonError, Result};

/// The records of a file, read batch by batch on a thread that may block.
#[derive(Debug)]
pub(super) struct Reading {
    scanner: Scanner<BufReader<File>>,
    path: Arc<PathBuf>,
    is_over: bool,
}

/// What was read: no more good records than were asked for, none of a key that was there before.
#[derive(Debug)]
pub(super) struct Batch<R> {
    pub(super) records: Vec<(FilePosition, R)>,
    pub(super) bad: Vec<BadRecord>,
    pub(super) is_last: bool,
}

/// The keys that were seen, as digests: of a key it takes as many bytes, whatever it is.
#[derive(Debug, Default)]
pub(super) struct Seen {
    first: HashMap<[u8; 16], (Arc<PathBuf>, u64)>,
}

impl Seen {
    /// Whether it is there, else remembers it.
    fn first(&mut self, key: &str, path: &Arc<PathBuf>, number: u64) -> Option<(PathBuf, u64)> {
        let there = self
            .first
            .entry(digest(key))
            .or_insert_with(|| (Arc::clone(path), number));
        let is_new = Arc::ptr_eq(&there.0, path) && there.1 == number;
        (!is_new).then(|| (there.0.to_path_buf(), there.1))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.first.contains_key(&digest(key))
    }
}

fn digest(key: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(key)[..16]);
    short
}

impl Reading {
    pub(super) async fn open(path: PathBuf, largest_record: usize) -> Result<Self> {
        let path = Arc::new(path);
        let opened = Arc::clone(&path);
        let opening = tokio::task::spawn_blocking(move || File::open(&*opened));
        let opened = opening
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let file = opened.map_err(|error| JsonError::io("opening it")(error).of(&*path))?;
        Ok(Self {
            scanner: Scanner::new(BufReader::with_capacity(1 << 16, file), &path, largest_record),
            path,
            is_over: false,
        })
    }

    /// The next records, and all that are bad between them.
    pub(super) async fn batch<R: Record>(
        mut self,
        most: usize,
        mut seen: Seen,
    ) -> Result<(Self, Seen, Batch<R>)> {
        let path = Arc::clone(&self.path);
        let read = tokio::task::spawn_blocking(move || {
            let batch = self.read(most, &mut seen)?;
            Ok::<_, Error>((self, seen, batch))
        });
        match read.await {
            Ok(read) => read,
            Err(error) => Err(JsonError::io("reading it")(std::io::Error::other(error)).of(&*path)),
        }
    }

    fn read<R: Record>(&mut self, most: usize, seen: &mut Seen) -> Result<Batch<R>> {
        let mut batch = Batch {
            records: Vec::new(),
            bad: Vec::new(),
            is_last: self.is_over,
        };
        // Bad records are bounded as good ones are.
        while !self.is_over && batch.records.len() < most && batch.bad.len() < most {
            let next = self.scanner.next();
            let raw = match next.map_err(|error| JsonError::io("reading it")(error).of(&*self.path))? {
                None => {
                    self.is_over = true;
                    break;
                }
                Some(Scanned::Bad(bad)) => {
                    batch.bad.push(bad);
                    continue;
                }
                Some(Scanned::Record(raw)) => raw,
            };
            match parsed::<R>(&raw, &self.path) {
                Err(bad) => batch.bad.push(bad),
                Ok(record) => match seen.first(&record.key(), &self.path, raw.number) {
                    None => {
                        let at = FilePosition {
                            file: self.path.to_path_buf(),
                            record: Some(raw.number),
                            line: raw.line,
                            column: raw.column,
                        };
                        batch.records.push((at, record));
                    }
                    Some((first_in, first)) => {
                        let key = record.key().into_owned();
                        let kind = BadRecordKind::DuplicateKey { key, first_in, first };
                        batch.bad.push(bad_record(&raw, &self.path, kind));
                    }
                },
            }
        }
        batch.is_last = self.is_over;
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::io::Write as _;

    use super::*;

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Page {
        id: String,
        text: String,
    }

    impl Record for Page {
        fn key(&self) -> Cow<'_, str> {
            Cow::Borrowed(&self.id)
        }
    }

    #[tokio::test]
    async fn a_file_takes_the_memory_of_a_batch_whatever_its_size() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "text ".repeat(400);
        for id in 0..3_000 {
            let before = if id == 0 { '[' } else { ',' };
            writeln!(file, "{before}{{\"id\": \"{id}\", \"text\": \"{text}\"}}").unwrap();
        }
        // A record that is larger than all others together.
        write!(
            file,
            ",{{\"id\": \"large\", \"text\": \"{}\"}}]",
            text.repeat(1_500)
        )
        .unwrap();
        let mut reading = Reading::open(file.path().to_owned(), 10_000).await.unwrap();
        let mut seen = Seen::default();
        let (mut good, mut bad) = (0, 0);
        let measured = allocation_counter::measure(|| {
            while !reading.is_over {
                let batch: Batch<Page> = reading.read(50, &mut seen).unwrap();
                good += batch.records.len();
                bad += batch.bad.len();
            }
        });
        assert_eq!((good, bad), (3_000, 1));
        assert!(file.as_file().metadata().unwrap().len() > 9_000_000);
        assert!(measured.bytes_max < 1_000_000, "{measured:?}");
    }
}
