use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The text of a name, in place where it is short.
///
/// A copy shares nothing with the text that it is of: a count that two share is a cache line that two threads take
/// from each other.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Text {
    /// The rest is zeros, so that equal texts are equal bytes.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<str>),
}

/// As much as there is room for beside a pointer and a length.
const SHORT: usize = 22;

impl Text {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(text) => text.as_bytes(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            // They are those of a text.
            Self::Short { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(start), Ok(length)) => {
                start.copy_from_slice(text.as_bytes());
                Self::Short { length, bytes }
            }
            _ => Self::Long(text.into()),
        }
    }
}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.as_bytes());
        // No text has it: what is hashed next does not run into this.
        state.write_u8(0xff);
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_any_length_comes_back_as_it_was() {
        let whole = "é-".repeat(20);
        for (end, _) in whole.char_indices() {
            let text = Text::from(&whole[..end]);
            assert_eq!(text.as_str(), &whole[..end]);
            assert_eq!(matches!(text, Text::Short { .. }), end <= SHORT);
        }
        assert_eq!(
            size_of::<Option<Text>>(),
            size_of::<Box<str>>() + size_of::<usize>()
        );
    }

    #[test]
    fn texts_are_ordered_as_they_read() {
        let words = ["", "a", "a-longer-one-than-has-room", "aa", "b", "é"];
        let texts: Vec<Text> = words.into_iter().map(Text::from).collect();
        assert!(texts.is_sorted());
    }
}
