use std::borrow::Cow;

/// Words to look for in a text; see [`matches`](super::TenantQuery::matches).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSearch<'t> {
    pub(super) text: String,
    /// The function that reads it.
    pub(super) reader: &'static str,
    pub(super) language: Option<Cow<'t, str>>,
}

impl<'t> TextSearch<'t> {
    /// As users of search engines type it: words, "phrases in quotes", or, and -without. Never an error.
    pub fn web(text: impl Into<String>) -> Self {
        Self::read_by("websearch_to_tsquery", text.into())
    }

    /// All of these words.
    pub fn words(text: impl Into<String>) -> Self {
        Self::read_by("plainto_tsquery", text.into())
    }

    /// These words in this order, one after the other.
    pub fn phrase(text: impl Into<String>) -> Self {
        Self::read_by("phraseto_tsquery", text.into())
    }

    /// The text search configuration, such as `english`. Defaults to that of the database.
    #[must_use]
    pub fn language(mut self, name: impl Into<Cow<'t, str>>) -> Self {
        self.language = Some(name.into());
        self
    }

    fn read_by(reader: &'static str, text: String) -> Self {
        Self {
            text,
            reader,
            language: None,
        }
    }

    /// Whether the language is a name that may stand in a literal.
    pub(super) fn has_plain_language(&self) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        self.language
            .as_ref()
            .is_none_or(|name| !name.is_empty() && name.len() <= 127 && name.chars().all(plain))
    }
}
