//! What asking the manager for a client costs that it remembers: by id and by slug, on one thread and on two at
//! once, beside a bare cache of the same kind; and what finding out of a request who it is costs on top.
//!
//! Run it with `cargo bench --bench routing`; with `-- --test` each runs once, to see that it works. Two threads
//! ask for different clients: `2 threads` that take about as long as `1 thread` share no lock.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::{Network, Stage, cached, runtime};
use tenantry::{Claims, ClientRef, NamedBy, ResolverOptions, TenantRequest};

fn cached_tenant(criterion: &mut Criterion) {
    let runtime = runtime();
    let handle = runtime.handle();
    let stage = runtime.block_on(Stage::set(Network::Local));
    let manager = &stage.manager;
    let names: [(&str, [ClientRef; 2]); 2] = [
        ("id", [stage.acme.id.into(), stage.bolt.id.into()]),
        (
            "slug",
            [stage.acme.slug.clone().into(), stage.bolt.slug.clone().into()],
        ),
    ];
    let mut group = criterion.benchmark_group("cached tenant");
    for (by, clients) in &names {
        let bare = cached::bare_cache(handle, clients.clone());
        group.bench_function(BenchmarkId::new("1 thread", by), |b| {
            b.iter_custom(|turns| cached::tenant(handle, manager, &clients[0], turns));
        });
        group.bench_function(BenchmarkId::new("1 thread, bare cache", by), |b| {
            b.iter_custom(|turns| cached::bare(handle, &bare, &clients[0], turns));
        });
        group.bench_function(BenchmarkId::new("2 threads", by), |b| {
            b.iter_custom(|turns| {
                cached::at_once(turns, |thread, turns| {
                    cached::tenant(handle, manager, &clients[thread], turns)
                })
            });
        });
        group.bench_function(BenchmarkId::new("2 threads, bare cache", by), |b| {
            b.iter_custom(|turns| {
                cached::at_once(turns, |thread, turns| {
                    cached::bare(handle, &bare, &clients[thread], turns)
                })
            });
        });
    }
    group.bench_function("by a slug of text", |b| {
        b.to_async(&runtime).iter(async || {
            let slug: tenantry::ClientSlug = black_box("acme").parse().unwrap();
            manager.tenant(slug).await.unwrap()
        });
    });
    group.bench_function("by a host name of text, resolved", |b| {
        let options = ResolverOptions::default().base_domain("service.example").host();
        let resolver = options.build().unwrap();
        b.to_async(&runtime).iter(async || {
            let request = TenantRequest::default().host(black_box("acme.service.example"));
            resolver.tenant(manager, &request).await.unwrap()
        });
    });
    group.bench_function("by a header of text, resolved", |b| {
        let options = ResolverOptions::default().header("x-tenant-id", NamedBy::Slug);
        let resolver = options.build().unwrap();
        b.to_async(&runtime).iter(async || {
            let headers = |_: &str, see: &mut dyn FnMut(&[u8])| see(black_box(b"acme"));
            let request = TenantRequest::default().headers(&headers);
            resolver.tenant(manager, &request).await.unwrap()
        });
    });
    group.bench_function("by a header and a claim that agree", |b| {
        let options = ResolverOptions::default().header("x-tenant-id", NamedBy::Slug);
        let resolver = options.claim(["tenant"], NamedBy::Id).build().unwrap();
        let mut claims = Claims::new();
        claims.insert("tenant".to_owned(), stage.acme.id.to_string().into());
        b.to_async(&runtime).iter(async || {
            let headers = |_: &str, see: &mut dyn FnMut(&[u8])| see(black_box(b"acme"));
            let request = TenantRequest::default().headers(&headers).claims(&claims);
            resolver.tenant(manager, &request).await.unwrap()
        });
    });
    group.finish();
    runtime.block_on(stage.strike());
}

criterion_group!(benches, cached_tenant);
criterion_main!(benches);
