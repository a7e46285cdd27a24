use std::fmt;
use std::sync::Arc;

use super::entitlement::Entitlement;
use super::host::{self, Hosts};
use super::named_by::NamedBy;
use super::source::Source;
use super::tenant_resolver::TenantResolver;
use crate::error::{Error, Result};

/// Which parts of a request name its client, and how.
///
/// Every source that is there is read, and all must name the same client: the order decides which one the others are
/// held against. A source is absent where the request does not have it; what it has and cannot be read is an error,
/// never passed over.
#[derive(Clone)]
pub struct ResolverOptions {
    pub(super) rules: Vec<Rule>,
    pub(super) hosts: Hosts,
    pub(super) entitlement: Option<Arc<dyn Entitlement>>,
}

/// A source, what it is looked up by, and how its text is read.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) source: Source,
    pub(super) names: Vec<Box<str>>,
    pub(super) named_by: NamedBy,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            hosts: Hosts {
                bases: Vec::new(),
                own: Vec::new(),
                reserved: ["www", "api", "app"].map(Box::from).into(),
                custom_domains: false,
            },
            entitlement: None,
        }
    }
}

impl ResolverOptions {
    /// A domain of the service whose subdomains are clients' slugs: `acme.service.example` is that of the client
    /// `acme`. Of two such domains the longer one counts. The domain itself names nobody. Defaults to none.
    #[must_use]
    pub fn base_domain(mut self, domain: impl Into<String>) -> Self {
        self.hosts.bases.push(domain.into().into());
        self
    }

    /// Reads a host name that is below no base domain as a domain of the client's own. One without a dot names
    /// nobody. Defaults to naming nobody.
    #[must_use]
    pub fn custom_domains(mut self) -> Self {
        self.hosts.custom_domains = true;
        self
    }

    /// A host name of the service itself, which names nobody, such as that of a load balancer. Defaults to none.
    #[must_use]
    pub fn own_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.own.push(host.into().into());
        self
    }

    /// The names that the service uses itself: as a subdomain, and as the segment of a path, they name nobody.
    /// Defaults to `www`, `api` and `app`.
    #[must_use]
    pub fn reserved<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.hosts.reserved = names.into_iter().map(|name| name.into().into()).collect();
        self
    }

    /// The host name is a source. It needs a [`base_domain`](Self::base_domain) or
    /// [`custom_domains`](Self::custom_domains).
    #[must_use]
    pub fn host(self) -> Self {
        self.rule(Source::Host, Vec::new(), NamedBy::Host)
    }

    /// The header of that name is a source. Anybody can send one: what it names is to be checked by a claim beside
    /// it, or by an [`entitlement`](Self::entitlement).
    #[must_use]
    pub fn header(self, name: impl Into<String>, named_by: NamedBy) -> Self {
        let name = name.into().to_ascii_lowercase();
        let source = Source::Header(name.as_str().into());
        self.rule(source, vec![name.into()], named_by)
    }

    /// The segment of the path after that prefix is a source: `/t` for `/t/acme/agents`, `/` for the first segment.
    #[must_use]
    pub fn path(self, prefix: impl Into<String>, named_by: NamedBy) -> Self {
        let prefix = prefix.into();
        let names = prefix.split('/').filter(|segment| !segment.is_empty());
        let names = names.map(Box::from).collect();
        self.rule(Source::Path(prefix.into()), names, named_by)
    }

    /// The claim of that name is a source; of several names, the claim inside the claim, such as
    /// `["app_metadata", "tenant"]`.
    #[must_use]
    pub fn claim<N: Into<String>>(self, names: impl IntoIterator<Item = N>, named_by: NamedBy) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let source = Source::Claim(names.join(".").into());
        self.rule(source, names.into_iter().map(Box::from).collect(), named_by)
    }

    /// The query parameter of that name is a source. It is in logs, histories and links that others follow: where a
    /// request has cookies, anybody's link can choose the client.
    #[must_use]
    pub fn query(self, name: impl Into<String>, named_by: NamedBy) -> Self {
        let name = name.into();
        let source = Source::Query(name.as_str().into());
        self.rule(source, vec![name.into()], named_by)
    }

    /// Asked, for each request, whether its caller may act for its client. Defaults to none: every caller may.
    #[must_use]
    pub fn entitlement(mut self, entitlement: impl Entitlement + 'static) -> Self {
        self.entitlement = Some(Arc::new(entitlement));
        self
    }

    /// The resolver of these options.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is no source or the same twice, a source has no name, a domain or host is
    /// none, or the host name is a source that can name nobody.
    pub fn build(mut self) -> Result<TenantResolver> {
        let invalid = |what: String, reason: &str| {
            Err(Error::Invalid {
                owner: "the tenant resolver".to_owned(),
                what,
                reason: reason.to_owned(),
            })
        };
        if self.rules.is_empty() {
            return invalid("list of sources".to_owned(), "it is empty");
        }
        for (
            at,
            Rule {
                source,
                names,
                named_by,
            },
        ) in self.rules.iter().enumerate()
        {
            if self.rules[..at].iter().any(|before| before.source == *source) {
                return invalid(source.to_string(), "it is given twice");
            }
            let named = matches!(source, Source::Host | Source::Path(_)) || !names.is_empty();
            if !named || names.iter().any(|name| name.is_empty()) {
                return invalid(source.to_string(), "it has no name");
            }
            if *named_by == NamedBy::Host && !matches!(source, Source::Host | Source::Header(_)) {
                return invalid(source.to_string(), "only a header can name a host");
            }
            let names_nobody = self.hosts.bases.is_empty() && !self.hosts.custom_domains;
            if *named_by == NamedBy::Host && names_nobody {
                return invalid(
                    source.to_string(),
                    "there is no base domain, and clients have none",
                );
            }
        }
        for domain in self.hosts.bases.iter_mut().chain(&mut self.hosts.own) {
            match host::name(domain) {
                Ok(Some(name)) if !domain.contains(':') => *domain = Box::from(&*name),
                _ => return invalid(format!("domain {domain}"), "it is not a host name"),
            }
        }
        self.hosts.bases.sort_by_key(|base| std::cmp::Reverse(base.len()));
        Ok(TenantResolver::new(self))
    }

    fn rule(mut self, source: Source, names: Vec<Box<str>>, named_by: NamedBy) -> Self {
        self.rules.push(Rule {
            source,
            names,
            named_by,
        });
        self
    }
}

impl fmt::Debug for ResolverOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolverOptions")
            .field("rules", &self.rules)
            .field("hosts", &self.hosts)
            .field("entitlement", &self.entitlement.is_some())
            .finish()
    }
}
