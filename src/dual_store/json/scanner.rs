use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use super::layout::JsonLayout;
use crate::error::{BadRecord, BadRecordKind, FilePosition};

/// Walks the records of a file one by one, whatever its size: it finds where each begins and ends, and keeps that one
/// alone. What is wrong within a record is no matter of those behind it, as far as its brackets say where it ends.
#[derive(Debug)]
pub(super) struct Scanner<I> {
    input: I,
    file: PathBuf,
    largest: usize,
    at: Place,
    expects: Expects,
    layout: Option<JsonLayout>,
    records: u64,
}

/// The bytes of one record, and where they begin.
#[derive(Clone, Debug)]
pub(super) struct RawRecord {
    pub(super) number: u64,
    pub(super) line: u64,
    pub(super) column: u64,
    /// The key that it is filed under, in an object of records.
    pub(super) filed_as: Option<String>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Scanned {
    Record(RawRecord),
    Bad(BadRecord),
}

#[derive(Clone, Copy, Debug)]
struct Place {
    line: u64,
    column: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Beginning,
    /// A record, or the end where there is none before.
    First,
    /// A comma or the end.
    Comma,
    /// A record, behind a comma.
    Record,
    /// Nothing but white space.
    Nothing,
    /// It is over.
    Over,
}

/// How deep what is in a record may be nested. The parser takes less.
const DEEPEST: usize = 1_000;

/// How a value ended.
enum Ended {
    Whole,
    /// It is larger than what is kept.
    TooLarge,
    /// The file did.
    File,
    TooDeep,
}

impl<I: BufRead> Scanner<I> {
    pub(super) fn new(input: I, file: &Path, largest: usize) -> Self {
        Self {
            input,
            file: file.to_owned(),
            largest,
            at: Place { line: 1, column: 1 },
            expects: Expects::Beginning,
            layout: None,
            records: 0,
        }
    }

    /// How the file keeps its records, once the first was asked for.
    pub(super) fn layout(&self) -> Option<JsonLayout> {
        self.layout
    }

    pub(super) fn next(&mut self) -> io::Result<Option<Scanned>> {
        loop {
            if self.expects == Expects::Over {
                return Ok(None);
            }
            if self.expects == Expects::Beginning {
                if let Some(bad) = self.begin()? {
                    self.expects = Expects::Over;
                    return Ok(Some(Scanned::Bad(bad)));
                }
                continue;
            }
            self.skip_space()?;
            let Some(byte) = self.peek()? else {
                let ended = self.expects == Expects::Nothing;
                self.expects = Expects::Over;
                if ended {
                    return Ok(None);
                }
                return self.wrong("it ends before its records do");
            };
            let by_key = self.layout == Some(JsonLayout::ByKey);
            let end = if by_key { b'}' } else { b']' };
            match (self.expects, byte) {
                (Expects::Nothing, _) => {
                    self.expects = Expects::Over;
                    return self.wrong("there is more behind its records");
                }
                (Expects::First | Expects::Comma, _) if byte == end => {
                    self.bump()?;
                    self.expects = Expects::Nothing;
                }
                (Expects::Record, _) if byte == end => {
                    self.expects = Expects::Comma;
                    return self.wrong("there is a comma behind the last record");
                }
                (_, b']' | b'}') => {
                    self.expects = Expects::Over;
                    return self.wrong("it ends with another bracket than it begins with");
                }
                (Expects::Comma, b',') => {
                    self.bump()?;
                    self.expects = Expects::Record;
                }
                (Expects::Comma, _) => {
                    self.expects = Expects::Record;
                    return self.wrong("there is no comma before a record");
                }
                (Expects::First | Expects::Record, b',') => {
                    self.expects = Expects::Comma;
                    return self.wrong("there is no record before a comma");
                }
                _ => return self.record(by_key).map(Some),
            }
        }
    }

    fn begin(&mut self) -> io::Result<Option<BadRecord>> {
        if self.peek()? == Some(0xEF) {
            // A byte order mark: older systems leave one.
            for byte in [0xEF, 0xBB, 0xBF] {
                if self.peek()? != Some(byte) {
                    return Ok(Some(self.bad(None, self.at, BadRecordKind::NotUtf8)));
                }
                self.bump()?;
            }
            self.at = Place { line: 1, column: 1 };
        }
        self.skip_space()?;
        self.layout = Some(match self.peek()? {
            Some(b'[') => JsonLayout::List,
            Some(b'{') => JsonLayout::ByKey,
            _ => return Ok(Some(self.bad(None, self.at, BadRecordKind::NotRecords))),
        });
        self.bump()?;
        self.expects = Expects::First;
        Ok(None)
    }

