//! The targets, and how they stand: one line each, `name  measured  target  ok|short`.
//!
//! Run it with `cargo bench --bench scoreboard`; it takes about two minutes. With `-- --quick`, or `-- --test` as
//! criterion has it, every line is measured for an instant only: that shows that it works and nothing else.
//!
//! Each number is the median of ratios of neighbours that were measured in turns, in this run: ours in theirs, so
//! that below 1 we are faster. Where the target is a time, the ratio beside it is to the same look-up in a bare
//! cache. `by hand` is begin, `set_config`, statement and commit on a pool of sqlx with a policy of one's own; `no
//! ping` is the same without the check of every connection that sqlx acquires. `raw` is sqlx on the same dedicated
//! database with the same options. `delayed` is through a proxy that adds half a millisecond each way.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::board::{heading, line};
use support::{
    Budget, Contestant, Network, Samples, Stage, Statement, alternate, built, bulk, cached, contest, runtime,
    scope_targets, search_targets,
};
use tenantry::ClientRef;
use tokio::runtime::Runtime;

fn main() {
    // Cargo says `--bench` to a bench that is to measure, and criterion's benches heed it too.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let quick = has("--quick") || has("--test") || !has("--bench");

    let runtime = runtime();
    heading();
    for network in Network::BOTH {
        let stage = runtime.block_on(Stage::set(network));
        if network == Network::Local {
            routing(&runtime, &stage, quick);
            building(&runtime, &stage, quick);
            bulk::bulk(&runtime, &stage, quick);
        }
        statements(&runtime, &stage, network, quick);
        match network {
            Network::Local => scope_targets::local(&runtime, &stage, quick),
            Network::Delayed => scope_targets::delayed(&runtime, &stage, quick),
        }
        runtime.block_on(stage.strike());
    }
    // Whether they work is shown by their own bench.
    if !quick {
        runtime.block_on(search_targets::searches(true));
    }
}

fn routing(runtime: &Runtime, stage: &Stage, quick: bool) {
    let handle = runtime.handle();
    let manager = &stage.manager;
    let ids: [ClientRef; 2] = [stage.acme.id.into(), stage.bolt.id.into()];
    let slugs: [ClientRef; 2] = [stage.acme.slug.clone().into(), stage.bolt.slug.clone().into()];
    let bare = cached::bare_cache(handle, ids.iter().chain(&slugs).cloned());
    let budget = Budget {
        time: Duration::from_millis(if quick { 10 } else { 1_500 }),
        pairs: 3,
        // Shorter than a slice of the scheduler: most batches are not interrupted.
        batch: Duration::from_micros(200),
    };

    for (name, client) in [
        ("cached tenant() by id", &ids[0]),
        ("cached tenant() by slug", &slugs[0]),
    ] {
        let samples = alternate(
            |turns| cached::tenant(handle, manager, client, turns),
            |turns| cached::bare(handle, &bare, client, turns),
            budget,
        );
        line(
            name,
            &nanos_beside(&samples),
            "<= 300 ns",
            samples.ours() <= 300e-9,
        );
    }

    // Each thread asks for a client of its own. Twice the work in the same time is 2.
    let budget = Budget {
        batch: Duration::from_millis(if quick { 1 } else { 5 }),
        ..budget
    };
    let ours = alternate(
        |turns| {
            cached::at_once(turns, |thread, turns| {
                cached::tenant(handle, manager, &ids[thread], turns)
            })
        },
        |turns| cached::tenant(handle, manager, &ids[0], turns),
        budget,
    );
    let theirs = alternate(
        |turns| {
            cached::at_once(turns, |thread, turns| {
                cached::bare(handle, &bare, &ids[thread], turns)
            })
        },
        |turns| cached::bare(handle, &bare, &ids[0], turns),
        budget,
    );
    let (ours, theirs) = (2.0 / ours.ratio(), 2.0 / theirs.ratio());
    let measured = format!("{ours:.2}x (bare {theirs:.2}x)");
    line(
        "cached tenant(), 2 threads / 1",
        &measured,
        ">= 1.60x",
        ours >= 1.6,
    );
}

fn building(runtime: &Runtime, stage: &Stage, quick: bool) {
    let handle = runtime.handle();
    let db = runtime.block_on(stage.manager.tenant(stage.acme.id)).unwrap();
    let bare = cached::bare_cache(handle, [stage.acme.id.into()]);
    let client = stage.acme.id.into();
    let budget = Budget {
        time: Duration::from_millis(if quick { 10 } else { 500 }),
        pairs: 3,
        // Shorter than a slice of the scheduler: most batches are not interrupted.
        batch: Duration::from_micros(200),
    };
    for statement in Statement::ALL {
        let samples = alternate(
            |turns| built::sql(handle, &db, statement, turns),
            |turns| cached::bare(handle, &bare, &client, turns),
            budget,
        );
        let name = format!("building a {}", statement.name());
        let (target, most) = match statement {
            Statement::Point => ("<= 1000 ns", 1e-6),
            _ => ("<= 2000 ns", 2e-6),
        };
        line(&name, &nanos_beside(&samples), target, samples.ours() <= most);
    }
    let (ours, theirs) = (
        built::allocations(&db),
        built::allocations_of_sqlx(stage.acme.id.as_uuid()),
    );
    line(
        "building a point select, allocations / QueryBuilder",
        &format!("{ours} / {theirs}"),
        "<= 3 more",
        ours <= theirs + 3,
    );
}

fn statements(runtime: &Runtime, stage: &Stage, network: Network, quick: bool) {
    let budget = Budget::of_statements(network, quick);
    let run = |ours: &Arc<Contestant>, theirs: &Arc<Contestant>, statement| -> Samples {
        let contest = contest(Arc::clone(ours), Arc::clone(theirs), statement, budget);
        runtime.block_on(runtime.spawn(contest)).unwrap()
    };
    let suffix = match network {
        Network::Local => "",
        Network::Delayed => ", delayed",
    };
    for statement in Statement::ALL {
        let samples = run(&stage.dedicated, &stage.raw, statement);
        let name = format!("dedicated / raw, {}{suffix}", statement.name());
        line(
            &name,
            &format!("{:.2}x", samples.ratio()),
            "<= 1.05x",
            samples.ratio() <= 1.05,
        );
    }
    for statement in Statement::ALL {
        for (against, theirs) in [
            ("by hand", &stage.scoped),
            ("by hand, no ping", &stage.scoped_unpinged),
        ] {
            let samples = run(&stage.pool, theirs, statement);
            let name = format!("pool / {against}, {}{suffix}", statement.name());
            line(
                &name,
                &format!("{:.2}x", samples.ratio()),
                "<= 1.00x",
                samples.ratio() <= 1.0,
            );
        }
    }
}

/// What ours takes, and how that compares with a look-up in a bare cache.
fn nanos_beside(samples: &Samples) -> String {
    format!(
        "{:.0} ns = {:.2}x a look-up",
        samples.ours() * 1e9,
        samples.ratio()
    )
}
