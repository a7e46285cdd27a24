//! The targets of searches by meaning.

use std::time::Instant;

use super::board::{fact, line};
use super::searched::{Library, Scale, Searched, Searcher, Shared, WANTED, Way};

/// For each size of a client, the milliseconds of a processor that a search may take.
const TARGETS: [(u32, f64); 4] = [(20, 1.0), (200, 2.0), (2_000, 8.0), (20_000, 4.0)];

/// Each class of sizes, with one index for all clients beside it. At an instant's length, at that of a minute, or with
/// `TENANTRY_LONG=1` at that of the targets.
pub(crate) async fn searches(measures: bool) {
    let long = std::env::var("TENANTRY_LONG").is_ok_and(|value| value == "1");
    let scale = match (measures, long) {
        (false, _) => Scale {
            clients: 12,
            rows: 4_100,
            exponent: 1.6,
            dimensions: 32,
            queries: 3,
        },
        (true, false) => Scale {
            clients: 60,
            rows: 4_800,
            exponent: 1.2,
            dimensions: 256,
            queries: 40,
        },
        (true, true) => Scale {
            clients: 1_000,
            rows: 20_000,
            exponent: 1.0,
            dimensions: 1_024,
            queries: 60,
        },
    };
    run(scale).await;
}

async fn run(scale: Scale) {
    let began = Instant::now();
    let sizes = TARGETS.map(|(size, _)| size.min(scale.rows));
    let mut library = Library::fill(scale, &sizes).await;
    let filled = format!(
        "{} x {} in {:.0?}",
        library.total,
        scale.dimensions,
        began.elapsed()
    );
    fact("vectors of all clients", &filled);

    let searched = library.searched.clone();
    let largest = searched.last().unwrap();
    let exact = measure(&mut library, largest, Way::Builder, false).await;
    fact(
        &format!("{} rows, before its promotion", largest.rows),
        &exact.told(),
    );
    let began = Instant::now();
    library.promote().await;
    let promoted = format!("{} in {:.0?}", library.largest.len(), began.elapsed());
    fact("clients promoted", &promoted);
    for shared in Shared::ALL {
        let began = Instant::now();
        library.copy(shared).await;
        fact(
            &format!("{}, built", shared.name()),
            &format!("{:.0?}", began.elapsed()),
        );
    }

    for (client, (_, target)) in searched.iter().zip(TARGETS) {
        for scoped in [false, true] {
            let of = if scoped { " of a tenth" } else { "" };
            let name = format!("{} rows{of}", client.rows);
            let ours = measure(&mut library, client, Way::Builder, scoped).await;
            line(
                &format!("{name}, recall@10"),
                &ours.found(),
                ">= 0.99",
                ours.recall >= 0.99 && ours.complete,
            );
            line(
                &format!("{name}, server CPU"),
                &ours.cost(),
                &format!("<= {target:.0} ms"),
                ours.millis.is_some_and(|millis| millis <= target),
            );
            let function = measure(&mut library, client, Way::Function, scoped).await;
            fact(&format!("{name}, by match_documents"), &function.told());
            for shared in Shared::ALL {
                let theirs = measure(&mut library, client, Way::Shared(shared), scoped).await;
                fact(&format!("{name}, {}", shared.name()), &theirs.told());
            }
        }
    }
    library.close().await;
}

/// What the searches of one client gave, on average, and what they cost.
struct Measured {
    recall: f64,
    rows: f64,
    /// Whether each gave as many rows as there are, up to those asked for.
    complete: bool,
    /// The median. `None` where the machine does not tell.
    millis: Option<f64>,
}

impl Measured {
    fn found(&self) -> String {
        format!("{:.3} ({:.1} of {WANTED} rows)", self.recall, self.rows)
    }

    fn cost(&self) -> String {
        self.millis
            .map_or_else(|| "n/a".to_owned(), |millis| format!("{millis:.2} ms"))
    }

    fn told(&self) -> String {
        format!("{:.3} ({:.1} rows), {}", self.recall, self.rows, self.cost())
    }
}

async fn measure(library: &mut Library, client: &Searched, way: Way, scoped: bool) -> Measured {
    let mut searcher: Searcher = match way {
        Way::Shared(shared) => library.theirs(client, shared).await,
        way => library.ours(client, way).await,
    };
    // What a connection does once is no cost of a search.
    for query in client.queries.iter().take(6) {
        searcher.search(query, scoped).await;
    }
    // One search after the other: a server that did something else meanwhile would have to warm up again.
    let (mut answers, mut millis) = (Vec::new(), Vec::new());
    for query in &client.queries {
        let before = searcher.seconds_on_cpu();
        answers.push(searcher.search(query, scoped).await);
        if let (Some(before), Some(after)) = (before, searcher.seconds_on_cpu()) {
            millis.push((after - before) * 1e3);
        }
    }
    let (mut found, mut right, mut rows, mut complete) = (0, 0, 0, true);
    for (query, ids) in client.queries.iter().zip(answers) {
        let truth = library.truth(client, query, scoped).await;
        found += ids.iter().filter(|id| truth.contains(id)).count();
        right += truth.len();
        rows += ids.len();
        complete &= ids.len() == truth.len();
    }
    millis.sort_by(f64::total_cmp);
    Measured {
        recall: ratio(found, right),
        rows: ratio(rows, client.queries.len()),
        complete,
        millis: millis.get(millis.len() / 2).copied(),
    }
}

fn ratio(of: usize, all: usize) -> f64 {
    f64::from(u32::try_from(of).unwrap()) / f64::from(u32::try_from(all.max(1)).unwrap())
}
