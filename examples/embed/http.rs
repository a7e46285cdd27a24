//! The HTTP door: the client is in the host name or in a header, and an error is a status.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tenantry::{ClientConnectionManager, Error, ErrorKind, TenantDb};

use super::agents;
use super::tenancy::{Failure, tenant};

pub(crate) fn router(manager: ClientConnectionManager) -> Router {
    Router::new()
        .route("/agents", get(list).post(add))
        .with_state(manager)
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

impl FromRequestParts<ClientConnectionManager> for Tenant {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        manager: &ClientConnectionManager,
    ) -> Result<Self, Failure> {
        let name = client_of(&parts.headers).ok_or(Failure::NoClient)?;
        tenant(manager, &name).await.map(Self)
    }
}

/// `X-Tenant-ID`, else the label of the host name before the service's own.
fn client_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok();
    if let Some(id) = text(header::HeaderName::from_static("x-tenant-id")) {
        return Some(id.to_owned());
    }
    let host = text(header::HOST)?.to_ascii_lowercase();
    host.strip_suffix(".service.example").map(str::to_owned)
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoClient | Self::Name(_) => StatusCode::BAD_REQUEST,
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
        ErrorKind::Client if matches!(error, Error::UnknownClient { .. }) => StatusCode::NOT_FOUND,
        ErrorKind::Client => StatusCode::FORBIDDEN,
        ErrorKind::Temporary => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Database => match error.sqlstate().as_deref() {
            Some("23505") => StatusCode::CONFLICT,
            Some("23502" | "23514") => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
