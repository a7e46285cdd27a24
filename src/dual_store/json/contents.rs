use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::path::Path;

use super::super::record::Record;
use super::json_file::JsonFile;
use super::layout::JsonLayout;
use super::parsed::{bad_record, parsed};
use super::scanner::{RawRecord, Scanned, Scanner};
use crate::error::{BadRecord, BadRecordKind, RepositoryError};

/// A file of records, as it was read.
#[derive(Debug)]
pub(super) struct Contents<R> {
    layout: JsonLayout,
    /// In the order of the file, those that are bad as well: writes keep them byte for byte.
    entries: Vec<Entry>,
    /// The records that are good, each with its place among the entries.
    good: BTreeMap<String, (usize, R)>,
    bad: Vec<BadRecord>,
}

/// The bytes of a record, and the key that it is filed under where the file is by key.
#[derive(Debug)]
struct Entry {
    filed_as: Option<String>,
    bytes: Vec<u8>,
    is_good: bool,
}

impl<R: Record> Contents<R> {
    /// # Errors
    /// [`RepositoryError::BadFile`] where it cannot be told where its records are. That some are bad is none.
    pub(super) fn read(file: &JsonFile, layout: JsonLayout) -> Result<Self, RepositoryError> {
        let mut contents = Self {
            layout,
            entries: Vec::new(),
            good: BTreeMap::new(),
            bad: Vec::new(),
        };
        let Some(content) = file.read()? else {
            return Ok(contents);
        };
        let mut scanner = Scanner::new(&*content, &file.path, usize::MAX);
        let mut numbers = HashMap::new();
        loop {
            match scanner.next() {
                Ok(Some(Scanned::Record(raw))) => contents.add(raw, &file.path, &mut numbers),
                Ok(Some(Scanned::Bad(bad))) => return Err(RepositoryError::BadFile(Box::new(bad))),
                Ok(None) => break,
                // There is no input but the bytes that were read.
                Err(error) => return Err(RepositoryError::unknown(error)),
            }
        }
        contents.layout = scanner.layout().unwrap_or(layout);
        Ok(contents)
    }

    fn add(&mut self, raw: RawRecord, file: &Path, numbers: &mut HashMap<String, u64>) {
        let mut record = parsed::<R>(&raw, file);
        if let Ok(good) = &record
            && let Some(first) = numbers.get(&*good.key())
        {
            let kind = BadRecordKind::DuplicateKey {
                key: good.key().into_owned(),
                first_in: file.to_owned(),
                first: *first,
            };
            // Which of them counts, nobody knows: neither does.
            self.disown(&good.key());
            record = Err(bad_record(&raw, file, kind));
        }
        let is_good = record.is_ok();
        match record {
            Ok(record) => {
                let key = record.key().into_owned();
                numbers.insert(key.clone(), raw.number);
                self.good.insert(key, (self.entries.len(), record));
            }
            Err(bad) => self.bad.push(bad),
        }
        self.entries.push(Entry {
            filed_as: raw.filed_as,
            bytes: raw.bytes,
            is_good,
        });
    }

    fn disown(&mut self, key: &str) {
        if let Some((at, _)) = self.good.remove(key) {
            self.entries[at].is_good = false;
        }
    }

    /// The record of that key.
    ///
    /// # Errors
    /// [`RepositoryError::BadFile`] where it is none of the good ones, and may be a bad one.
    pub(super) fn get(&self, key: &str) -> Result<Option<&R>, RepositoryError> {
        match self.good.get(key) {
            Some((_, record)) => Ok(Some(record)),
            None => self.all_good().map(|()| None),
        }
    }

    /// Up to so many, by key.
    pub(super) fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<R>, RepositoryError>
    where
        R: Clone,
    {
        self.all_good()?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.good.range::<str, _>((from, Bound::Unbounded));
        Ok(range.take(limit).map(|(_, (_, record))| record.clone()).collect())
    }

    fn all_good(&self) -> Result<(), RepositoryError> {
        match self.bad.first() {
            Some(bad) => Err(RepositoryError::BadFile(Box::new(bad.clone()))),
            None => Ok(()),
        }
    }

    /// Adds the record, or puts it in the place of the one of its key.
    pub(super) fn put(&mut self, record: &R) -> Result<(), RepositoryError> {
        let key = record.key().into_owned();
        let bytes = serde_json::to_vec(record).map_err(RepositoryError::refused)?;
        let at = self.good.get(&key).map_or(self.entries.len(), |(at, _)| *at);
        let entry = Entry {
            filed_as: (self.layout == JsonLayout::ByKey).then(|| key.clone()),
            bytes,
            is_good: true,
        };
        match self.entries.get_mut(at) {
            Some(there) => *there = entry,
            None => self.entries.push(entry),
        }
        self.good.insert(key, (at, record.clone()));
        Ok(())
    }

    /// Removes the record of that key, and says whether there was one.
    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some((at, _)) = self.good.remove(key) else {
            return false;
        };
        self.entries.remove(at);
        for (place, _) in self.good.values_mut() {
            if *place > at {
                *place -= 1;
            }
        }
        true
    }

    /// Takes those out that are not good: their bytes, and what is wrong with them.
    pub(super) fn take_bad(&mut self) -> (Vec<Vec<u8>>, Vec<BadRecord>) {
        let (good, bad): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_iter()
            .partition(|entry| entry.is_good);
        self.entries = good;
        let taken = bad.into_iter().map(|entry| entry.bytes).collect();
        (taken, std::mem::take(&mut self.bad))
    }

    /// The file, a record a line.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let (begin, end): (&[u8], &[u8]) = match self.layout {
            JsonLayout::List => (b"[", b"]\n"),
            JsonLayout::ByKey => (b"{", b"}\n"),
        };
        let mut bytes = begin.to_vec();
        for (number, entry) in self.entries.iter().enumerate() {
            bytes.extend_from_slice(if number == 0 { b"\n  " } else { b",\n  " });
            if let Some(key) = &entry.filed_as {
                bytes.extend_from_slice(serde_json::Value::from(&**key).to_string().as_bytes());
                bytes.extend_from_slice(b": ");
            }
            bytes.extend_from_slice(&entry.bytes);
        }
        if !self.entries.is_empty() {
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(end);
        bytes
    }
}
