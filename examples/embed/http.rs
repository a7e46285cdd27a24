//! The HTTP door: the client is in the host name or in a header, and an error is a status.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tenantry::{
    ClientConnectionManager, Error, ErrorKind, NamedBy, ResolverOptions, TenantDb, TenantRequest,
    TenantResolver,
};

use super::agents;
use super::tenancy::Failure;

/// What every request goes through on its way to its client's data.
#[derive(Clone)]
pub(crate) struct Door {
    manager: ClientConnectionManager,
    resolver: TenantResolver,
}

pub(crate) fn router(manager: ClientConnectionManager) -> tenantry::Result<Router> {
    // What a request says of itself is proof of nothing: a real service has a claim of its caller's token as a source
    // as well, or an entitlement.
    let resolver = ResolverOptions::default()
        .base_domain("service.example")
        .host()
        .header("x-tenant-id", NamedBy::Any)
        .build()?;
    Ok(Router::new()
        .route("/agents", get(list).post(add))
        .with_state(Door { manager, resolver }))
}

async fn list(Tenant(db): Tenant) -> Result<Json<Vec<String>>, Failure> {
    Ok(Json(agents::list(&db).await?))
}

async fn add(Tenant(db): Tenant, slug: String) -> Result<StatusCode, Failure> {
    agents::add(&db, &slug).await?;
    Ok(StatusCode::CREATED)
}

/// The data of the request's client. A handler that asks for it cannot forget whose request it is.
struct Tenant(TenantDb);

impl FromRequestParts<Door> for Tenant {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Failure> {
        let headers = |name: &str, see: &mut dyn FnMut(&[u8])| {
            parts
                .headers
                .get_all(name)
                .iter()
                .for_each(|value| see(value.as_bytes()));
        };
        let mut request = TenantRequest::default().headers(&headers);
        // A host that is no text names nobody.
        if let Some(host) = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
        {
            request = request.host(host);
        }
        Ok(Self(door.resolver.tenant(&door.manager, &request).await?))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Name(_) => StatusCode::BAD_REQUEST,
            Self::Tenant(error) => status_of(error),
        };
        let text = match status {
            // What is wrong inside is nobody's business outside.
            StatusCode::INTERNAL_SERVER_ERROR => "internal error".to_owned(),
            _ => self.to_string(),
        };
        (status, text).into_response()
    }
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        ErrorKind::Client => match error {
            Error::UnknownClient { .. } => StatusCode::NOT_FOUND,
            Error::NotServed { .. } | Error::NotEntitled { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        },
        ErrorKind::Temporary => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Database => match error.sqlstate().as_deref() {
            Some("23505") => StatusCode::CONFLICT,
            Some("23502" | "23514") => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
