//! What the service keeps: the same structs in files and in tables.

use std::borrow::Cow;

use tenantry::Record;

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub(crate) struct Role {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) permissions: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub(crate) struct User {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) role: String,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, sqlx::FromRow)]
pub(crate) struct Agent {
    pub(crate) slug: String,
    pub(crate) name: String,
    pub(crate) prompt: String,
    pub(crate) version: i32,
}

impl Record for Role {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.slug)
    }
}

impl Record for User {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.email)
    }
}

impl Record for Agent {
    fn key(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.slug)
    }
}

/// What those who write make up.
pub(crate) trait MadeUp: Record + PartialEq {
    const TABLE: &'static str;
    const KEY: &'static str;

    /// A record of that number, as it is for the so-manieth time.
    fn made_up(number: usize, time: usize) -> Self;
}

impl MadeUp for Role {
    const TABLE: &'static str = "roles";
    const KEY: &'static str = "slug";

    fn made_up(number: usize, time: usize) -> Self {
        Self {
            slug: format!("role-{number}"),
            name: format!("Role {number}"),
            permissions: vec![format!("may-{time}")],
        }
    }
}

impl MadeUp for User {
    const TABLE: &'static str = "users";
    const KEY: &'static str = "email";

    fn made_up(number: usize, time: usize) -> Self {
        Self {
            email: format!("user-{number}@example.org"),
            name: format!("User {number}, {time}"),
            role: "reader".to_owned(),
        }
    }
}

impl MadeUp for Agent {
    const TABLE: &'static str = "agents";
    const KEY: &'static str = "slug";

    fn made_up(number: usize, time: usize) -> Self {
        Self {
            slug: format!("agent-{number}"),
            name: format!("Agent {number}"),
            prompt: format!("You were changed {time} times.\n"),
            version: i32::try_from(time).unwrap_or(i32::MAX),
        }
    }
}
