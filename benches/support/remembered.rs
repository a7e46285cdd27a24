use std::hint::black_box;
use std::time::{Duration, Instant};

use tenantry::{
    ClientConnectionManager, ClientKey, ClientRef, ResolverOptions, TenantRequest, TenantResolver,
};
use tokio::runtime::{Handle, Runtime};

use super::board::line;
use super::town::Town;
use super::{Budget, alternate, cached};

/// What a client that is remembered costs, by each way to name it, from one thread and from two.
pub(crate) fn look_ups(runtime: &Runtime, town: &Town, quick: bool) {
    let handle = runtime.handle();
    let manager = runtime.block_on(town.manager());
    let budget = Budget {
        time: Duration::from_millis(if quick { 5 } else { 1_000 }),
        pairs: 3,
        // Shorter than a slice of the scheduler: most batches are not interrupted.
        batch: Duration::from_micros(200),
    };
    let at_once = Budget {
        batch: Duration::from_millis(if quick { 1 } else { 4 }),
        ..budget
    };
    for (way, most, names) in ways(town) {
        let bare = cached::bare_cache(handle, names.clone());
        let samples = alternate(
            |turns| cached::tenant(handle, &manager, &names[0], turns),
            |turns| cached::bare(handle, &bare, &names[0], turns),
            budget,
        );
        line(
            &format!("cached, by {way}"),
            &format!("{:.0} ns = {:.2}x moka", samples.ours() * 1e9, samples.ratio()),
            &format!("<= {most:.0} ns"),
            samples.ours() * 1e9 <= most,
        );
        // Twice the work in the same time is 2. Where somebody else has a processor, two threads are one.
        let [ours, theirs] = [true, false].map(|ours| {
            let one = |client: usize, turns| {
                if ours {
                    cached::tenant(handle, &manager, &names[client], turns)
                } else {
                    cached::bare(handle, &bare, &names[client], turns)
                }
            };
            let samples = alternate(
                |turns| cached::at_once(turns, one),
                |turns| one(0, turns),
                at_once,
            );
            2.0 / samples.undisturbed_ratio()
        });
        line(
            &format!("cached, by {way}, 2 threads / 1, two clients"),
            &format!("{ours:.2}x (moka {theirs:.2}x)"),
            ">= 1.60x",
            ours >= 1.6,
        );
        // Both count one reference, whoever does it: what is left is to be no slower than the bare cache.
        let samples = alternate(
            |turns| {
                cached::at_once(turns, |_, turns| {
                    cached::tenant(handle, &manager, &names[0], turns)
                })
            },
            |turns| cached::at_once(turns, |_, turns| cached::bare(handle, &bare, &names[0], turns)),
            at_once,
        );
        line(
            &format!("cached, by {way}, 2 threads, one client"),
            &format!("{:.0} ns = {:.2}x moka", samples.ours() * 1e9, samples.ratio()),
            "<= 1.00x",
            samples.ratio() <= 1.0,
        );
    }
    by_host(handle, &manager, budget);
    runtime.block_on(manager.close());
}

/// A request that names its client by the host name, beside asking for it by its slug.
fn by_host(handle: &Handle, manager: &ClientConnectionManager, budget: Budget) {
    let options = ResolverOptions::default().base_domain("service.example").host();
    let resolver = options.build().unwrap();
    let slug = ClientRef::Slug("acme".parse().unwrap());
    let samples = alternate(
        |turns| resolved(handle, &resolver, manager, turns),
        |turns| cached::tenant(handle, manager, &slug, turns),
        budget,
    );
    let more = (samples.ours() - samples.theirs()) * 1e9;
    line(
        "cached, by the host name of a request, more than by slug",
        &format!("{more:.0} ns (of {:.0} ns)", samples.ours() * 1e9),
        "<= 100 ns",
        more <= 100.0,
    );
}

fn resolved(
    handle: &Handle,
    resolver: &TenantResolver,
    manager: &ClientConnectionManager,
    turns: u64,
) -> Duration {
    handle.block_on(async {
        let started = Instant::now();
        for _ in 0..turns {
            let request = TenantRequest::default().host(black_box("acme.service.example"));
            black_box(resolver.tenant(manager, &request).await.unwrap());
        }
        started.elapsed()
    })
}

/// Each way to name a client, with the nanoseconds that it may take, for two of them.
fn ways(town: &Town) -> [(&'static str, f64, [ClientRef; 2]); 5] {
    let named = |name: fn(&str) -> ClientRef| [name("acme"), name("bolt")];
    [
        ("id", 150.0, [town.acme.into(), town.bolt.into()]),
        (
            "slug",
            250.0,
            named(|slug| ClientRef::Slug(slug.parse().unwrap())),
        ),
        (
            "external reference",
            250.0,
            named(|slug| ClientRef::External(format!("krn:{slug}:client:prod-001").parse().unwrap())),
        ),
        (
            "domain",
            250.0,
            named(|slug| ClientRef::Domain(format!("data.{slug}.example").parse().unwrap())),
        ),
        (
            "key",
            250.0,
            named(|slug| {
                ClientKey::new("agent", &format!("guide-of-{slug}"))
                    .unwrap()
                    .into()
            }),
        ),
    ]
}
