//! What a condition of a plan says, as PostgreSQL writes it.

/// Whether it names the column.
pub(super) fn names(condition: &str, column: &str) -> bool {
    places(condition, column).next().is_some()
}

/// Whether it asks for the client for each row. What is asked once is a parameter in a plan, and no call.
pub(super) fn calls_per_row(condition: &str) -> bool {
    condition.contains("current_client()")
}

/// The operators that stand behind the column.
pub(super) fn operators_on(condition: &str, column: &str) -> Vec<String> {
    let operators = places(condition, column).filter_map(|end| {
        let mut rest = condition[end..].trim_start_matches([')', '"']);
        // A cast, of which the name can have several words and a precision.
        if let Some(cast) = rest.strip_prefix("::") {
            let length = cast
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.' || c == '"'))
                .unwrap_or(cast.len());
            rest = cast[length..].trim_start_matches(')');
        }
        let rest = rest.trim_start();
        let end = rest
            .find(|c: char| !"+-*/<>=~!@#%^&|`?".contains(c))
            .unwrap_or(rest.len());
        (end > 0).then(|| rest[..end].to_owned())
    });
    operators.collect()
}

/// Where the name of the column ends, each time that it is a name of its own and in no text.
fn places<'a>(condition: &'a str, column: &'a str) -> impl Iterator<Item = usize> + 'a {
    condition.match_indices(column).filter_map(move |(at, _)| {
        let (before, after) = (&condition[..at], &condition[at + column.len()..]);
        let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let whole = !before.ends_with(joins) && !after.starts_with(joins);
        let in_text = before.matches('\'').count() % 2 == 1;
        (whole && !in_text).then_some(at + column.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_behind_a_column_are_found_past_parentheses_and_casts() {
        assert_eq!(operators_on("((a.name)::text ~~ 'x%'::text)", "name"), ["~~"]);
        assert_eq!(
            operators_on("(settings @> '{\"settings\": 1}'::jsonb)", "settings"),
            ["@>"]
        );
        assert_eq!(operators_on("(agents.price = 1.5)", "price"), ["="]);
        assert!(operators_on("(file_name = 'name'::text)", "name").is_empty());
        assert!(names("(agents.client_id = (InitPlan 1).col1)", "client_id"));
        assert!(!names("(my_client_id = 1)", "client_id"));
    }

    #[test]
    fn what_is_asked_once_is_no_call() {
        assert!(calls_per_row("(agents.client_id = tenantry.current_client())"));
        assert!(!calls_per_row("(agents.client_id = (InitPlan 1).col1)"));
    }
}
