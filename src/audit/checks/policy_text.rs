//! What the text of a policy's expression says, as PostgreSQL writes it.

/// What `tenantry.protect` makes.
pub(super) const SCOPE: &str = "(client_id = ( SELECT tenantry.current_client() AS current_client))";

/// What is wrong with an expression that is to hold a client to its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    True,
    Null,
    Coalesce,
    Or,
    Literal,
    Setting,
    Role,
    PerRow,
    Cast,
    Other,
}

/// Whether rows of one client alone pass: the scope, or it and something else.
pub(super) fn is_scope(expression: &str) -> bool {
    conjuncts(expression).contains(&SCOPE)
}

/// Every flaw of it. None where it is the scope.
pub(super) fn flaws(expression: &str) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if is_scope(expression) {
        return flaws;
    }
    let text = without_texts(expression);
    if text == "true" || text.contains(" OR true") || text.contains("true OR ") {
        flaws.push(Flaw::True);
    }
    if text.contains(" IS NULL") {
        flaws.push(Flaw::Null);
    }
    if text.contains("COALESCE(") {
        flaws.push(Flaw::Coalesce);
    }
    if text.contains(" OR ") && flaws.is_empty() {
        flaws.push(Flaw::Or);
    }
    if has_literal(&text) {
        flaws.push(Flaw::Literal);
    }
    if text.contains("current_setting(") {
        flaws.push(Flaw::Setting);
    }
    if [
        "CURRENT_USER",
        "SESSION_USER",
        "CURRENT_ROLE",
        "current_user",
        "session_user",
    ]
    .iter()
    .any(|role| text.contains(role))
    {
        flaws.push(Flaw::Role);
    }
    if calls_per_row(&text) {
        flaws.push(Flaw::PerRow);
    }
    if text.contains("(client_id)::") {
        flaws.push(Flaw::Cast);
    }
    if flaws.is_empty() {
        flaws.push(Flaw::Other);
    }
    flaws
}

/// Whether it asks who is bound outside of a sub-select, which is evaluated once.
pub(super) fn calls_per_row(expression: &str) -> bool {
    let calls = expression.matches("tenantry.current_client()").count();
    calls > expression.matches("SELECT tenantry.current_client()").count()
}

/// Compared with a constant of type uuid.
fn has_literal(text: &str) -> bool {
    text.contains("= ''::uuid") || text.contains("''::uuid,") || text.contains("[''::uuid")
}

/// With nothing between quotes: what a text says is no operator.
fn without_texts(expression: &str) -> String {
    let mut text = String::with_capacity(expression.len());
    let mut inside = false;
    for c in expression.chars() {
        if c == '\'' {
            inside = !inside;
            text.push(c);
        } else if !inside {
            text.push(c);
        }
    }
    text
}

/// The parts that all have to hold.
fn conjuncts(expression: &str) -> Vec<&str> {
    if expression == SCOPE {
        return vec![expression];
    }
    let Some(inner) = expression
        .strip_prefix('(')
        .and_then(|inner| inner.strip_suffix(')'))
    else {
        return vec![expression];
    };
    // Between quotes, of a text or of a name, nothing means anything.
    let (mut depth, mut inside, mut from) = (0_usize, None, 0);
    let mut parts = Vec::new();
    let bytes = inner.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match (inside, byte) {
            (None, b'\'' | b'"') => inside = Some(*byte),
            (Some(quote), byte) if quote == *byte => inside = None,
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b' ') if depth == 0 && inner[at..].starts_with(" AND ") => {
                parts.push(inner[from..at].trim());
                from = at + " AND ".len();
            }
            (None, b' ') if depth == 0 && inner[at..].starts_with(" OR ") => return vec![expression],
            _ => {}
        }
    }
    parts.push(inner[from.min(inner.len())..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_known_alone_and_beside_other_conditions() {
        assert!(is_scope(SCOPE));
        assert!(is_scope(&format!("({SCOPE} AND (deleted_at IS NULL))")));
        assert!(is_scope(&format!("((a = ' OR true') AND {SCOPE})")));
        assert!(is_scope(&format!("((\"it's (\" = 1) AND {SCOPE})")));
        assert!(!is_scope(&format!(
            "((\"'\" = 1) OR ((a = '') AND {SCOPE} AND (\"'\" = 1)))"
        )));
        assert!(!is_scope(&format!("({SCOPE} OR (deleted_at IS NULL))")));
        assert!(!is_scope(&format!("(NOT {SCOPE})")));
        assert!(!is_scope("true"));
    }

    #[test]
    fn each_flaw_is_told_from_the_others() {
        let with = |more: &str| format!("({SCOPE} OR {more})");
        assert_eq!(flaws(&with("true")), [Flaw::True]);
        assert_eq!(flaws(&with("(client_id IS NULL)")), [Flaw::Null]);
        assert_eq!(flaws(&with("(slug = 'public'::text)")), [Flaw::Or]);
        assert_eq!(
            flaws("(client_id = COALESCE(( SELECT tenantry.current_client() AS current_client), client_id))"),
            [Flaw::Coalesce]
        );
        assert_eq!(
            flaws("(client_id = '00000000-0000-0000-0000-000000000000'::uuid)"),
            [Flaw::Literal]
        );
        assert_eq!(flaws("(client_id = tenantry.current_client())"), [Flaw::PerRow]);
        assert_eq!(
            flaws("((client_id)::text = ( SELECT (tenantry.current_client())::text AS current_client))"),
            [Flaw::PerRow, Flaw::Cast]
        );
        assert_eq!(
            flaws("(client_id = (NULLIF(current_setting('app.client'::text, true), ''::text))::uuid)"),
            [Flaw::Setting]
        );
        assert_eq!(flaws("(owner = CURRENT_USER)"), [Flaw::Role]);
        assert_eq!(
            flaws("(client_id <> ( SELECT tenantry.current_client() AS current_client))"),
            [Flaw::Other]
        );
    }
}
