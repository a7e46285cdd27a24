use uuid::Uuid;

use super::ground::{Column, Kind, Table};
use crate::client::ClientId;
use crate::schema::CLIENT_COLUMN;

/// What the values of one made-up row are drawn from: the same value wherever one of its type is needed, so that rows
/// of all tables refer to each other, and what is given to a function names rows of any table.
#[derive(Clone, Debug)]
pub(super) struct Salt {
    pub(super) client: ClientId,
    pub(super) uuid: Uuid,
    pub(super) token: String,
    /// Fits into 31 bits.
    pub(super) number: i64,
}

impl Salt {
    pub(super) fn new(client: ClientId) -> Self {
        let uuid = Uuid::new_v4();
        let random = uuid.as_u128();
        let number = i64::try_from(random >> 96).unwrap_or_default() % 900_000_000 + 1_100_000_000;
        Self {
            client,
            uuid,
            token: format!("tn{:010x}", random & 0xff_ffff_ffff),
            number,
        }
    }

    /// What tells in any text that a row of it is there.
    pub(super) fn is_in(&self, text: &str) -> bool {
        text.contains(&self.token)
            || text.contains(&self.uuid.to_string())
            || text.contains(&self.client.to_string())
    }
}

/// A text as SQL spells it.
pub(super) fn quoted(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A text as a value of the type.
pub(super) fn literal(text: &str, type_sql: &str) -> String {
    format!("{}::{type_sql}", quoted(text))
}

/// The values that a column is given, one after the other, until its table takes one: such that belong to the salt
/// first.
pub(super) fn candidates(table: &Table, column: &Column, salt: &Salt) -> Vec<String> {
    let mut texts = of_kind(&column.kind, column.typmod, salt);
    let is_text = column.kind.category == "S";
    // What is written in its conditions is likely to meet them.
    let conditions = table
        .checks
        .iter()
        .filter(|check| check.columns.contains(&column.attnum))
        .map(|check| check.sql.as_str())
        .chain(column.domain_checks.iter().map(String::as_str));
    let mut written = Vec::new();
    for condition in conditions {
        for text in literals(condition) {
            if is_text {
                written.push(text.clone());
            } else if let Ok(number) = text.parse::<i64>() {
                written.extend([number + 1, number, number - 1].map(|n| n.to_string()));
            } else if column.kind.category == "D"
                && text.len() >= 10
                && text.starts_with(|c: char| c.is_ascii_digit())
            {
                written.push(text.clone());
            }
        }
    }
    if matches!(column.kind.category.as_str(), "N" | "D" | "S") {
        texts.extend(written);
    }
    if is_text {
        let longer = salt.uuid.simple().to_string().repeat(2);
        texts.extend([2, 3, 5, 8, 16, 32, 64].map(|length| longer[..length].to_owned()));
        let token = &salt.token;
        texts.extend([
            token.to_uppercase(),
            format!("{token}@example.org"),
            format!("https://{token}.example.org"),
            format!("{token}.example.org"),
            salt.uuid.to_string(),
            salt.number.to_string(),
            format!("+{}", salt.number),
            format!("/{token}"),
            format!("#{}", &longer[..6]),
            "A".to_owned(),
            "EUR".to_owned(),
            "en".to_owned(),
            "en-US".to_owned(),
            "2030-01-01".to_owned(),
            "{}".to_owned(),
            String::new(),
        ]);
        let most = text_length(&column.kind, column.typmod);
        texts.retain(|text| most.is_none_or(|most| text.len() <= most));
    }
    let mut seen = std::collections::HashSet::new();
    texts.retain(|text| seen.insert(text.clone()));
    let values = texts.into_iter().map(|text| literal(&text, &column.base_sql));
    let mut values: Vec<String> = values.collect();
    if !column.required {
        values.push(format!("null::{}", column.base_sql));
    }
    values
}

fn text_length(kind: &Kind, typmod: i32) -> Option<usize> {
    match kind.base.as_str() {
        "varchar" | "bpchar" => usize::try_from(typmod - 4).ok(),
        "char" => Some(1),
        "name" => Some(63),
        _ => None,
    }
}

/// Texts of values of a type.
pub(super) fn of_kind(kind: &Kind, typmod: i32, salt: &Salt) -> Vec<String> {
    let Salt {
        uuid, token, number, ..
    } = salt;
    let several = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    if let Some(element) = &kind.element {
        let of = Kind {
            base: element.clone(),
            category: category_of(element).to_owned(),
            element: None,
            labels: kind.labels.clone(),
            parts: kind.parts.clone(),
        };
        let first = of_kind(&of, -1, salt).into_iter().next();
        let quoted = |text: String| format!("{{{}}}", in_quotes(&text));
        return first.map(quoted).into_iter().chain(["{}".to_owned()]).collect();
    }
    if !kind.parts.is_empty() {
        let parts = kind.parts.iter().map(|part| {
            if part.name == CLIENT_COLUMN && part.kind.base == "uuid" {
                return salt.client.to_string();
            }
            if part.domain {
                return String::new();
            }
            let mut texts = of_kind(&part.kind, part.typmod, salt).into_iter();
            let most = text_length(&part.kind, part.typmod).unwrap_or(usize::MAX);
            let first = texts
                .next()
                .map(|text| text.chars().take(most).collect::<String>());
            first.map(|text| in_quotes(&text)).unwrap_or_default()
        });
        return vec![format!("({})", parts.collect::<Vec<_>>().join(","))];
    }
    if !kind.labels.is_empty() {
        return kind.labels.clone();
    }
    let dimensions = usize::try_from(typmod).ok().filter(|n| *n > 0).unwrap_or(3);
    let vector = |first: &str| {
        let rest = ",0".repeat(dimensions - 1);
        format!("[{first}{rest}]")
    };
    match kind.base.as_str() {
        "uuid" => vec![uuid.to_string()],
        "int2" => vec![
            (20_000 + number % 10_000).to_string(),
            "1".to_owned(),
            "0".to_owned(),
        ],
        "int4" | "int8" | "oid" | "xid" | "cid" => {
            let mut numbers = vec![number.to_string()];
            numbers.extend(["1", "0", "2", "10", "50", "100", "1000", "-1"].map(str::to_owned));
            numbers
        }
        "float4" | "float8" | "numeric" | "money" => numeric(kind, typmod, *number),
        "bool" => several(&["true", "false"]),
        "json" | "jsonb" => vec![
            format!("{{\"tn\": \"{token}\"}}"),
            format!("[\"{token}\"]"),
            format!("\"{token}\""),
            "{}".to_owned(),
            "[]".to_owned(),
            "0".to_owned(),
        ],
        "bytea" => vec![format!("\\x{}", uuid.simple())],
        "date" => several(&["2030-01-01", "2020-01-01", "2026-06-15"]),
        "timestamp" | "timestamptz" => several(&["2030-01-01", "2020-01-01", "now", "tomorrow", "yesterday"]),
        "time" | "timetz" => several(&["12:00", "00:00"]),
        "interval" => several(&["1 hour", "1 day", "0"]),
        "inet" => several(&["10.0.0.1"]),
        "cidr" => several(&["10.0.0.0/8"]),
        "macaddr" => several(&["08:00:2b:01:02:03"]),
        "macaddr8" => several(&["08:00:2b:01:02:03:04:05"]),
        "bit" => vec!["1".repeat(usize::try_from(typmod).unwrap_or(1))],
        "varbit" => several(&["1"]),
        "tsvector" | "tsquery" | "ltree" | "lquery" | "xml" | "hstore" => match kind.base.as_str() {
            "hstore" => vec![format!("tn=>{token}")],
            _ => vec![token.clone()],
        },
        "int4range" | "int8range" | "numrange" => vec![
            format!("[{number},{})", number + 1),
            "[1,2)".to_owned(),
            "empty".to_owned(),
        ],
        "tsrange" | "tstzrange" | "daterange" => several(&["[2030-01-01,2030-01-02)", "empty"]),
        "point" => several(&["(1,1)"]),
        "box" | "lseg" | "path" | "polygon" => several(&["((0,0),(1,1))"]),
        "line" => several(&["{1,1,1}"]),
        "circle" => several(&["<(0,0),1>"]),
        "vector" | "halfvec" => vec![vector("1")],
        "sparsevec" => vec![format!("{{1:1}}/{dimensions}")],
        "geometry" | "geography" => several(&["POINT(0 0)"]),
        "pg_lsn" => several(&["0/0"]),
        "regclass" => several(&["pg_catalog.pg_class"]),
        "regtype" => several(&["integer"]),
        "regproc" | "regprocedure" => several(&["pg_catalog.now"]),
        // Of parts that are not known, or of none.
        _ if matches!(kind.category.as_str(), "C" | "P") => Vec::new(),
        _ if kind.category == "R" => several(&["empty", "{}"]),
        _ if kind.category == "S" => vec![token.clone()],
        _ => vec![token.clone(), "0".to_owned(), "{}".to_owned(), String::new()],
    }
}

/// A text as the element of an array, or as the part of a composite value.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn numeric(kind: &Kind, typmod: i32, number: i64) -> Vec<String> {
    let mut numbers = Vec::new();
    if kind.base == "numeric" && typmod >= 4 {
        let (precision, scale) = ((typmod - 4) >> 16 & 0xffff, (typmod - 4) & 0x7ff);
        let digits = u32::try_from((precision - scale).clamp(0, 9)).unwrap_or_default();
        numbers.push((number % 10_i64.pow(digits)).to_string());
    } else {
        numbers.push(number.to_string());
    }
    numbers.extend(["1", "0.5", "0", "10", "100", "-1"].map(str::to_owned));
    numbers
}

