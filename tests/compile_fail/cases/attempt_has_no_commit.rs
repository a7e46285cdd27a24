//! What the closure of a run returns ends its transaction; nothing else does.

use tenantry::{Attempt, Result};

async fn ends(tx: Attempt) -> Result<()> {
    tx.commit().await
}

fn main() {}
