/// What a text is like; see [`like`](super::TenantQuery::like).
///
/// ```
/// use tenantry::Pattern;
///
/// // Meets "50% off" and not "500 offers": the text stands for itself.
/// let pattern = Pattern::starting_with("50% o");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(pub(super) String);

impl Pattern {
    /// Texts that begin so.
    pub fn starting_with(text: &str) -> Self {
        Self(escaped(text) + "%")
    }

    /// Texts that end so.
    pub fn ending_with(text: &str) -> Self {
        Self(format!("%{}", escaped(text)))
    }

    /// Texts that hold it anywhere.
    pub fn containing(text: &str) -> Self {
        Self(format!("%{}%", escaped(text)))
    }

    /// A pattern as SQL has it: `%` is any text, `_` any character, a backslash takes the meaning from what
    /// follows it. Not for text that users type.
    pub fn of_sql(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_a_text_stand_for_themselves() {
        assert_eq!(Pattern::containing(r"a%b_c\d").0, r"%a\%b\_c\\d%");
        assert_eq!(Pattern::starting_with("a").0, "a%");
        assert_eq!(Pattern::ending_with("a").0, "%a");
    }
}
