/// What a transaction can leave on its session for the next user to find: settings, role, WITH HOLD
/// cursors, LISTEN, advisory locks, temporary tables. Prepared statements of the connection itself stay;
/// DISCARD ALL would drop them, and is refused inside a batch. The last values of sequences are discarded by
/// `tenantry.enter`, because the scope is one of them.
pub(super) const CLEAR: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; CLOSE ALL; UNLISTEN *; \
    SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP";
