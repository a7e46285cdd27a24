//! A record comes from a directory.

use tenantry::{ClientId, ClientRecord};

fn make(id: ClientId, record: ClientRecord) -> ClientRecord {
    ClientRecord { id, ..record }
}

fn main() {}
