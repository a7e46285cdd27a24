#![expect(
    clippy::disallowed_methods,
    reason = "creates databases and roles on a server"
)]

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use url::Url;

use super::database_provisioner::{DatabaseProvisioner, DedicatedUrls, HookError};
use crate::client::ClientId;
use crate::directory::connect_options;
use crate::secret::random_key;

/// Makes databases on one server by CREATE DATABASE, each with an app role and an admin role of its own.
///
/// Database and roles are named by the prefix and the client's id. The app role owns nothing and is no superuser.
#[derive(Clone, Debug)]
pub struct ServerDatabases {
    url: SecretString,
    prefix: String,
    extensions: Vec<String>,
}

impl ServerDatabases {
    /// By the URL of a role that may create databases and roles, and extensions if there are any; its database is
    /// one that always exists, such as `postgres`.
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            prefix: "client_".to_owned(),
            extensions: Vec::new(),
        }
    }

    /// What the names of databases and roles begin with: 1 to 20 of a-z, 0-9 and underscores. Defaults to
    /// `client_`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Extensions that the host's tables need and the admin role may not create, such as `vector`. Defaults to none.
    #[must_use]
    pub fn extensions<E: Into<String>>(mut self, extensions: impl IntoIterator<Item = E>) -> Self {
        self.extensions = extensions.into_iter().map(Into::into).collect();
        self
    }

    fn names(&self, client: ClientId) -> Result<Names, HookError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !(1..=20).contains(&self.prefix.len()) || !self.prefix.chars().all(plain) {
            return Err(format!("{:?} is no prefix: 1 to 20 of a-z, 0-9 and _", self.prefix).into());
        }
        let database = format!("{}{}", self.prefix, client.as_uuid().simple());
        Ok(Names {
            app: format!("{database}_app"),
            admin: format!("{database}_admin"),
            database,
        })
    }

    /// The server's URL for another database, and another role.
    fn url_of(
        &self,
        database: &str,
        as_role: Option<(&str, &SecretString)>,
    ) -> Result<SecretString, HookError> {
        // The parser's message can hold the password.
        let invalid = || HookError::from("the server's URL cannot be read");
        let mut url = Url::parse(self.url.expose_secret()).map_err(|_| invalid())?;
        url.set_path(database);
        let others =
            |name: &str| name != "dbname" && (as_role.is_none() || !matches!(name, "user" | "password"));
        let kept: Vec<(String, String)> = (url.query_pairs().into_owned())
            .filter(|(name, _)| others(name))
            .collect();
        url.query_pairs_mut().clear().extend_pairs(kept);
        if let Some((role, password)) = as_role {
            // A URL of a socket has no place for them but its query.
            if url.host_str().is_none_or(str::is_empty) {
                let mut query = url.query_pairs_mut();
                query
                    .append_pair("user", role)
                    .append_pair("password", password.expose_secret());
            } else {
                url.set_username(role).map_err(|()| invalid())?;
                url.set_password(Some(password.expose_secret()))
                    .map_err(|()| invalid())?;
            }
        }
        if url.query() == Some("") {
            url.set_query(None);
        }
        Ok(String::from(url).into())
    }

    async fn connect(&self, url: &SecretString) -> Result<PgConnection, HookError> {
        let options = connect_options(url, "the server of dedicated databases")?;
        Ok(PgConnection::connect_with(&options.application_name("tenantry")).await?)
    }
}

/// Nothing in them needs quoting.
struct Names {
    database: String,
    app: String,
    admin: String,
}

#[async_trait]
impl DatabaseProvisioner for ServerDatabases {
    async fn create(&self, client: ClientId) -> Result<DedicatedUrls, HookError> {
        let Names { database, app, admin } = self.names(client)?;
        let mut server = self.connect(&self.url).await?;
        // One that nobody waits for any more may still be at it: its session holds this to its end.
        alone(&mut server, &database).await?;
        let mut urls = Vec::new();
        for role in [&admin, &app] {
            let exists = "select exists (select from pg_catalog.pg_roles where rolname = $1)";
            let exists: bool = sqlx::query_scalar(exists)
                .bind(role)
                .fetch_one(&mut server)
                .await?;
            let verb = if exists { "alter" } else { "create" };
            // Nobody knows the one that it had, where an answer was lost.
            let password = new_password()?;
            let sql = format!("{verb} role {role} login password '{}'", password.expose_secret());
            run(&mut server, &sql).await.map_err(without_text)?;
            urls.push(self.url_of(&database, Some((role, &password)))?);
        }
        // Whoever creates a database for a role must be a member of it, unless a superuser.
        run(&mut server, &format!("grant {admin} to current_user")).await?;
        let exists = "select exists (select from pg_catalog.pg_database where datname = $1)";
        let exists: bool = sqlx::query_scalar(exists)
            .bind(&database)
            .fetch_one(&mut server)
            .await?;
        if !exists {
            run(&mut server, &format!("create database {database} owner {admin}")).await?;
        }
        run(
            &mut server,
            &format!("revoke all on database {database} from public"),
        )
        .await?;
        server.close().await?;
        if !self.extensions.is_empty() {
            let mut own = self.connect(&self.url_of(&database, None)?).await?;
            // That lock was of the other database, and its session ended before this one began.
            alone(&mut own, &database).await?;
            for extension in &self.extensions {
                let quoted = extension.replace('"', "\"\"");
                run(&mut own, &format!("create extension if not exists \"{quoted}\"")).await?;
            }
            own.close().await?;
        }
        match <[SecretString; 2]>::try_from(urls) {
            Ok([admin, app]) => Ok(DedicatedUrls { app, admin }),
            Err(_) => Err("a role has no URL".into()),
        }
    }

    async fn remove(&self, client: ClientId) -> Result<(), HookError> {
        let Names { database, app, admin } = self.names(client)?;
        let mut server = self.connect(&self.url).await?;
        run(
            &mut server,
            &format!("drop database if exists {database} with (force)"),
        )
        .await?;
        for role in [app, admin] {
            run(&mut server, &format!("drop role if exists {role}")).await?;
        }
        server.close().await?;
        Ok(())
    }
}

/// Waits until nobody else makes the database, in the database that the session is in.
async fn alone(conn: &mut PgConnection, database: &str) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_lock(hashtextextended($1, 1413828180))")
        .bind(database)
        .execute(conn)
        .await
        .map(drop)
}

async fn run(conn: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .map(drop)
}

/// The statement had a password in it, and the server may have said it back.
fn without_text(failed: sqlx::Error) -> HookError {
    match failed
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    {
        Some(code) => format!("the server refused a role (SQLSTATE {code})").into(),
        None => failed.into(),
    }
}

fn new_password() -> Result<SecretString, HookError> {
    Ok(hex::encode(random_key()?.expose_secret()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_urls_of_a_client_are_the_servers_with_its_own_names() {
        let password = SecretString::from("new");
        for (server, expected) in [
            (
                "postgres://root:old@db.example:6000/postgres?sslmode=require",
                "postgres://app:new@db.example:6000/own?sslmode=require",
            ),
            (
                "postgres://root@db.example/postgres",
                "postgres://app:new@db.example/own",
            ),
            (
                "postgres:///postgres?host=/run/x&user=root&password=old&dbname=postgres",
                "postgres:///own?host=%2Frun%2Fx&user=app&password=new",
            ),
        ] {
            let url = ServerDatabases::new(server)
                .url_of("own", Some(("app", &password)))
                .unwrap();
            assert_eq!(url.expose_secret(), expected);
        }
        let error = ServerDatabases::new("hunter2").url_of("own", None).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
