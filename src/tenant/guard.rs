//! Which statements a transaction of a client refuses before they are sent.
//!
//! This keeps the transaction whole and the mistake readable. It is no security boundary: that is the
//! database's, by forced row-level security and the sealed scope.

/// Why the statement may not run inside a client's transaction, if it may not.
pub(super) fn refusal(sql: &str) -> Option<&'static str> {
    let mut words = Words(sql);
    let first = words.next()?;
    let is = |word: &str| first.eq_ignore_ascii_case(word);
    if is("rollback") {
        // Back to a savepoint stays inside the transaction.
        let mut second = words.next().unwrap_or_default();
        if ["work", "transaction"]
            .iter()
            .any(|word| second.eq_ignore_ascii_case(word))
        {
            second = words.next().unwrap_or_default();
        }
        return (!second.eq_ignore_ascii_case("to")).then_some(CONTROL);
    }
    if is("set") {
        let second = words.next().unwrap_or_default();
        let third = words.next().unwrap_or_default();
        if second.eq_ignore_ascii_case("constraints") {
            // When they are checked, in this transaction.
            return None;
        }
        if second.eq_ignore_ascii_case("transaction") {
            return Some(CHARACTERISTICS);
        }
        let role = |word: &str| {
            ["role", "session"]
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name))
        };
        return (!second.eq_ignore_ascii_case("local")
            || role(third)
            || third.eq_ignore_ascii_case("tenantry"))
        .then_some(SESSION);
    }
    if ["begin", "start", "commit", "end", "abort"].into_iter().any(is) {
        return Some(CONTROL);
    }
    if [
        "reset",
        "discard",
        "prepare",
        "deallocate",
        "listen",
        "unlisten",
        "load",
    ]
    .into_iter()
    .any(is)
    {
        return Some(SESSION);
    }
    if is("copy") {
        return Some(COPY);
    }
    None
}

/// Whether a statement may set for how long those after it run.
pub(super) fn sets_statement_timeout(sql: &str) -> bool {
    const NAME: &[u8] = b"statement_timeout";
    sql.as_bytes()
        .windows(NAME.len())
        .any(|window| window.eq_ignore_ascii_case(NAME))
}

const CONTROL: &str = "it controls the transaction; use begin, commit and rollback of the handle";
const SESSION: &str =
    "it changes the session, which other clients use next; `set local` stays in the transaction";
/// A pool database has answered before the host's first statement, and refuses most of it; a dedicated one has not.
const CHARACTERISTICS: &str =
    "isolation and access are of the transaction from its beginning; say them to begin_with";
const COPY: &str = "its rows travel outside the protocol of statements; select them, or insert from unnest";

/// The leading words of a statement, past blanks and comments.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        let end = self
            .0
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn skip_blanks(&mut self) {
        loop {
            let text = self.0.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
            self.0 = if let Some(comment) = text.strip_prefix("--") {
                comment.split_once('\n').map_or("", |(_, rest)| rest)
            } else if let Some(comment) = text.strip_prefix("/*") {
                past_comment(comment)
            } else {
                self.0 = text;
                return;
            };
        }
    }
}

/// What follows a block comment. Block comments nest.
fn past_comment(text: &str) -> &str {
    let mut depth = 1;
    let bytes = text.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return &text[at..];
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_control_is_refused_however_it_is_dressed() {
        for sql in [
            "commit",
            "COMMIT;",
            "  \n\tRollback",
            "/* a /* nested */ comment */ commit",
            "-- a comment\nend",
            ";;commit",
            "begin",
            "start transaction",
            "abort",
            "rollback and chain",
            "prepare transaction 'x'",
            "commit prepared 'x'",
            "set transaction isolation level serializable",
            "SET TRANSACTION READ WRITE",
            "set /* */ transaction read only",
        ] {
            assert!(refusal(sql).is_some(), "{sql:?}");
        }
    }

    #[test]
    fn changes_of_the_session_are_refused() {
        for sql in [
            "set role other",
            "set search_path = x",
            "set session authorization x",
            "set session characteristics as transaction read only",
            "set constraints_of_mine = x",
            "set local role other",
            "set local session authorization other",
            "SET LOCAL tenantry.ticket = ''",
            "reset all",
            "discard all",
            "deallocate all",
            "listen x",
        ] {
            assert!(refusal(sql).is_some(), "{sql:?}");
        }
    }

    #[test]
    fn copies_are_refused() {
        for sql in [
            "copy agents to stdout",
            "COPY (select 1) to stdout",
            "copy agents from stdin",
        ] {
            assert!(refusal(sql).is_some(), "{sql:?}");
        }
    }

    #[test]
    fn everyday_statements_pass() {
        for sql in [
            "select 1",
            "with x as (select 1) select * from x",
            "update agents set name = $1",
            "set local statement_timeout = '1s'",
            "set constraints all deferred",
            "SET /* a comment */ CONSTRAINTS a, b IMMEDIATE",
            "savepoint a",
            "release savepoint a",
            "rollback to savepoint a",
            "rollback work to a",
            "insert into ends values (1)",
            "",
            "-- only a comment",
            "/* never closed",
            "é",
        ] {
            assert_eq!(refusal(sql), None, "{sql:?}");
        }
    }
}
