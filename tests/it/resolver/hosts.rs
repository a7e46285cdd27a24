//! A host name names the client whose subdomain or domain it is, and nobody else.

use proptest::prelude::*;
use tenantry::{ClientRef, Error, NamedBy};

use super::{Asked, Outcome, Read, config, domain, options, read, slug};

const NO_HOST: Read = Read::Malformed("it is not a host name");
const NESTED: Read = Read::Malformed("it has more than one label before the base domain");
const NO_SLUG: Read = Read::Malformed("it is not a client slug");

#[test]
fn a_subdomain_is_a_client_and_everything_else_is_not() -> Outcome {
    let resolver = options()
        .base_domain("Service.Example.")
        .base_domain("eu.service.example")
        .host()
        .build()?;
    let long = "a".repeat(64);
    for (host, expected) in [
        ("acme.service.example", slug("acme")),
        ("ACME.Service.EXAMPLE", slug("acme")),
        ("acme.service.example.", slug("acme")),
        ("acme.service.example:8443", slug("acme")),
        ("acme.service.example.:8443", slug("acme")),
        ("acme.service.example:", slug("acme")),
        ("xn--bcher-kva.service.example", slug("xn--bcher-kva")),
        ("acme.eu.service.example", slug("acme")),
        // The service itself, by name or by address.
        ("service.example", Read::Nobody),
        ("eu.service.example", Read::Nobody),
        ("www.service.example", Read::Nobody),
        ("API.service.example", Read::Nobody),
        ("app.eu.service.example:443", Read::Nobody),
        ("", Read::Nobody),
        ("localhost", Read::Nobody),
        ("localhost:3000", Read::Nobody),
        ("127.0.0.1", Read::Nobody),
        ("10.0.0.7:8080", Read::Nobody),
        ("[::1]", Read::Nobody),
        ("[2001:db8::7]:8080", Read::Nobody),
        // Others' domains that look like it.
        ("evil-service.example", Read::Nobody),
        ("acme.evil-service.example", Read::Nobody),
        ("acmeservice.example", Read::Nobody),
        ("service.example.evil.test", Read::Nobody),
        ("acme.service.example.evil.test", Read::Nobody),
        // What is below it and no client's.
        ("a.acme.service.example", NESTED),
        ("www.acme.service.example", NESTED),
        ("acme.www.service.example", NESTED),
        ("127.0.0.1.service.example", NESTED),
        ("a_b.service.example", NO_SLUG),
        ("-a.service.example", NO_SLUG),
        (".service.example", NO_HOST),
        ("..service.example", NO_HOST),
        ("acme..service.example", NO_HOST),
        ("acme.service.example..", NO_HOST),
        ("acme%2eservice.example", NO_HOST),
        ("acme%00.service.example", NO_HOST),
        ("acme.service.example\0", NO_HOST),
        (" acme.service.example", NO_HOST),
        ("acme.service.example ", NO_HOST),
        ("acme.service.example/x", NO_HOST),
        ("bolt@acme.service.example", NO_HOST),
        ("acme.service.example, bolt.service.example", NO_HOST),
        ("bücher.service.example", NO_HOST),
        ("acme.service.example。", NO_HOST),
        ("acme.service.example:x", NO_HOST),
        ("acme.service.example:1:2", NO_HOST),
        ("acme.service.example:123456", NO_HOST),
        (":80", NO_HOST),
        (".", NO_HOST),
        ("[::1", NO_HOST),
        ("[acme.service.example]", NO_HOST),
        ("[::1]x", NO_HOST),
        ("[::1]:x", NO_HOST),
        ("::1", NO_HOST),
        (&format!("{long}.service.example"), NO_HOST),
        (&format!("{}service.example", "a.".repeat(130)), NO_HOST),
    ] {
        assert_eq!(read(&resolver, &Asked::host(host)), expected, "{host:?}");
    }
    assert_eq!(read(&resolver, &Asked::default()), Read::Nobody);
    Ok(())
}

#[test]
fn a_domain_of_a_clients_own_is_below_no_base_domain() -> Outcome {
    let resolver = options()
        .base_domain("service.example")
        .custom_domains()
        .own_host("lb.internal")
        .reserved(["status"])
        .host()
        .build()?;
    for (host, expected) in [
        ("data.acme.test", domain("data.acme.test")),
        ("DATA.acme.test.:443", domain("data.acme.test")),
        ("xn--bcher-kva.test", domain("xn--bcher-kva.test")),
        ("evil-service.example", domain("evil-service.example")),
        ("service.example.evil.test", domain("service.example.evil.test")),
        ("acme.service.example", slug("acme")),
        // Not a client's domain, whatever a client says its domain is.
        ("service.example", Read::Nobody),
        ("status.service.example", Read::Nobody),
        ("lb.internal", Read::Nobody),
        ("LB.internal.:80", Read::Nobody),
        ("localhost", Read::Nobody),
        ("127.0.0.1", Read::Nobody),
        // Reserved no more.
        ("www.service.example", slug("www")),
        ("a_b.test", Read::Malformed("it is not a domain")),
    ] {
        assert_eq!(read(&resolver, &Asked::host(host)), expected, "{host:?}");
    }
    Ok(())
}

