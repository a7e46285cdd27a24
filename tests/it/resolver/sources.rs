//! Headers, paths, claims and queries: what names a client, and what is refused.

use proptest::prelude::*;
use serde_json::json;
use tenantry::{ClientRef, NamedBy, Source};
use uuid::Uuid;

use super::{Asked, Outcome, Read, config, external, options, read, slug};

const ID: &str = "0191f8c2-7d4e-7c3a-9b1f-4f6f3a2d1c0b";

fn id() -> Read {
    Read::Client(ClientRef::Id(ID.parse::<Uuid>().unwrap().into()))
}

#[test]
fn a_text_names_a_client_in_the_way_that_the_options_say() -> Outcome {
    let upper = ID.to_uppercase();
    let simple = ID.replace('-', "");
    let krn = "krn:acme:client:prod-001";
    let no_id = || Read::Malformed("it is not a UUID with hyphens");
    let no_slug = || Read::Malformed("it is not a client slug");
    let nobody = || Read::Malformed("it is no name of a client");
    for (named_by, text, expected) in [
        (NamedBy::Id, ID, id()),
        (NamedBy::Id, &upper, id()),
        (NamedBy::Id, &simple, no_id()),
        (NamedBy::Id, "acme", no_id()),
        (NamedBy::Slug, "acme", slug("acme")),
        // A slug that looks like an id is a slug where slugs are meant.
        (NamedBy::Slug, ID, slug(ID)),
        (NamedBy::Slug, "Acme", no_slug()),
        (NamedBy::Slug, "acme, bolt", no_slug()),
        (NamedBy::External, krn, external(krn)),
        (NamedBy::External, ID, external(ID)),
        (NamedBy::Any, ID, id()),
        (NamedBy::Any, &simple, slug(&simple)),
        (NamedBy::Any, "acme", slug("acme")),
        (NamedBy::Any, krn, external(krn)),
        (NamedBy::Any, "a\u{1}b", nobody()),
        (NamedBy::Any, "", nobody()),
        (NamedBy::Any, " ", nobody()),
        (NamedBy::Any, " acme\t", slug("acme")),
    ] {
        let resolver = options().header("X-Tenant-ID", named_by).build()?;
        let asked = Asked::header("x-tenant-id", text);
        assert_eq!(read(&resolver, &asked), expected, "{named_by:?} {text:?}");
    }
    Ok(())
}

#[test]
fn a_header_that_is_there_twice_says_the_same_twice() -> Outcome {
    let resolver = options().header("x-tenant-id", NamedBy::Any).build()?;
    let asked = |values: &[&str]| {
        let none = Asked::header("x-tenant", "bolt");
        values
            .iter()
            .fold(none, |asked, value| asked.and_header("x-tenant-id", value))
    };
    let upper = ID.to_uppercase();
    let nobody = || Read::Malformed("it is no name of a client");
    for (values, expected) in [
        (&[][..], Read::Nobody),
        (&["acme"], slug("acme")),
        (&["acme", "acme"], slug("acme")),
        (&[ID, &upper], id()),
        (&["acme", "bolt"], Read::Conflict),
        (&["acme", "acme", "bolt"], Read::Conflict),
        (&["acme", ""], nobody()),
        // The first that is wrong is told.
        (&["", "acme", "bolt"], nobody()),
    ] {
        assert_eq!(read(&resolver, &asked(values)), expected, "{values:?}");
    }
    let no_text = Asked::header("x-tenant-id", b"\xff");
    assert_eq!(read(&resolver, &no_text), Read::Malformed("it is not text"));
    Ok(())
}

