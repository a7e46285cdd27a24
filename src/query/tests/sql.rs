//! Reading back what was spelt.

/// Every word that the builder may write by itself.
pub(super) const WORDS: [&str; 26] = [
    "select",
    "count",
    "from",
    "where",
    "and",
    "is",
    "not",
    "null",
    "any",
    "order",
    "by",
    "desc",
    "limit",
    "offset",
    "insert",
    "into",
    "values",
    "default",
    "update",
    "set",
    "delete",
    "returning",
    "public",
    "client_id",
    "call",
    "p_client_id",
];

/// A piece of SQL as the builder spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word or an identifier, with its quotes.
    Name(String),
    /// `$n`.
    Place(usize),
    Mark(char),
}

/// The pieces. Literals, comments and semicolons are never spelt, and panic.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => quoted(rest),
            '$' => 1 + run(&rest[1..], |c| c.is_ascii_digit()),
            'a'..='z' | '_' => run(rest, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
            ' ' | '(' | ')' | ',' | '.' | '=' | '<' | '>' | '*' => 1,
            other => panic!("{other:?} in {sql}"),
        };
        let (text, after) = rest.split_at(length);
        rest = after;
        tokens.push(match first {
            ' ' => continue,
            '$' => Token::Place(text[1..].parse().unwrap()),
            '"' | 'a'..='z' | '_' => Token::Name(text.to_owned()),
            mark => Token::Mark(mark),
        });
    }
    tokens
}

fn run(text: &str, of: impl Fn(char) -> bool) -> usize {
    text.find(|c| !of(c)).unwrap_or(text.len())
}

/// The length of a quoted identifier; quotes inside are doubled.
fn quoted(text: &str) -> usize {
    let mut at = 1;
    loop {
        at += text[at..].find('"').expect("a quoted identifier ends") + 1;
        if !text[at..].starts_with('"') {
            return at;
        }
        at += 1;
    }
}

pub(super) fn name(text: &str) -> Token {
    Token::Name(text.to_owned())
}

/// The places in order of appearance.
pub(super) fn places(tokens: &[Token]) -> Vec<usize> {
    let place = |token: &Token| match token {
        Token::Place(at) => Some(*at),
        _ => None,
    };
    tokens.iter().filter_map(place).collect()
}

/// The names that are not words of the builder's own.
pub(super) fn identifiers(tokens: &[Token]) -> Vec<&str> {
    let mut names = Vec::new();
    for token in tokens {
        if let Token::Name(name) = token
            && !WORDS.contains(&name.as_str())
        {
            names.push(name.as_str());
        }
    }
    names
}

/// The conditions, without the `and`s between them.
pub(super) fn conditions(tokens: &[Token]) -> Vec<&[Token]> {
    let Some(start) = tokens.iter().position(|token| *token == name("where")) else {
        return Vec::new();
    };
    let rest = &tokens[start + 1..];
    let ends = ["order", "limit", "offset", "returning"].map(name);
    let end = rest
        .iter()
        .position(|token| ends.contains(token))
        .unwrap_or(rest.len());
    rest[..end].split(|token| *token == name("and")).collect()
}
