use secrecy::{ExposeSecret, SecretString};

use super::credential::{CredentialKind, CredentialValidator, Provider};

/// Refuses what stands in for a credential. By its text alone, whatever the provider and kind, it refuses
///
/// - what is empty, or has white space or control characters in it or around it;
/// - what is shorter than [`min_length`](Self::min_length), or has fewer than five different characters, such as
///   `sk-xxxxxxxx`;
/// - what has one of these words, between characters that are no letters and digits: `test`, `testing`, `dummy`,
///   `fake`, `mock`, `sample`, `example`, `placeholder`, `your`, `todo`, `none`, `null`, `undefined`, `xxx`, as
///   `sk-test-1` and `your-api-key` do, and the host `db.example`;
/// - what has one of these in it, hyphens and the like left out: `changeme`, `replaceme`, `yourkey`, `yourapikey`,
///   `apikeyhere`, `keygoeshere`, `placeholder`, `12345678`, `abcdefgh`.
///
/// Capitals count as small letters. A random key is refused once in some hundred million.
#[derive(Clone, Copy, Debug)]
pub struct NoDummies {
    min_length: usize,
}

const WORDS: [&str; 14] = [
    "test",
    "testing",
    "dummy",
    "fake",
    "mock",
    "sample",
    "example",
    "placeholder",
    "your",
    "todo",
    "none",
    "null",
    "undefined",
    "xxx",
];

const PARTS: [&str; 9] = [
    "changeme",
    "replaceme",
    "yourkey",
    "yourapikey",
    "apikeyhere",
    "keygoeshere",
    "placeholder",
    "12345678",
    "abcdefgh",
];

const LEAST_DIFFERENT: usize = 5;

impl Default for NoDummies {
    fn default() -> Self {
        Self { min_length: 8 }
    }
}

impl NoDummies {
    /// How many characters a credential has at least. Defaults to 8.
    #[must_use]
    pub fn min_length(mut self, characters: usize) -> Self {
        self.min_length = characters;
        self
    }
}

impl CredentialValidator for NoDummies {
    fn validate(
        &self,
        _provider: &Provider,
        _kind: &CredentialKind,
        secret: &SecretString,
    ) -> Result<(), &'static str> {
        let text = secret.expose_secret();
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("it has white space or control characters");
        }
        if text.chars().count() < self.min_length {
            return Err("it is too short");
        }
        let mut different: Vec<char> = Vec::with_capacity(LEAST_DIFFERENT);
        for c in text.chars() {
            if different.len() < LEAST_DIFFERENT && !different.contains(&c) {
                different.push(c);
            }
        }
        if different.len() < LEAST_DIFFERENT {
            return Err("it is a few characters over and over");
        }
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        if words.any(|word| WORDS.iter().any(|dummy| word.eq_ignore_ascii_case(dummy))) {
            return Err("it has a word of a test or dummy key");
        }
        if PARTS.iter().any(|part| squeezed_has(text, part)) {
            return Err("it is a placeholder");
        }
        Ok(())
    }
}

/// Whether the text has the part, read without what is no letter or digit. Nothing of it is copied.
fn squeezed_has(text: &str, part: &str) -> bool {
    let bytes = text.as_bytes();
    (0..bytes.len()).any(|from| {
        let mut rest = bytes[from..].iter().filter(|byte| byte.is_ascii_alphanumeric());
        part.bytes()
            .all(|byte| rest.next().is_some_and(|found| found.eq_ignore_ascii_case(&byte)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validate(text: &str) -> Result<(), &'static str> {
        NoDummies::default().validate(&Provider::OPENAI, &CredentialKind::API_KEY, &text.into())
    }

    #[test]
    fn what_stands_in_for_a_key_is_refused_by_its_rule() {
        for (rule, dummies) in [
            ("it is empty", &[""][..]),
            (
                "it has white space or control characters",
                &["   ", "sk-Zm9vYmFy91 ", "sk-Zm9v\nYmFy91", "\tsk-Zm9vYmFy91"],
            ),
            ("it is too short", &["x", "test", "sk-1a2b", "dummy"]),
            (
                "it is a few characters over and over",
                &["xxxxxxxx", "00000000", "sk-xxxxxxxxxxxx", "abababab"],
            ),
            (
                "it has a word of a test or dummy key",
                &[
                    "sk-test-9fK2mQ",
                    "sk_test_51H8zTq",
                    "SK-TEST-9fK2mQ",
                    "your-api-key",
                    "<your key>".replace(' ', "_").leak(),
                    "my.dummy.key",
                    "sk-xxx-9fK2mQ",
                    "postgres://app:hunter2@db.example/acme",
                ],
            ),
            (
                "it is a placeholder",
                &[
                    "changeme",
                    "Change-Me!",
                    "sk-change_me-1",
                    "sk-1234567890",
                    "yourapikeyhere",
                    "abcdefghijkl",
                ],
            ),
        ] {
            for dummy in dummies {
                assert_eq!(validate(dummy), Err(rule), "{dummy:?}");
            }
        }
    }

    #[test]
    fn a_key_is_taken() {
        for key in [
            "sk-proj-Zt7Qm2Lx9Vb4Kc8Rw1Hd5Ng",
            "sk-or-v1-0b5c3fe7a1d94826",
            "AIzaSyD9k3Lm2Qp7Rt5Vx8",
            "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.9fK2mQ7Zt",
            "qhzkvbnwtxlrpmdfgcjs",
            // The word is a part of a longer one.
            "contest-Zt7Qm2Lx",
            "postgres://app:Zt7Qm2Lx@db.acme.net:6432/latest",
        ] {
            assert_eq!(validate(key), Ok(()), "{key:?}");
        }
        let longer = NoDummies::default().min_length(40);
        let key = "sk-proj-Zt7Qm2Lx9Vb4Kc8Rw1Hd5Ng".into();
        let refused = longer.validate(&Provider::OPENAI, &CredentialKind::API_KEY, &key);
        assert_eq!(refused, Err("it is too short"));
    }
}