#[test]
fn a_path_names_the_client_that_every_router_finds_in_it() -> Outcome {
    let behind = options().path("/t", NamedBy::Any).build()?;
    let dots = || Read::Malformed("it has a segment of dots");
    let empty = || Read::Malformed("it has an empty segment");
    let escapes = || Read::Malformed("it is written in escapes");
    for (path, expected) in [
        ("/t/acme", slug("acme")),
        ("/t/acme/", slug("acme")),
        ("/t/acme/agents/a%2Fb", slug("acme")),
        ("/t/acme/...", slug("acme")),
        ("/t/acme/a..b/.c", slug("acme")),
        ("/t/krn:acme:1", external("krn:acme:1")),
        ("/t/acme//agents", slug("acme")),
        ("", Read::Nobody),
        ("*", Read::Nobody),
        ("/", Read::Nobody),
        ("/t", Read::Nobody),
        ("/t/", Read::Nobody),
        ("/T/acme", Read::Nobody),
        ("/tt/acme", Read::Nobody),
        ("/agents/t/acme", Read::Nobody),
        ("/t/api/agents", Read::Nobody),
        ("/%20/x", Read::Nobody),
        ("t/acme", Read::Malformed("it does not begin with a slash")),
        (
            "https://a.test/t/acme",
            Read::Malformed("it does not begin with a slash"),
        ),
        // Another router could read another client, or one where we read none.
        ("//t/acme", empty()),
        ("/t//acme", empty()),
        ("/t/./acme", dots()),
        ("/t/acme/../bolt", dots()),
        ("/x/../t/acme", dots()),
        ("/t/acme/%2e%2E/bolt", dots()),
        ("/t/acme/.%2e/bolt", dots()),
        ("/t/acme/..%2fbolt", dots()),
        ("/t/acme/%252e%252e/bolt", dots()),
        ("/t/acme/..\\bolt", dots()),
        ("/t/acme/..%5Cbolt", dots()),
        ("/t/acme/..;v=1/bolt", dots()),
        ("/t/acme/..", dots()),
        ("/t/acme\\..\\bolt", dots()),
        ("/%74/acme", escapes()),
        ("/t/%61cme", escapes()),
        ("/t/acme%2fbolt", escapes()),
        ("/t/acme%", escapes()),
        ("/t/acme%00", escapes()),
        ("/t/acme\\bolt", escapes()),
    ] {
        assert_eq!(read(&behind, &Asked::path(path)), expected, "{path:?}");
    }
    let first = options().path("/", NamedBy::Slug).build()?;
    let deep = options().path("/v1/clients/", NamedBy::Slug).build()?;
    for (resolver, path, expected) in [
        (&first, "/acme/agents", slug("acme")),
        (&first, "/www/agents", Read::Nobody),
        (&first, "/", Read::Nobody),
        (&first, "//acme", empty()),
        (&first, "/favicon.ico", Read::Malformed("it is not a client slug")),
        (&deep, "/v1/clients/acme/agents", slug("acme")),
        (&deep, "/v1/clients", Read::Nobody),
        (&deep, "/v1/health", Read::Nobody),
        (&deep, "/v1//clients/acme", empty()),
        (&deep, "/v1/%63lients/acme", escapes()),
    ] {
        assert_eq!(read(resolver, &Asked::path(path)), expected, "{path:?}");
    }
    Ok(())
}

#[test]
fn a_claim_is_a_text_or_it_is_not_there() -> Outcome {
    let flat = options()
        .claim(["https://acme.test/tenant"], NamedBy::Id)
        .build()?;
    let nested = options()
        .claim(["app_metadata", "tenant"], NamedBy::Slug)
        .build()?;
    let no_text = || Read::Malformed("it is not text");
    for (resolver, claims, expected) in [
        (&flat, json!({"https://acme.test/tenant": ID}), id()),
        (&flat, json!({"https://acme.test/tenant": null}), Read::Nobody),
        (&flat, json!({"tenant": ID}), Read::Nobody),
        (&flat, json!({"https://acme.test/tenant": [ID]}), no_text()),
        (&flat, json!({"https://acme.test/tenant": 7}), no_text()),
        (
            &flat,
            json!({"https://acme.test/tenant": "acme"}),
            Read::Malformed("it is not a UUID with hyphens"),
        ),
        (&nested, json!({"app_metadata": {"tenant": "acme"}}), slug("acme")),
        (&nested, json!({"app_metadata": {}}), Read::Nobody),
        (&nested, json!({"app_metadata": null}), Read::Nobody),
        (
            &nested,
            json!({"tenant": "acme", "app_metadata.tenant": "acme"}),
            Read::Nobody,
        ),
        (
            &nested,
            json!({"app_metadata": "acme"}),
            Read::Malformed("a claim around it is no object"),
        ),
        (&nested, json!({"app_metadata": {"tenant": true}}), no_text()),
    ] {
        assert_eq!(read(resolver, &Asked::claims(&claims)), expected, "{claims}");
    }
    assert_eq!(read(&flat, &Asked::default()), Read::Nobody);
    Ok(())
}

