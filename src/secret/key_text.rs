use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretBox;
use secrecy::zeroize::Zeroizing;

/// Why a text is no keyring. It holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeyring {
    /// There is no entry in it.
    #[error("the keyring has no key")]
    Empty,
    /// An entry is not of the form `id:key` with a whole number for an id.
    #[error("entry {entry} of the keyring does not begin with a key id and a colon")]
    KeyId {
        /// Its place, from 1.
        entry: usize,
    },
    /// A key is not 32 bytes in hex or base64.
    #[error("the key in entry {entry} of the keyring is not 32 bytes in hex or base64")]
    Key {
        /// Its place, from 1.
        entry: usize,
    },
    /// A key is one byte over and over: a placeholder, which anybody can guess.
    #[error("the key in entry {entry} of the keyring is one byte repeated")]
    Repeated {
        /// Its place, from 1.
        entry: usize,
    },
    /// Two entries have the same id.
    #[error("entry {entry} of the keyring has the id of one before it")]
    TwiceTheId {
        /// Its place, from 1.
        entry: usize,
    },
}

type ByKeyId = BTreeMap<u32, SecretBox<[u8; 32]>>;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// The keys by their ids, and the id of the last.
pub(super) fn read(text: &str) -> Result<(ByKeyId, u32), InvalidKeyring> {
    let mut keys = ByKeyId::new();
    let mut newest = None;
    let entries = text
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty());
    for (at, text) in entries.enumerate() {
        let entry = at + 1;
        let (key_id, key) = text.split_once(':').ok_or(InvalidKeyring::KeyId { entry })?;
        // More than `parse` takes alone: no sign.
        let digits = key_id.bytes().all(|byte| byte.is_ascii_digit());
        let key_id = key_id
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or(InvalidKeyring::KeyId { entry })?;
        let key = bytes(key).ok_or(InvalidKeyring::Key { entry })?;
        if key.iter().all(|byte| *byte == key[0]) {
            return Err(InvalidKeyring::Repeated { entry });
        }
        let key = SecretBox::init_with_mut(|copy: &mut [u8; 32]| *copy = *key);
        if keys.insert(key_id, key).is_some() {
            return Err(InvalidKeyring::TwiceTheId { entry });
        }
        newest = Some(key_id);
    }
    newest.map(|newest| (keys, newest)).ok_or(InvalidKeyring::Empty)
}

/// 64 characters are hex: as base64 they would be more than 32 bytes.
fn bytes(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut key = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        hex::decode_to_slice(text, &mut *key).ok()?;
        return Some(key);
    }
    // Room for what the decoder reckons with, which is more than it writes.
    let mut room = Zeroizing::new([0; 48]);
    let written = STANDARD
        .decode_slice(text, &mut *room)
        .or_else(|_| URL_SAFE.decode_slice(text, &mut *room))
        .ok()?;
    key.copy_from_slice(room.get(..written).filter(|bytes| bytes.len() == 32)?);
    Some(key)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    /// Has every letter that the two alphabets of base64 spell differently.
    const KEY: [u8; 32] = *b"\xfb\xff\xbe\x7f planted key, thirty-two ok!";

    fn hex() -> String {
        hex::encode(KEY)
    }

    #[test]
    fn a_key_is_read_from_hex_and_both_alphabets_of_base64() {
        let (standard, url_safe) = (STANDARD.encode(KEY), URL_SAFE.encode(KEY));
        assert_ne!(standard, url_safe);
        for key in [
            hex(),
            hex().to_uppercase(),
            standard.clone(),
            standard.trim_end_matches('=').to_owned(),
            url_safe,
        ] {
            let (keys, newest) = read(&format!("\n 7:{key}\n")).unwrap();
            assert_eq!((keys[&7].expose_secret(), newest), (&KEY, 7), "{key}");
        }
    }

    #[test]
    fn the_last_entry_is_the_newest() {
        let (keys, newest) = read(&format!("9:{0}, 4:{0}", hex())).unwrap();
        assert_eq!(newest, 4);
        assert_eq!(keys.into_keys().collect::<Vec<_>>(), [4, 9]);
    }

    #[test]
    fn what_is_no_keyring_is_refused_without_a_word_of_it() {
        let key = hex();
        let long = STANDARD.encode([KEY.as_slice(), b"x"].concat());
        for (text, error) in [
            (String::new(), InvalidKeyring::Empty),
            (" ,\n".to_owned(), InvalidKeyring::Empty),
            (key.clone(), InvalidKeyring::KeyId { entry: 1 }),
            (format!("+1:{key}"), InvalidKeyring::KeyId { entry: 1 }),
            (format!("4294967296:{key}"), InvalidKeyring::KeyId { entry: 1 }),
            (format!("{key}:1"), InvalidKeyring::KeyId { entry: 1 }),
            (format!("1:{}", &key[..62]), InvalidKeyring::Key { entry: 1 }),
            (format!("1:{key}00"), InvalidKeyring::Key { entry: 1 }),
            (format!("1:{long}"), InvalidKeyring::Key { entry: 1 }),
            (format!("1:{}", "é".repeat(32)), InvalidKeyring::Key { entry: 1 }),
            (format!("1:{key},2:"), InvalidKeyring::Key { entry: 2 }),
            (
                format!("1:{}", "00".repeat(32)),
                InvalidKeyring::Repeated { entry: 1 },
            ),
            (
                format!("1:{key},1:{key}"),
                InvalidKeyring::TwiceTheId { entry: 2 },
            ),
        ] {
            let refused = read(&text).unwrap_err();
            assert_eq!(refused, error);
            let shown = format!("{refused} {refused:?}");
            assert!(
                !shown.contains("planted") && !shown.contains(&key[..8]),
                "{shown}"
            );
        }
    }
}
