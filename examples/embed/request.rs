//! A request of a user of the service: as much HTTP/1.1 as that takes.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Outcome;

pub(crate) struct Request {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    tenant: Option<String>,
    body: &'static str,
}

impl Request {
    pub(crate) fn get(path: &'static str) -> Self {
        Self {
            method: "GET",
            path,
            host: "localhost",
            tenant: None,
            body: "",
        }
    }

    pub(crate) fn post(path: &'static str, body: &'static str) -> Self {
        Self {
            method: "POST",
            body,
            ..Self::get(path)
        }
    }

    pub(crate) fn host(self, host: &'static str) -> Self {
        Self { host, ..self }
    }

    pub(crate) fn tenant(self, id: &str) -> Self {
        Self {
            tenant: Some(id.to_owned()),
            ..self
        }
    }

    /// The status and the body of the response.
    pub(crate) async fn send(&self, address: SocketAddr) -> Outcome<(String, String)> {
        let Self {
            method,
            path,
            host,
            body,
            ..
        } = self;
        let tenant = match &self.tenant {
            Some(id) => format!("x-tenant-id: {id}\r\n"),
            None => String::new(),
        };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\n{tenant}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response
            .split_once("\r\n\r\n")
            .ok_or("the response has no end of head")?;
        let status = head.split(' ').nth(1).ok_or("the response has no status")?;
        Ok((status.to_owned(), body.to_owned()))
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match (self.host, &self.tenant) {
            (host, None) => host,
            ("localhost", Some(_)) => "X-Tenant-ID",
            _ => "both, and not the same",
        };
        f.pad(&format!(
            "{:<5}{}  {:<24}{}",
            self.method, self.path, host, self.body
        ))
    }
}