    fn record(&mut self, by_key: bool) -> io::Result<Scanned> {
        self.records += 1;
        self.expects = Expects::Comma;
        let number = Some(self.records);
        let mut filed_as = None;
        if by_key {
            let begin = self.at;
            let (ended, bytes) = self.value()?;
            self.skip_space()?;
            let key = serde_json::from_slice::<String>(&bytes).ok();
            let colon = self.peek()? == Some(b':');
            if !colon || key.is_none() {
                if colon {
                    self.bump()?;
                    self.skip_space()?;
                    self.value()?;
                }
                let kind = match ended {
                    Ended::File => BadRecordKind::Unfinished,
                    Ended::TooLarge => self.too_large(),
                    _ => not_json("a key and a colon were expected"),
                };
                return Ok(Scanned::Bad(self.bad(number, begin, kind)));
            }
            self.bump()?;
            self.skip_space()?;
            filed_as = key;
        }
        let begin = self.at;
        let (ended, bytes) = self.value()?;
        let kind = match ended {
            Ended::Whole => {
                return Ok(Scanned::Record(RawRecord {
                    number: self.records,
                    line: begin.line,
                    column: begin.column,
                    filed_as,
                    bytes,
                }));
            }
            Ended::TooLarge => self.too_large(),
            Ended::File => {
                self.expects = Expects::Over;
                BadRecordKind::Unfinished
            }
            Ended::TooDeep => {
                self.expects = Expects::Over;
                not_json("it is nested too deep for its end to be found")
            }
        };
        Ok(Scanned::Bad(self.bad(number, begin, kind)))
    }

