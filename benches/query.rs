//! What building a statement costs, from the handle to the SQL with its values bound, nothing sent.
//!
//! Run it with `cargo bench --bench query`; with `-- --test` each runs once, to see that it works.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::{Network, Stage, Statement, built, runtime};

fn building(criterion: &mut Criterion) {
    let runtime = runtime();
    let stage = runtime.block_on(Stage::set(Network::Local));
    let (acme, vast) = runtime.block_on(async {
        (
            stage.manager.tenant(stage.acme.id).await.unwrap(),
            stage.manager.tenant(stage.vast.id).await.unwrap(),
        )
    });
    let mut group = criterion.benchmark_group("building");
    for (place, db) in [("pool", &acme), ("dedicated", &vast)] {
        for statement in Statement::ALL {
            group.bench_function(BenchmarkId::new(statement.name(), place), |b| {
                b.iter_custom(|turns| built::sql(runtime.handle(), db, statement, turns));
            });
        }
    }
    group.finish();
    runtime.block_on(stage.strike());
}

criterion_group!(benches, building);
criterion_main!(benches);
