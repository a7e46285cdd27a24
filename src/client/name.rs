use std::fmt;
use std::str::FromStr;

use super::text::Text;

/// Why a text is not a name of the kind it was parsed as.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind}: {rule}")]
pub struct InvalidName {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Text);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }

            /// The bytes of the name, which are those of its text.
            pub(crate) fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    let text = text.chars().take(300).collect();
                    Err(InvalidName { text, kind: $kind, rule: $rule })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }
    };
}

name! {
    /// A client's name in host names and paths: one DNS label in lower case.
    ClientSlug,
    "client slug",
    "1 to 63 of a-z, 0-9 and inner hyphens",
    is_label
}

name! {
    /// A domain of a client's own, in lower case, such as `data.acme.example`.
    ClientDomain,
    "domain",
    "labels of a-z, 0-9 and inner hyphens joined by dots, 253 characters at most",
    is_domain
}

name! {
    /// A client's name in another system, such as `krn:acme:client:prod-001`. It is opaque here.
    ExternalRef,
    "external reference",
    "1 to 255 characters, none of them a control character",
    is_external
}

/// A name of a client in an index of the host's own, such as the slug of an agent of the client's.
///
/// ```
/// use tenantry::{ClientKey, ClientRef};
///
/// let by_agent: ClientRef = ClientKey::new("agent", "guide")?.into();
/// assert_eq!(by_agent.to_string(), "agent guide");
/// # Ok::<_, tenantry::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey {
    index: Text,
    key: Text,
}

impl ClientKey {
    /// The key in the index of that name. The index is 1 to 63 of a-z, 0-9, dots, hyphens and underscores, and
    /// begins with a letter or digit; the key is as an [`ExternalRef`].
    ///
    /// # Errors
    /// [`InvalidName`] where either is not so.
    pub fn new(index: &str, key: &str) -> Result<Self, InvalidName> {
        let invalid = |text: &str, kind, rule| InvalidName {
            text: text.chars().take(300).collect(),
            kind,
            rule,
        };
        if !is_index(index) {
            let rule = "1 to 63 of a-z, 0-9, and after the first of ., _ and -";
            return Err(invalid(index, "name of an index", rule));
        }
        if !is_external(key) {
            let rule = "1 to 255 characters, none of them a control character";
            return Err(invalid(key, "key", rule));
        }
        Ok(Self {
            index: index.into(),
            key: key.into(),
        })
    }

    /// The name of the index.
    pub fn index(&self) -> &str {
        self.index.as_str()
    }

    /// The key in it.
    pub fn key(&self) -> &str {
        self.key.as_str()
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.index(), self.key())
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientKey({:?}, {:?})", self.index, self.key)
    }
}

fn is_index(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&bytes.len())
        && bytes.first().is_some_and(plain)
        && bytes.iter().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253 && text.contains('.') && text.split('.').all(is_label)
}

fn is_external(text: &str) -> bool {
    let length = text.chars().count();
    (1..=255).contains(&length) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_one_dns_label_in_lower_case() {
        for good in ["a", "acme", "acme-2", "9lives", &"a".repeat(63)] {
            assert_eq!(good.parse::<ClientSlug>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "Acme",
            "a_b",
            "a.b",
            "ä",
            "a'b",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<ClientSlug>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_domain_has_at_least_two_labels() {
        assert!("data.acme.example".parse::<ClientDomain>().is_ok());
        for bad in ["acme", "a..b", ".a", "a.", "A.b", "a b.c"] {
            assert!(bad.parse::<ClientDomain>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_external_reference_is_opaque_but_bounded() {
        assert!("krn:acme:client:prod-001".parse::<ExternalRef>().is_ok());
        for bad in ["", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(bad.parse::<ExternalRef>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_has_the_name_of_its_index() {
        let key = ClientKey::new("agent.slug_2-x", "Guide, the").unwrap();
        assert_eq!((key.index(), key.key()), ("agent.slug_2-x", "Guide, the"));
        for (index, key) in [
            ("", "a"),
            ("Agent", "a"),
            (".a", "a"),
            ("a b", "a"),
            ("agent", ""),
            ("agent", "a\n"),
        ] {
            assert!(ClientKey::new(index, key).is_err(), "{index:?} {key:?}");
        }
    }

    #[test]
    fn an_invalid_name_says_what_it_should_have_been() {
        let error = "Acme".parse::<ClientSlug>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"Acme\" is not a client slug: 1 to 63 of a-z, 0-9 and inner hyphens"
        );
    }
}
