#![expect(
    clippy::disallowed_methods,
    reason = "reads the catalogues of a database before it is served"
)]

use sqlx::PgConnection;

use crate::error::{Error, Result};

/// What to do about a server or extension version with a known leak past row-level security.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownLeaks {
    /// Say so in the log and serve.
    #[default]
    Warn,
    /// Refuse to serve the database.
    Refuse,
}

/// The kernel version this crate was built for.
const KERNEL_VERSION: i32 = 1;

/// The first safe minor of each major: CVE-2024-10976 and CVE-2025-8713 let rows past row security.
const SAFE_MINORS: [(u32, u32); 4] = [(15, 14), (16, 10), (17, 6), (18, 0)];

/// The first pgvector without CVE-2026-3172.
const SAFE_VECTOR: [u32; 3] = [0, 8, 2];

/// How strict the check is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strictness {
    pub(crate) known_leaks: KnownLeaks,
}

/// Refuses a pool database whose role, kernel, version or tables are unsafe.
pub(crate) async fn check_pool(
    conn: &mut PgConnection,
    database: &str,
    strictness: Strictness,
) -> Result<()> {
    let refuse = |findings| Error::UnsafeDatabase {
        database: database.to_owned(),
        findings,
    };
    let unreachable = |source| unreachable(database, source);

    let (version, vector) = versions(conn, database).await?;
    if version < 150_000 {
        return Err(refuse(vec![format!(
            "PostgreSQL {} is older than 15",
            version / 10_000
        )]));
    }
    let leaks = known_leaks(version, vector.as_deref());
    match strictness.known_leaks {
        KnownLeaks::Refuse if !leaks.is_empty() => return Err(refuse(leaks)),
        _ => leaks
            .iter()
            .for_each(|leak| tracing::warn!(database, leak, "a version with a known leak is served")),
    }

    // The kernel's own function is looked for by name first: calling one that is absent would only say so in
    // the words of the parser.
    let has_kernel: bool = sqlx::query_scalar(
        "select coalesce(has_function_privilege(to_regprocedure('tenantry.kernel()'), 'execute'), false)",
    )
    .persistent(false)
    .fetch_one(&mut *conn)
    .await
    .map_err(unreachable)?;
    if !has_kernel {
        return Err(refuse(vec![
            "the kernel is not installed for the app role".to_owned(),
        ]));
    }
    let (kind, kernel): (String, i32) = sqlx::query_as("select kind, version from tenantry.kernel()")
        .persistent(false)
        .fetch_one(&mut *conn)
        .await
        .map_err(unreachable)?;
    if kind != "pool" {
        return Err(refuse(vec![format!("its kernel is that of a {kind} database")]));
    }
    if kernel != KERNEL_VERSION {
        return Err(refuse(vec![format!(
            "its kernel has version {kernel}, and version {KERNEL_VERSION} is needed"
        )]));
    }

    let findings: Vec<String> = sqlx::query_scalar(include_str!("safety.sql"))
        .persistent(false)
        .fetch_all(conn)
        .await
        .map_err(unreachable)?;
    if findings.is_empty() {
        Ok(())
    } else {
        Err(refuse(findings))
    }
}

/// The known leaks of its server and its extension.
pub(crate) async fn leaks_of(conn: &mut PgConnection, database: &str) -> Result<Vec<String>> {
    let (version, vector) = versions(conn, database).await?;
    Ok(known_leaks(version, vector.as_deref()))
}

fn unreachable(database: &str, source: sqlx::Error) -> Error {
    Error::Unreachable {
        database: database.to_owned(),
        step: "checking that it is safe",
        source: source.into(),
    }
}

/// Of the server, as a number, and of pgvector where it is there.
async fn versions(conn: &mut PgConnection, database: &str) -> Result<(u32, Option<String>)> {
    let (version, vector): (i32, Option<String>) = sqlx::query_as(
        "select current_setting('server_version_num')::int4, (select extversion from pg_extension where extname = 'vector')",
    )
    .persistent(false)
    .fetch_one(conn)
    .await
    .map_err(|source| unreachable(database, source))?;
    Ok((u32::try_from(version).unwrap_or_default(), vector))
}

pub(crate) fn known_leaks(version: u32, vector: Option<&str>) -> Vec<String> {
    let (major, minor) = (version / 10_000, version % 10_000);
    let mut leaks = Vec::new();
    if let Some((_, safe)) = SAFE_MINORS.iter().find(|(m, safe)| *m == major && minor < *safe) {
        leaks.push(format!(
            "PostgreSQL {major}.{minor} leaks past row-level security (CVE-2025-8713); {major}.{safe} does not"
        ));
    }
    if let Some(text) = vector {
        let parts: Vec<u32> = text.split('.').map_while(|part| part.parse().ok()).collect();
        if parts.as_slice() < &SAFE_VECTOR[..] {
            leaks.push(format!(
                "pgvector {text} leaks between rows (CVE-2026-3172); 0.8.2 does not"
            ));
        }
    }
    leaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_with_a_known_leak_is_named() {
        assert!(known_leaks(180_006, Some("0.8.6")).is_empty());
        assert!(known_leaks(150_014, None).is_empty());
        assert_eq!(known_leaks(150_013, None).len(), 1);
        assert_eq!(known_leaks(170_005, Some("0.8.1")).len(), 2);
        assert_eq!(known_leaks(180_000, Some("0.7.4")).len(), 1);
        assert!(known_leaks(180_000, Some("0.10.0")).is_empty());
    }
}
