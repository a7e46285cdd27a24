//! From a message that names an agent to that agent of the right tenant, or to a refusal.

use std::error::Error;

use async_trait::async_trait;
use serde_json::json;
use tenantry::{
    Claims, ClientConnectionManager, ClientRecord, Entitlement, Join, NamedBy, ResolverOptions,
    TenantRequest, TenantResolver,
};

/// Users write to agents of their own tenant alone.
struct OwnTenant;

#[async_trait]
impl Entitlement for OwnTenant {
    async fn allows(
        &self,
        caller: Option<&Claims>,
        client: &ClientRecord,
    ) -> Result<bool, Box<dyn Error + Send + Sync>> {
        let tenant = caller.and_then(|claims| claims.get("tenant")?.as_str());
        Ok(tenant == Some(client.slug.as_str()))
    }
}

/// Who answers a message.
pub(crate) struct Agent {
    pub(crate) tenant: String,
    pub(crate) name: String,
    pub(crate) model: String,
    pub(crate) tools: Vec<String>,
}

/// Finds who answers.
pub(crate) struct Router {
    manager: ClientConnectionManager,
    resolver: TenantResolver,
}

impl Router {
    pub(crate) fn new(manager: ClientConnectionManager) -> tenantry::Result<Self> {
        // The names of agents are keys that lead to their tenants; no row of any is read for it.
        let options = ResolverOptions::default()
            .header("x-agent", NamedBy::Key("agent"))
            .entitlement(OwnTenant);
        Ok(Self {
            manager,
            resolver: options.build()?,
        })
    }

    /// The agent of that name: `debt@efms`, or `debt` for that of the user's own tenant.
    pub(crate) async fn route(&self, user_of: &str, agent: &str) -> tenantry::Result<Agent> {
        let full = match agent.split_once('@') {
            Some(_) => agent.to_lowercase(),
            None => format!("{}@{user_of}", agent.to_lowercase()),
        };
        // Verified by whoever let the user in.
        let claims = json!({ "tenant": user_of });
        let claims = claims.as_object().cloned().unwrap_or_default();
        let headers = |name: &str, see: &mut dyn FnMut(&[u8])| {
            if name == "x-agent" {
                see(full.as_bytes());
            }
        };
        let request = TenantRequest::default().headers(&headers).claims(&claims);
        let tenant = self.resolver.tenant(&self.manager, &request).await?;

        let slug = full.split('@').next().unwrap_or_default();
        let (id, name, model): (uuid::Uuid, String, String) = tenant
            .query("agents")
            .join(Join::inner("base_agents"))
            .columns(["agents.id", "base_agents.name", "agents.model"])
            .eq("base_agents.slug", slug)
            .fetch_one()
            .await?;
        let tools: Vec<(String,)> = tenant
            .query("tool_endpoints")
            .join(Join::inner("agent_tools"))
            .columns(["tool_endpoints.url"])
            .eq("agent_tools.agent_id", id)
            .order_by("tool_endpoints.url", tenantry::Order::Asc)
            .fetch_all()
            .await?;
        Ok(Agent {
            tenant: tenant.client().name.clone(),
            name,
            model,
            tools: tools.into_iter().map(|(url,)| url).collect(),
        })
    }
}
