use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;

/// A text that names no provider and no kind of credential. It does not hold the text: that may be the secret,
/// given in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: 1 to 63 of a-z, 0-9, '.', '_' and '-', with a letter or digit first")]
pub struct InvalidCredentialName {
    what: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$of:meta])* $constant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Cow<'static, str>);

        impl $name {
            $($(#[$of])* pub const $constant: Self = Self(Cow::Borrowed($text));)*

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidCredentialName;

            fn from_str(text: &str) -> Result<Self, InvalidCredentialName> {
                if is_name(text) {
                    Ok(Self(Cow::Owned(text.to_owned())))
                } else {
                    Err(InvalidCredentialName { what: $what })
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
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        #[cfg(test)]
        impl $name {
            const KNOWN: &[Self] = &[$(Self::$constant),*];
        }
    };
}

name! {
    /// Whom a credential is for: a provider of models, a platform. Any name will do; those of the constants are
    /// spelt the same by all.
    Provider,
    "provider",
    {
        /// Anthropic.
        ANTHROPIC = "anthropic",
        /// Azure `OpenAI`.
        AZURE = "azure",
        /// Amazon Bedrock.
        BEDROCK = "bedrock",
        /// Cartesia.
        CARTESIA = "cartesia",
        /// Cohere.
        COHERE = "cohere",
        /// Deepgram.
        DEEPGRAM = "deepgram",
        /// `DeepInfra`.
        DEEPINFRA = "deepinfra",
        /// `ElevenLabs`.
        ELEVENLABS = "elevenlabs",
        /// Google.
        GOOGLE = "google",
        /// Groq.
        GROQ = "groq",
        /// `LiveKit`.
        LIVEKIT = "livekit",
        /// Mistral.
        MISTRAL = "mistral",
        /// `OpenAI`.
        OPENAI = "openai",
        /// `OpenRouter`.
        OPENROUTER = "openrouter",
        /// Supabase.
        SUPABASE = "supabase",
    }
}

name! {
    /// What a credential is. Any name will do; those of the constants are spelt the same by all.
    CredentialKind,
    "kind of credential",
    {
        /// The public key of a client's users.
        ANONYMOUS_KEY = "anonymous_key",
        /// The key that requests are made with.
        API_KEY = "api_key",
        /// What goes with an API key where one alone is not enough.
        API_SECRET = "api_secret",
        /// The connection URL of a database that is no business of the crate.
        DATABASE_URL = "database_url",
        /// The name of a project at the provider.
        PROJECT_REFERENCE = "project_reference",
        /// The key with every right.
        SERVICE_KEY = "service_key",
        /// What signs or verifies the provider's calls.
        WEBHOOK_SECRET = "webhook_secret",
    }
}

/// As the platform database has it.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphanumeric()
        && bytes.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
        })
}

/// Says whether a credential may be stored; see
/// [`PlatformDirectory::validate_credentials`](crate::PlatformDirectory::validate_credentials).
pub trait CredentialValidator: Send + Sync {
    /// Refuses a credential, before anything is stored.
    ///
    /// # Errors
    /// The rule that it breaks. A fixed text, so that nothing of the credential can be in it.
    fn validate(
        &self,
        provider: &Provider,
        kind: &CredentialKind,
        secret: &SecretString,
    ) -> Result<(), &'static str>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_platform_database_takes() {
        for good in ["openai", "krisp.ai", "9lives", "api_key", "a-b", &"a".repeat(63)] {
            assert_eq!(good.parse::<Provider>().unwrap().as_str(), good);
            assert_eq!(good.parse::<CredentialKind>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "OpenAI",
            "open ai",
            "a/b",
            "-a",
            ".a",
            "ä",
            "a\n",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<Provider>().is_err(), "{bad:?}");
            assert!(bad.parse::<CredentialKind>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_constants_are_names() {
        for provider in Provider::KNOWN {
            assert_eq!(&provider.as_str().parse::<Provider>().unwrap(), provider);
        }
        for kind in CredentialKind::KNOWN {
            assert_eq!(&kind.as_str().parse::<CredentialKind>().unwrap(), kind);
        }
    }

    #[test]
    fn a_secret_given_for_a_name_is_not_told() {
        let error = "sk-Planted".parse::<CredentialKind>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("Planted"));
    }
}
