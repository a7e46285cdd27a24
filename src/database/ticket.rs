use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::client::{ClientId, Epoch};
use crate::secret::ScopeKey;

/// Makes the tickets that a pool database's kernel admits.
///
/// A ticket is 160 hexadecimal digits: key id (8), client (32), epoch (16), backend pid (8), turn (16), the last second
/// since 1970 in which its transaction may begin (16) and HMAC-SHA256 of the 96 digits before it (64).
/// `tenantry.enter` in `migrations/pool` is its reader.
pub(super) struct TicketMint {
    key_id: i32,
    /// Keyed once; a ticket costs two blocks more than its text.
    mac: Hmac<Sha256>,
}

/// What a ticket is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admits {
    pub(super) client: ClientId,
    pub(super) epoch: Epoch,
    /// The one backend and turn, or zeros: any, behind a pooler.
    pub(super) pid: i32,
    pub(super) turn: i64,
    /// The server's clock now, as time since 1970.
    pub(super) now: Duration,
}

/// How long a message may take to the server, waits for its attention included.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// The same where the ticket is bound to no backend.
const BEGINS_WITHIN_POOLED: Duration = Duration::from_secs(5);

impl std::fmt::Debug for TicketMint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketMint")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl TicketMint {
    pub(super) fn new(key: &ScopeKey) -> Self {
        // HMAC pads a short key with zeros to its block of 64 bytes; done here, the length is fixed.
        let mut block = [0; 64];
        block[..32].copy_from_slice(key.key.expose_secret());
        let mac = Hmac::<Sha256>::new(&block.into());
        Self { key_id: key.id, mac }
    }

    /// The id under which the kernel has the key.
    pub(super) fn key_id(&self) -> i32 {
        self.key_id
    }

    pub(super) fn mint(&self, admits: Admits) -> String {
        let Admits {
            client,
            epoch,
            pid,
            turn,
            now,
        } = admits;
        let within = if pid == 0 {
            BEGINS_WITHIN_POOLED
        } else {
            BEGINS_WITHIN
        };
        let expires = (now + within).as_secs();
        let mut ticket = String::with_capacity(160);
        // Writing to a String cannot fail.
        let _ = write!(
            ticket,
            "{:08x}{}{epoch:016x}{pid:08x}{turn:016x}{expires:016x}",
            self.key_id,
            client.as_uuid().simple()
        );
        let code = self.mac.clone().chain_update(&ticket).finalize().into_bytes();
        ticket.push_str(&hex::encode(code));
        ticket
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretBox;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_ticket_has_fixed_fields_and_a_code_over_them() {
        let mint = TicketMint::new(&ScopeKey {
            id: 1,
            key: SecretBox::new(Box::new([0x0b; 32])),
        });
        let client = ClientId::from(Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));
        let admits = Admits {
            client,
            epoch: 2,
            pid: 4242,
            turn: 7,
            now: Duration::from_secs(0x6000_0000 - 30),
        };
        let ticket = mint.mint(admits);
        assert_eq!(ticket.len(), 160);
        assert_eq!(
            &ticket[..96],
            "00000001\
             00112233445566778899aabbccddeeff\
             0000000000000002\
             00001092\
             0000000000000007\
             0000000060000000"
        );
        assert_ne!(ticket[96..], mint.mint(Admits { turn: 8, ..admits })[96..]);
    }
}