/// What matters of the category of an array's element.
fn category_of(base: &str) -> &'static str {
    match base {
        "text" | "varchar" | "bpchar" | "name" | "citext" => "S",
        "int2" | "int4" | "int8" | "numeric" | "float4" | "float8" => "N",
        _ => "U",
    }
}

/// The literals in an expression: what stands in quotes, and numbers.
pub(super) fn literals(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(at) = rest.find(|c: char| c == '\'' || c.is_ascii_digit()) {
        let before = rest[..at].chars().next_back();
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix('\'') {
            let mut text = String::new();
            let mut chars = quoted.char_indices().peekable();
            let mut end = quoted.len();
            while let Some((index, c)) = chars.next() {
                if c != '\'' {
                    text.push(c);
                } else if chars.peek().is_some_and(|(_, next)| *next == '\'') {
                    text.push('\'');
                    chars.next();
                } else {
                    end = index + 1;
                    break;
                }
            }
            found.push(text);
            rest = &quoted[end..];
        } else {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
                found.push(rest[..end].to_owned());
            }
            rest = &rest[end..];
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_out_of_conditions() {
        let sql = "((role = ANY (ARRAY['user'::text, 'it''s'::text])) AND (n2 >= 10) AND (x < 1.5))";
        assert_eq!(literals(sql), ["user", "it's", "10", "1.5"]);
        assert_eq!(quoted("a'b\\c"), "E'a''b\\\\c'");
    }

    #[test]
    fn a_salt_is_found_in_texts_of_its_rows_alone() {
        let (salt, other) = (Salt::new(ClientId::new()), Salt::new(ClientId::new()));
        assert!(salt.is_in(&format!("(1,{},x)", salt.token)));
        assert!(!other.is_in(&format!("({},{},{})", salt.token, salt.uuid, salt.client)));
        assert!(i32::try_from(salt.number).is_ok());
    }
}