    /// The bytes of the value that begins here, up to the bracket that ends it, or the comma behind it.
    fn value(&mut self) -> io::Result<(Ended, Vec<u8>)> {
        let mut bytes = Vec::new();
        let mut open = Vec::new();
        let (mut in_string, mut escaped, mut too_large) = (false, false, false);
        let whole = |too_large: bool, bytes: Vec<u8>| {
            let ended = if too_large { Ended::TooLarge } else { Ended::Whole };
            Ok((ended, bytes))
        };
        loop {
            let Some(byte) = self.peek()? else {
                // A value without brackets or quotes ends with the file.
                let inside = in_string || !open.is_empty() || bytes.is_empty();
                return if inside {
                    Ok((Ended::File, bytes))
                } else {
                    whole(too_large, bytes)
                };
            };
            let bare = open.is_empty() && !in_string;
            let ends = matches!(byte, b',' | b']' | b'}' | b':') || byte.is_ascii_whitespace();
            if bare && ends && (!bytes.is_empty() || too_large) {
                return whole(too_large, bytes);
            }
            self.bump()?;
            if bytes.len() < self.largest {
                bytes.push(byte);
            } else {
                too_large = true;
            }
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    // No string goes over its line: it was not ended.
                    b'"' | b'\n' => in_string = false,
                    _ => {}
                }
                if !in_string && open.is_empty() {
                    return whole(too_large, bytes);
                }
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' if open.len() >= DEEPEST => return Ok((Ended::TooDeep, bytes)),
                b'{' => open.push(b'}'),
                b'[' => open.push(b']'),
                // Those that were left open within end with it; one that ends nothing is left to the parser.
                b'}' | b']' => {
                    if let Some(ends) = open.iter().rposition(|end| *end == byte) {
                        open.truncate(ends);
                    }
                    if open.is_empty() {
                        return whole(too_large, bytes);
                    }
                }
                _ => {}
            }
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.input.fill_buf()?.first().copied())
    }

    fn bump(&mut self) -> io::Result<()> {
        match self.peek()? {
            Some(b'\n') => {
                self.at.line += 1;
                self.at.column = 1;
            }
            _ => self.at.column += 1,
        }
        self.input.consume(1);
        Ok(())
    }

    fn skip_space(&mut self) -> io::Result<()> {
        while self
            .peek()?
            .is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
        {
            self.bump()?;
        }
        Ok(())
    }

    fn too_large(&self) -> BadRecordKind {
        BadRecordKind::TooLarge {
            largest: u64::try_from(self.largest).unwrap_or(u64::MAX),
        }
    }

    fn bad(&self, record: Option<u64>, at: Place, kind: BadRecordKind) -> BadRecord {
        BadRecord {
            at: FilePosition {
                file: self.file.clone(),
                record,
                line: at.line,
                column: at.column,
            },
            kind,
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what `next` returns")]
    fn wrong(&self, reason: &str) -> io::Result<Option<Scanned>> {
        Ok(Some(Scanned::Bad(self.bad(None, self.at, not_json(reason)))))
    }
}

pub(super) fn not_json(reason: &str) -> BadRecordKind {
    BadRecordKind::NotJson {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record as its number, line, column and text; each fault as where it is and what.
    fn scanned(text: &[u8], largest: usize) -> Vec<String> {
        let mut scanner = Scanner::new(text, Path::new("f"), largest);
        let mut all = Vec::new();
        while let Some(found) = scanner.next().unwrap() {
            all.push(match found {
                Scanned::Record(raw) => format!(
                    "{} {}:{} {}{}",
                    raw.number,
                    raw.line,
                    raw.column,
                    raw.filed_as.map(|key| format!("{key}=")).unwrap_or_default(),
                    String::from_utf8_lossy(&raw.bytes)
                ),
                Scanned::Bad(bad) => bad.to_string(),
            });
        }
        all
    }

    #[test]
    fn records_are_found_with_their_positions() {
        assert_eq!(
            scanned(b"\xEF\xBB\xBF[\n  {\"a\": \"]},{\\\"\"},\n  2 , [3]]\n", 99),
            ["1 2:3 {\"a\": \"]},{\\\"\"}", "2 3:3 2", "3 3:7 [3]"]
        );
        assert_eq!(
            scanned(b"{\"a\": {}, \"b\":{\"c\":{}}}", 99),
            ["1 1:7 a={}", "2 1:15 b={\"c\":{}}"]
        );
        assert!(scanned(b" [ ] ", 99).is_empty() && scanned(b"{}", 99).is_empty());
    }

    #[test]
    fn a_fault_is_told_and_the_records_behind_it_are_found() {
        assert_eq!(
            scanned(b"[{\"a\": [1},\n{\"b\": 2}]", 99),
            ["1 1:2 {\"a\": [1}", "2 2:1 {\"b\": 2}"]
        );
        assert_eq!(
            scanned(b"[{\"a\": \"open},\n \"x\": 1}, {}]", 99),
            ["1 1:2 {\"a\": \"open},\n \"x\": 1}", "2 2:11 {}"]
        );
        assert_eq!(
            scanned(b"[{}{},,{},]", 99),
            [
                "1 1:2 {}",
                "f:1:4: it is not JSON: there is no comma before a record",
                "2 1:4 {}",
                "f:1:7: it is not JSON: there is no record before a comma",
                "3 1:8 {}",
                "f:1:11: it is not JSON: there is a comma behind the last record",
            ]
        );
        assert_eq!(
            scanned(b"[{\"a\": \"0123456789\"}, {}]", 10),
            ["f:1:2 (record 1): it is larger than 10 bytes", "2 1:23 {}"]
        );
        assert_eq!(
            scanned(b"{1: {}, \"b\": {}}", 99),
            [
                "f:1:2 (record 1): it is not JSON: a key and a colon were expected",
                "2 1:14 b={}"
            ]
        );
    }

    #[test]
    fn a_file_that_ends_too_early_or_too_late_says_so() {
        let neither = "f:1:1: the file is neither a list of records nor an object of them";
        assert_eq!(scanned(b"", 99), [neither]);
        assert_eq!(scanned(b"7", 99), [neither]);
        assert_eq!(
            scanned(b"[{\"a\": ", 99),
            ["f:1:2 (record 1): the file ends within it"]
        );
        assert_eq!(
            scanned(b"[{}", 99),
            ["1 1:2 {}", "f:1:4: it is not JSON: it ends before its records do"]
        );
        assert_eq!(
            scanned(b"[] []", 99),
            ["f:1:4: it is not JSON: there is more behind its records"]
        );
        assert_eq!(
            scanned(b"[{}}", 99),
            [
                "1 1:2 {}",
                "f:1:4: it is not JSON: it ends with another bracket than it begins with"
            ]
        );
        assert_eq!(scanned(&[b'['; 5_000], 99).len(), 1);
    }
}