#[test]
fn a_query_names_nobody_unless_it_is_a_source() -> Outcome {
    let everything_else = options()
        .base_domain("service.example")
        .host()
        .header("tenant", NamedBy::Any)
        .path("/tenant", NamedBy::Any)
        .claim(["tenant"], NamedBy::Any)
        .build()?;
    assert_eq!(read(&everything_else, &Asked::query("tenant=acme")), Read::Nobody);
    let resolver = options().query("tenant", NamedBy::Any).build()?;
    for (query, expected) in [
        ("tenant=acme", slug("acme")),
        ("page=2&tenant=acme", slug("acme")),
        ("t%65nant=acme", slug("acme")),
        ("tenant=krn%3Aacme", external("krn:acme")),
        ("tenant=acme&tenant=acme", slug("acme")),
        ("tenant=acme&t%65nant=bolt", Read::Conflict),
        ("Tenant=acme&tenants=acme", Read::Nobody),
        ("", Read::Nobody),
        ("tenant", Read::Malformed("it is no name of a client")),
        ("tenant=", Read::Malformed("it is no name of a client")),
        ("tenant=a%00b", Read::Malformed("it is no name of a client")),
    ] {
        assert_eq!(read(&resolver, &Asked::query(query)), expected, "{query:?}");
    }
    Ok(())
}

#[test]
fn the_sources_are_read_in_the_order_of_the_options() -> Outcome {
    let asked = Asked {
        path: Some("/t/acme".to_owned()),
        query: Some(format!("tenant={ID}")),
        ..Asked::host("acme.service.example")
    }
    .and_header("x-tenant-id", "krn:acme")
    .and_claims(&json!({"tenant_id": ID}));
    let base = options().base_domain("service.example");
    let resolver = base
        .claim(["tenant_id"], NamedBy::Id)
        .query("tenant", NamedBy::Any)
        .header("X-Tenant-ID", NamedBy::Any)
        .host()
        .path("/t", NamedBy::Slug)
        .build()?;
    let named = asked.with(|request| resolver.references(request))?;
    let sources: Vec<_> = named.iter().map(|(source, _)| source.to_string()).collect();
    assert_eq!(
        sources,
        [
            "claim tenant_id",
            "query parameter tenant",
            "header x-tenant-id",
            "host name",
            "path after /t"
        ]
    );
    assert_eq!(named[3].0, Source::Host);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// What a router makes of a path that decodes it, takes its dots out and joins its slashes.
    #[test]
    fn no_path_is_another_clients_once_it_is_made_plain(
        path in "(/t/(acme|bolt))?(/(t|T|%74|acme|bolt|a%63me|\\.|\\.\\.|%2e|%2E\\.|%252e%2e|\\\\|%2f|%5c|;|x)?){1,4}"
    ) {
        let resolver = options().path("/t", NamedBy::Slug).build().unwrap();
        let mut plain: Vec<String> = Vec::new();
        let mut text = path.clone();
        for _ in 0..2 {
            text = ["%25=%", "%74=t", "%63=c", "%2e=.", "%2E=.", "%2f=/", "%5c=/", "\\=/"]
                .iter()
                .fold(text, |text, pair| {
                    let (from, to) = pair.split_once('=').unwrap();
                    text.replace(from, to)
                });
        }
        for segment in text.split('/').map(|segment| segment.split(';').next().unwrap()) {
            match segment {
                "" | "." => {}
                ".." => drop(plain.pop()),
                segment => plain.push(segment.to_owned()),
            }
        }
        if let Read::Client(ClientRef::Slug(client)) = read(&resolver, &Asked::path(&path)) {
            let expected = ["t".to_owned(), client.to_string()];
            prop_assert_eq!(plain.get(..2), Some(&expected[..]), "{:?}", path);
        }
    }
}
