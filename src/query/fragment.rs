use std::fmt;

use sqlx::{SqlSafeStr, SqlStr};

use super::bind::{Bind, BoxedValue, boxed};

/// SQL of the host's own inside a statement of the builder: pieces of text that are safe by their type, and
/// values that are bound.
///
/// It stands in parentheses, and its own must be in balance: text that would close them, begin a comment or
/// another statement is refused before anything is sent.
#[derive(Default)]
pub struct Fragment<'t> {
    pub(super) pieces: Vec<Piece<'t>>,
}

pub(super) enum Piece<'t> {
    Text(SqlStr),
    Value(BoxedValue<'t>),
}

impl<'t> Fragment<'t> {
    /// Adds text: a literal, or what the host says is safe by [`sqlx::AssertSqlSafe`].
    #[must_use]
    pub fn push(mut self, sql: impl SqlSafeStr) -> Self {
        self.pieces.push(Piece::Text(sql.into_sql_str()));
        self
    }

    /// Adds a bound value.
    #[must_use]
    pub fn push_bind(mut self, value: impl Bind<'t>) -> Self {
        self.pieces.push(Piece::Value(boxed(value)));
        self
    }

    /// Why it may not stand in parentheses, if it may not. Its texts are read as one: a mark can be in two of them.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        let mut sql = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => sql.push_str(text.as_str()),
                Piece::Value(_) => sql.extend([' ', VALUE, ' ']),
            }
        }
        if sql.trim().is_empty() {
            return Some("it is empty");
        }
        let mut text = Text::default();
        text.read(&sql);
        text.refusal()
    }
}

/// Stands for a value while a fragment is read.
const VALUE: char = '\u{1}';

impl fmt::Debug for Fragment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(sql) => Some(sql.as_str()),
            Piece::Value(_) => None,
        });
        f.debug_list().entries(texts).finish()
    }
}

/// SQL that was read so far.
#[derive(Default)]
struct Text {
    depth: usize,
    /// The literal or quoted name that is not closed yet, by what closes it.
    inside: Option<String>,
    refused: Option<&'static str>,
}

impl Text {
    fn read(&mut self, sql: &str) {
        let mut rest = sql;
        while !rest.is_empty() {
            rest = match self.inside.take() {
                Some(close) => {
                    if let Some(at) = rest.find(&close) {
                        if rest[..at].contains(VALUE) {
                            self.refuse("a value stands inside a literal");
                        }
                        &rest[at + close.len()..]
                    } else {
                        self.inside = Some(close);
                        ""
                    }
                }
                None => self.read_outside(rest),
            };
        }
    }

    /// One mark outside literals; what follows it.
    fn read_outside<'a>(&mut self, text: &'a str) -> &'a str {
        let mut rest = text.chars();
        let first = rest.next().unwrap_or_default();
        let after = rest.as_str();
        match first {
            '(' => self.depth += 1,
            ')' => match self.depth.checked_sub(1) {
                Some(depth) => self.depth = depth,
                None => self.refuse("it closes a parenthesis that it did not open"),
            },
            ';' => self.refuse("it holds a semicolon"),
            '-' if after.starts_with('-') => self.refuse("it holds a comment"),
            '/' if after.starts_with('*') => self.refuse("it holds a comment"),
            '\'' | '"' => self.inside = Some(first.to_string()),
            // A backslash may hide a quote in such a literal.
            'e' | 'E' if after.starts_with('\'') => self.refuse("it holds a literal with escapes"),
            '$' => {
                let tag: &str = &after[..after.find('$').unwrap_or_default()];
                if after.starts_with(|c: char| c.is_ascii_digit()) {
                    self.refuse("it names a place by its number; use push_bind");
                } else if after.starts_with('$') || (!tag.is_empty() && tag.chars().all(in_name)) {
                    self.inside = Some(format!("${tag}$"));
                    return &after[tag.len() + 1..];
                }
            }
            c if in_name(c) => {
                // The rest of the word, or its last letter and a quote would look like a literal with escapes, and a
                // dollar in it like the beginning of one.
                let end = after.find(|c| !in_name(c) && c != '$');
                return &after[end.unwrap_or(after.len())..];
            }
            _ => {}
        }
        after
    }

    fn refuse(&mut self, reason: &'static str) {
        self.refused.get_or_insert(reason);
    }

    fn refusal(self) -> Option<&'static str> {
        let open = self.depth > 0 || self.inside.is_some();
        self.refused
            .or(open.then_some("it leaves a parenthesis or a literal open"))
    }
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_cannot_leave_its_parentheses() {
        for sql in [
            "true) or (true",
            "(true",
            "true)",
            "true -- ",
            "true /* ",
            "true; select 1",
            "name = 'a",
            "name = \"a",
            "name = $$a",
            "name = $tag$ a $$",
            "name = E'\\') or true or (\\''",
            "name = e'a'",
            "id = $1",
            "name = a$$) or (true or name = a$$",
            "",
            " ",
        ] {
            assert!(Fragment::default().push(sql).refusal().is_some(), "{sql}");
        }
        let split = Fragment::default().push("name = 'a").push_bind(1).push("'");
        assert!(split.refusal().is_some());
        // Marks that are in two texts.
        for [first, second] in [
            ["true -", "- "],
            ["true /", "* "],
            ["name = e", "'\\' ( ' ) or true or ( ' ) '"],
            ["name = $", "$ ) $$ or ("],
        ] {
            let split = Fragment::default().push(first).push(second);
            assert!(split.refusal().is_some(), "{first}{second}");
        }
    }

    #[test]
    fn what_stands_in_literals_is_no_mark() {
        for sql in [
            "length(name) > 3",
            "name = 'a) -- ; /* '",
            "name = 'it''s'",
            "\"odd ) name\" = 'x'",
            "name = $$ ) -- $$",
            "name = $tag$ ) $$ ; $tag$",
            "node = 'e'",
            "a.price - b.price > 1 / 2",
        ] {
            assert_eq!(Fragment::default().push(sql).refusal(), None, "{sql}");
        }
        let bound = Fragment::default().push("length(name) > ").push_bind(3);
        assert_eq!(bound.refusal(), None);
    }
}
