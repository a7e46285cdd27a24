//! What a statement costs on a pool and on a dedicated database, beside the same done by hand with sqlx: with
//! the same safety and with none, on a Unix socket and through a proxy that adds half a millisecond each way.
//!
//! Run it with `cargo bench --bench scope`; with `-- --test` each runs once, to see that it works. Criterion
//! tells what our side of each pair takes. The two sides of a pair take turns, and the table at the end has the
//! median of their ratios with its quartiles: below 1 we are faster. Trust the ratios; the times are the machine's.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]
#![expect(clippy::print_stdout, reason = "prints the ratios")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::{Network, Samples, Stage, Statement, contest_turns, runtime};

fn statements(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut table = Vec::new();
    for network in Network::BOTH {
        let stage = runtime.block_on(Stage::set(network));
        let pairs = [
            ("pool / by hand", &stage.pool, &stage.scoped),
            ("pool / by hand, no ping", &stage.pool, &stage.scoped_unpinged),
            ("pool / no safety", &stage.pool, &stage.unsafe_),
            ("pool / no safety, no ping", &stage.pool, &stage.unsafe_unpinged),
            ("dedicated / raw", &stage.dedicated, &stage.raw),
        ];
        let mut group = criterion.benchmark_group(network.name());
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        for statement in Statement::ALL {
            for (name, ours, theirs) in pairs {
                let mut samples = Samples::default();
                group.bench_function(BenchmarkId::new(statement.name(), name), |b| {
                    b.iter_custom(|turns| {
                        let (ours, theirs) = (Arc::clone(ours), Arc::clone(theirs));
                        let contest = runtime.spawn(contest_turns(ours, theirs, statement, turns));
                        let measured = runtime.block_on(contest).unwrap();
                        samples.extend(&measured);
                        measured.total()
                    });
                });
                // Criterion may have been asked for others only.
                if !samples.is_empty() {
                    table.push((network, statement, name, samples));
                }
            }
        }
        group.finish();
        runtime.block_on(stage.strike());
    }
    println!(
        "{:<16} {:<16} {:<26} {:>10} {:>10}  ratio",
        "network", "statement", "ours / theirs", "ours", "theirs"
    );
    for (network, statement, name, samples) in table {
        let micros = |seconds: f64| format!("{:.0} µs", seconds * 1e6);
        println!(
            "{:<16} {:<16} {name:<26} {:>10} {:>10}  {samples}",
            network.name(),
            statement.name(),
            micros(samples.ours()),
            micros(samples.theirs()),
        );
    }
}

criterion_group!(benches, statements);
criterion_main!(benches);
