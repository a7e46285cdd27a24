use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded;

use super::named_by::NamedBy;
use super::options::{ResolverOptions, Rule};
use super::path::segment_after;
use super::request::TenantRequest;
use super::source::Source;
use crate::client::{ClientId, ClientRecord, ClientRef};
use crate::error::{Error, Result};
use crate::routing::ClientConnectionManager;
use crate::tenant::TenantDb;

/// Finds the client of a request, whatever carried it. Cheap to clone.
///
/// ```no_run
/// # use tenantry::{ClientConnectionManager, Result, TenantDb};
/// use tenantry::{Claims, NamedBy, ResolverOptions, TenantRequest};
///
/// # async fn example(manager: ClientConnectionManager, verified: Claims) -> Result<TenantDb> {
/// let resolver = ResolverOptions::default()
///     .base_domain("service.example")
///     .host()
///     .header("x-tenant-id", NamedBy::Any)
///     .claim(["tenant_id"], NamedBy::Id)
///     .build()?;
/// let request = TenantRequest::default().host("acme.service.example").claims(&verified);
/// let acme = resolver.tenant(&manager, &request).await?;
/// # Ok(acme) }
/// ```
#[derive(Clone)]
pub struct TenantResolver {
    options: Arc<ResolverOptions>,
}

/// What a request names: the client of its first source, and what others call it.
struct Named {
    first: (usize, ClientRef),
    others: Vec<(usize, ClientRef)>,
}

impl TenantResolver {
    pub(super) fn new(options: ResolverOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }

    /// The scoped handle on the data of the request's client, as
    /// [`ClientConnectionManager::tenant`](crate::ClientConnectionManager::tenant) gives it.
    ///
    /// # Errors
    /// [`Error::NoClientNamed`]; [`Error::MalformedName`] where a source cannot be read;
    /// [`Error::ConflictingNames`] where two sources do not name the same client, also where one of them names
    /// nobody; [`Error::NotEntitled`] where the caller may not act for the client, or that cannot be told; those of
    /// [`ClientConnectionManager::tenant`](crate::ClientConnectionManager::tenant).
    ///
    /// # Cancel safety
    /// As that of the manager.
    pub async fn tenant(
        &self,
        manager: &ClientConnectionManager,
        request: &TenantRequest<'_>,
    ) -> Result<TenantDb> {
        let named = self.named(request)?;
        let remembered = manager.remembered(&named.first.1);
        let db = match remembered.filter(|_| named.others.is_empty()) {
            Some(db) => db,
            // Boxed, so that a client that is remembered does not move the state of one that is not.
            None => Box::pin(self.agreed(manager, named)).await?,
        };
        if let Some(entitlement) = &self.options.entitlement {
            let refused = |source| Error::NotEntitled {
                client: db.client().id,
                source,
            };
            match entitlement.allows(request.claims, db.client()).await {
                Ok(true) => {}
                Ok(false) => return Err(refused(None)),
                Err(error) => return Err(refused(Some(Arc::from(error)))),
            }
        }
        Ok(db)
    }

    /// What each source of the request names, in the order of the options. Nothing is resolved: two that differ
    /// can be the same client.
    ///
    /// # Errors
    /// [`Error::MalformedName`] where a source cannot be read; [`Error::ConflictingNames`] where one is there more
    /// than once and differs.
    pub fn references(&self, request: &TenantRequest<'_>) -> Result<Vec<(Source, ClientRef)>> {
        let named = self.options.rules.iter().filter_map(|rule| {
            let client = self.read(rule, request).transpose()?;
            Some(client.map(|client| (rule.source.clone(), client)))
        });
        named.collect()
    }

    fn named(&self, request: &TenantRequest<'_>) -> Result<Named> {
        let mut named: Option<Named> = None;
        for (at, rule) in self.options.rules.iter().enumerate() {
            let Some(client) = self.read(rule, request)? else {
                continue;
            };
            match &mut named {
                None => {
                    named = Some(Named {
                        first: (at, client),
                        others: Vec::new(),
                    });
                }
                Some(named) if named.first.1 == client => {}
                Some(named) => named.others.push((at, client)),
            }
        }
        named.ok_or(Error::NoClientNamed)
    }

    /// The client that all the names are of.
    async fn agreed(&self, manager: &ClientConnectionManager, named: Named) -> Result<TenantDb> {
        let Named { first, others } = named;
        if others.is_empty() {
            return manager.tenant(first.1).await;
        }
        if let Some(db) = manager.remembered(&first.1)
            && others.iter().all(|(_, other)| is_named(db.client(), other))
        {
            return Ok(db);
        }
        // No database is opened, and nothing is told of it, before it is known to be the one of all names.
        let id = manager.identify(&first.1).await?;
        for (at, other) in &others {
            if manager.identify(other).await? != id {
                return Err(self.conflict(first.0, *at));
            }
        }
        match id {
            Some(id) => self.named_client(manager, id, first.1).await,
            None => Err(Error::UnknownClient { client: first.1 }),
        }
    }

