use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use crate::client::{ClientId, Epoch};
use crate::secret::ScopeKey;

/// Makes the tickets that a pool database's kernel admits.
///
/// A ticket is 144 hexadecimal digits: key id (8), client (32), epoch (16), backend pid (8), the last second
/// since 1970 in which its transaction may begin (16) and HMAC-SHA256 of the 80 digits before it (64).
/// `tenantry.read_ticket` in `migrations/pool` is its reader.
pub(super) struct TicketMint {
    key_id: i32,
    /// Keyed once; a ticket costs two blocks.
    mac: Hmac<Sha256>,
}

/// The server process behind a connection: its tickets are of no use to another.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) pid: i32,
    /// The server's clock when it was asked, as time since 1970, and when that was. The clocks of two
    /// machines differ; the passing of time does not.
    pub(super) clock: (Duration, Instant),
}

impl Backend {
    fn now(&self) -> Duration {
        let (then, asked) = self.clock;
        then + asked.elapsed()
    }
}

/// How long a message may take to the server, waits for its attention included.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

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

    /// A ticket for the client on that backend, for a transaction that begins at once.
    pub(super) fn mint(&self, client: ClientId, epoch: Epoch, backend: &Backend) -> String {
        self.mint_until(
            client,
            epoch,
            backend.pid,
            (backend.now() + BEGINS_WITHIN).as_secs(),
        )
    }

    fn mint_until(&self, client: ClientId, epoch: Epoch, pid: i32, expires: u64) -> String {
        let mut ticket = String::with_capacity(144);
        // Writing to a String cannot fail.
        let _ = write!(
            ticket,
            "{:08x}{}{epoch:016x}{pid:08x}{expires:016x}",
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
        let ticket = mint.mint_until(client, 2, 4242, 0x6000_0000);
        assert_eq!(ticket.len(), 144);
        assert_eq!(
            &ticket[..80],
            "00000001\
             00112233445566778899aabbccddeeff\
             0000000000000002\
             00001092\
             0000000060000000"
        );
        assert_ne!(ticket[80..], mint.mint_until(client, 3, 4242, 0x6000_0000)[80..]);
    }
}
