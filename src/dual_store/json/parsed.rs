use std::path::Path;

use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::super::record::Record;
use super::scanner::{RawRecord, not_json};
use crate::error::{BadRecord, BadRecordKind, FilePosition};

/// The record that the bytes are, or what is wrong with them. Of what serde says no value is told.
pub(super) fn parsed<R: Record>(raw: &RawRecord, file: &Path) -> Result<R, BadRecord> {
    let text = match str::from_utf8(&raw.bytes) {
        Ok(text) => text,
        Err(error) => {
            let before = &raw.bytes[..error.valid_up_to()];
            let mut lines = before.split(|byte| *byte == b'\n');
            let column = lines.next_back().map_or(0, <[u8]>::len) + 1;
            return Err(bad(raw, file, lines.count() + 1, column, BadRecordKind::NotUtf8));
        }
    };
    if !text.starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => bad(raw, file, 1, 1, BadRecordKind::NotAnObject),
            Err(error) => bad(raw, file, error.line(), error.column(), kind_of(&error, None)),
        });
    }
    let mut input = serde_json::Deserializer::from_str(text);
    let record: R = serde_path_to_error::deserialize(&mut input).map_err(|error| {
        let path = error.path().to_string();
        let error = error.inner();
        bad(
            raw,
            file,
            error.line(),
            error.column(),
            kind_of(error, Some(path)),
        )
    })?;
    input
        .end()
        .map_err(|error| bad(raw, file, error.line(), error.column(), kind_of(&error, None)))?;
    let key = record.key();
    if key.is_empty() {
        return Err(bad(raw, file, 1, 1, BadRecordKind::NoKey));
    }
    if raw.filed_as.as_deref().is_some_and(|filed| filed != key) {
        let key = key.into_owned();
        return Err(bad(raw, file, 1, 1, BadRecordKind::FiledElsewhere { key }));
    }
    Ok(record)
}

/// At the beginning of a record.
pub(super) fn bad_record(raw: &RawRecord, file: &Path, kind: BadRecordKind) -> BadRecord {
    bad(raw, file, 1, 1, kind)
}

/// The line and column are those within the record.
fn bad(raw: &RawRecord, file: &Path, line: usize, column: usize, kind: BadRecordKind) -> BadRecord {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let column = count(column.max(1));
    BadRecord {
        at: FilePosition {
            file: file.to_owned(),
            record: Some(raw.number),
            line: raw.line + count(line.max(1)) - 1,
            column: if line <= 1 {
                raw.column + column - 1
            } else {
                column
            },
        },
        kind,
    }
}

fn kind_of(error: &serde_json::Error, path: Option<String>) -> BadRecordKind {
    let text = error.to_string();
    match error.classify() {
        // The parser's own words, which quote nothing.
        Category::Syntax | Category::Eof => {
            let reason = text.rsplit_once(" at line ").map_or(&*text, |(reason, _)| reason);
            not_json(reason)
        }
        Category::Io => not_json("it cannot be read"),
        // The words of the type, which quote what they found.
        Category::Data => match missing_field(&text) {
            Some(field) => BadRecordKind::MissingField {
                field: match path.as_deref() {
                    None | Some(".") => field.to_owned(),
                    Some(path) => format!("{path}.{field}"),
                },
            },
            None => BadRecordKind::WrongField {
                path: path
                    .filter(|path| path != ".")
                    .unwrap_or_else(|| "(the record)".to_owned()),
            },
        },
    }
}

/// The name in serde's ``missing field `name` ``.
fn missing_field(text: &str) -> Option<&str> {
    let (field, _) = text.strip_prefix("missing field `")?.split_once('`')?;
    let is_name = field.len() <= 64
        && field
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    is_name.then_some(field)
}