    /// The client by the name that the request gave, so that it is remembered by it.
    async fn named_client(
        &self,
        manager: &ClientConnectionManager,
        id: ClientId,
        name: ClientRef,
    ) -> Result<TenantDb> {
        let db = manager.tenant(name).await?;
        if db.client().id == id {
            return Ok(db);
        }
        // The name was remembered from before it passed to another client.
        manager.tenant(id).await
    }

    fn conflict(&self, first: usize, second: usize) -> Error {
        Error::ConflictingNames {
            first: self.options.rules[first].source.to_string(),
            second: self.options.rules[second].source.to_string(),
        }
    }

    /// The client that a source names; `None` where the request does not have it.
    fn read(&self, rule: &Rule, request: &TenantRequest<'_>) -> Result<Option<ClientRef>> {
        match self.find(rule, request) {
            Ok(client) => Ok(client),
            Err(Unread::Malformed(reason)) => Err(Error::MalformedName {
                place: rule.source.to_string(),
                reason,
            }),
            Err(Unread::Twice) => Err(Error::ConflictingNames {
                first: rule.source.to_string(),
                second: rule.source.to_string(),
            }),
        }
    }

    fn find(&self, rule: &Rule, request: &TenantRequest<'_>) -> Result<Option<ClientRef>, Unread> {
        let hosts = &self.options.hosts;
        match (&rule.source, &*rule.names) {
            (Source::Host, _) => Ok(request.host.map_or(Ok(None), |host| hosts.client(host))?),
            (Source::Header(name), _) => {
                let mut found = Ok(None);
                if let Some(headers) = request.headers {
                    headers(name, &mut |value| {
                        let text = str::from_utf8(value).map_err(|_| "it is not text");
                        let client = text.and_then(|text| match rule.named_by {
                            NamedBy::Host => hosts.client(text.trim_ascii()),
                            named_by => named_by.read(text.trim_ascii()).map(Some),
                        });
                        meet(&mut found, client);
                    });
                }
                found
            }
            (Source::Path(_), prefix) => {
                let Some(path) = request.path else { return Ok(None) };
                let segment = segment_after(prefix, path)?.filter(|segment| !hosts.is_reserved(segment));
                Ok(segment.map(|segment| rule.named_by.read(segment)).transpose()?)
            }
            (Source::Claim(_), [outer, inner @ ..]) => {
                let mut claim = request.claims.and_then(|claims| claims.get(&**outer));
                for name in inner {
                    claim = match claim {
                        None | Some(Value::Null) => None,
                        Some(Value::Object(claims)) => claims.get(&**name),
                        Some(_) => return Err("a claim around it is no object".into()),
                    };
                }
                match claim {
                    None | Some(Value::Null) => Ok(None),
                    Some(Value::String(text)) => Ok(Some(rule.named_by.read(text)?)),
                    Some(_) => Err("it is not text".into()),
                }
            }
            (Source::Query(name), _) => {
                let mut found = Ok(None);
                for (parameter, text) in form_urlencoded::parse(request.query.unwrap_or_default().as_bytes())
                {
                    if *parameter == **name {
                        meet(&mut found, rule.named_by.read(&text).map(Some));
                    }
                }
                found
            }
            // Options without a name are not built.
            (Source::Claim(_), []) => Ok(None),
        }
    }
}

/// Why a source gives no client though it is there.
enum Unread {
    Malformed(&'static str),
    /// It is there more than once, and not the same.
    Twice,
}

impl From<&'static str> for Unread {
    fn from(reason: &'static str) -> Self {
        Self::Malformed(reason)
    }
}

/// Takes another value of the same source.
fn meet(found: &mut Result<Option<ClientRef>, Unread>, client: Result<Option<ClientRef>, &'static str>) {
    match (&mut *found, client) {
        (Err(_), _) | (Ok(_), Ok(None)) => {}
        (Ok(_), Err(reason)) => *found = Err(reason.into()),
        (Ok(None), Ok(client)) => *found = Ok(client),
        (Ok(Some(before)), Ok(Some(client))) if *before == client => {}
        (Ok(Some(_)), Ok(Some(_))) => *found = Err(Unread::Twice),
    }
}

/// Whether the record is of a client of that name.
fn is_named(record: &ClientRecord, client: &ClientRef) -> bool {
    match client {
        ClientRef::Id(id) => record.id == *id,
        ClientRef::Slug(slug) => record.slug == *slug,
        ClientRef::External(reference) => record.external_ref.as_ref() == Some(reference),
        ClientRef::Domain(domain) => record.domain.as_ref() == Some(domain),
        // The record does not tell.
        ClientRef::Key(_) => false,
    }
}

impl fmt::Debug for TenantResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantResolver")
            .field("options", &self.options)
            .finish()
    }
}