#[test]
fn a_forwarded_host_is_believed_where_the_options_say_so_alone() -> Outcome {
    let base = options().base_domain("service.example");
    let forwarded = Asked::host("lb.internal").and_header("x-forwarded-host", "acme.service.example:443");
    let not_told = base.clone().host().build()?;
    assert_eq!(read(&not_told, &forwarded), Read::Nobody);
    let told = base.clone().header("X-Forwarded-Host", NamedBy::Host).build()?;
    assert_eq!(read(&told, &forwarded), slug("acme"));
    for (second, expected) in [
        ("ACME.service.example", slug("acme")),
        ("lb.internal", slug("acme")),
        ("bolt.service.example", Read::Conflict),
        ("acme.service.example, bolt.service.example", NO_HOST),
    ] {
        let asked = forwarded.clone().and_header("x-forwarded-host", second);
        assert_eq!(read(&told, &asked), expected, "{second}");
    }
    // Beside the host itself, both must be the same.
    let both = base.host().header("x-forwarded-host", NamedBy::Host).build()?;
    let asked = forwarded.and_host("bolt.service.example");
    let named = asked.with(|request| both.references(request))?;
    let clients: Vec<_> = named.into_iter().map(|(_, client)| client.to_string()).collect();
    assert_eq!(clients, ["slug bolt", "slug acme"]);
    Ok(())
}

#[test]
fn options_that_can_name_nobody_are_refused() {
    for (wrong, what) in [
        (options(), "list of sources"),
        (options().host(), "host name"),
        (options().host().host().custom_domains(), "host name"),
        (
            options().base_domain("*.service.example").host(),
            "domain *.service.example",
        ),
        (
            options().base_domain("service.example:80").host(),
            "domain service.example:80",
        ),
        (options().base_domain("").host(), "domain "),
        (options().base_domain("127.0.0.1").host(), "domain 127.0.0.1"),
        (options().own_host("a b").custom_domains().host(), "domain a b"),
        (options().header("", NamedBy::Any), "header "),
        (
            options().header("X-T", NamedBy::Any).header("x-t", NamedBy::Id),
            "header x-t",
        ),
        (
            options().header("x-forwarded-host", NamedBy::Host),
            "header x-forwarded-host",
        ),
        (options().claim(["a", ""], NamedBy::Id), "claim a."),
        (options().claim([""; 0], NamedBy::Id), "claim "),
        (options().query("", NamedBy::Id), "query parameter "),
        (
            options().custom_domains().path("/t", NamedBy::Host),
            "path after /t",
        ),
    ] {
        let shown = format!("{wrong:?}");
        let error = wrong.build().unwrap_err();
        assert!(
            matches!(&error, Error::Invalid { what: named, .. } if named == what),
            "{shown}: {error:?}"
        );
    }
}

/// The client of a host below `service.example`, by another way than the crate's: an expression for what may be.
fn oracle(host: &str) -> Option<String> {
    let host = host.to_ascii_lowercase();
    let digits = host.rsplit_once(':').map(|(_, port)| port);
    let digits = digits.filter(|port| port.len() <= 5 && port.chars().all(|c| c.is_ascii_digit()));
    let name = match digits {
        Some(port) => &host[..host.len() - port.len() - 1],
        None => &host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = name.strip_suffix(".service.example")?;
    let valid = !label.is_empty()
        && label.len() <= 63
        && label.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
        && !label.starts_with('-')
        && !label.ends_with('-');
    (valid && !["www", "api", "app"].contains(&label)).then(|| label.to_owned())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_host_names_another_client_than_the_one_before_the_base_domain(
        host in "([a-zA-Z0-9._%:@ äß\\[\\]-]|\\PC){0,12}(\\.service\\.example|\\.SERVICE\\.example|service\\.example)?(\\.|:|:8[0-9]{0,5}|\\.evil\\.test)?"
    ) {
        let resolver = options().base_domain("service.example").host().build().unwrap();
        let named = match read(&resolver, &Asked::host(&host)) {
            Read::Client(ClientRef::Slug(slug)) => Some(slug.to_string()),
            Read::Client(other) => panic!("{other:?}"),
            _ => None,
        };
        prop_assert_eq!(named, oracle(&host), "{:?}", host);
    }
}
