use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

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
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
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
                f.write_str(&self.0)
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

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
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
    fn an_invalid_name_says_what_it_should_have_been() {
        let error = "Acme".parse::<ClientSlug>().unwrap_err().to_string();
        assert_eq!(
            error,
            "\"Acme\" is not a client slug: 1 to 63 of a-z, 0-9 and inner hyphens"
        );
    }
}
