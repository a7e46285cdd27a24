use std::sync::Arc;

use crate::error::Error;

/// What failed, and why, in one line. What the server says of a value of a row is left out: this is told to people who
/// may not see the rows.
pub(super) fn in_full(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        let refusal = cause
            .downcast_ref::<Arc<sqlx::Error>>()
            .map(AsRef::as_ref)
            .or_else(|| cause.downcast_ref::<sqlx::Error>())
            .and_then(sqlx::Error::as_database_error);
        if let Some(refusal) = refusal {
            let code = refusal.code().unwrap_or_default();
            if TOLD.iter().any(|class| code.starts_with(class)) {
                text.push_str(refusal.message());
            }
            return format!("{text} (SQLSTATE {code})");
        }
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Classes of SQLSTATE whose messages tell of names and resources, not of values: connections, roles, serialization,
/// syntax and names, resources, the state of objects, operators.
const TOLD: [&str; 8] = ["08", "28", "3D", "40", "42", "53", "55", "57"];
