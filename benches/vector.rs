//! Search by meaning in a pool of clients of every size: how much of the right answer, how many rows, and at what
//! cost to the server.
//!
//! Run it with `cargo bench --bench vector`; it takes about a minute. With `TENANTRY_LONG=1` it has the 1,000
//! clients and 150,000 vectors of 1,024 dimensions that the targets are for, and takes as long as one HNSW index of
//! all of them does. With `-- --test` it shows that it works and nothing else.
//!
//! Each line is of one client, by `nearest` of the builder, with `match_documents` of the reference platform beside
//! it: exact until the client has 4,000 rows, by its own index from then on. Recall is of the ten nearest rows that reading all of the client's finds; the cost is
//! the median of the server's time on a processor. Beside it, in the same run: the same rows in a table with one
//! index for all, filtered behind it, with the settings that pgvector has by default. `of a tenth` is within the
//! documents of an agent who has a tenth of them.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use support::board::heading;
use support::{runtime, search_targets};

fn main() {
    let measures = std::env::args().any(|argument| argument == "--bench")
        && !std::env::args().any(|argument| argument == "--test" || argument == "--quick");
    heading();
    runtime().block_on(search_targets::searches(measures));
}
