use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::client::{ClientDomain, ClientRef, ClientSlug};

/// How host names are read.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// The longest first, so that a base domain below another is its own.
    pub(super) bases: Vec<Box<str>>,
    pub(super) own: Vec<Box<str>>,
    pub(super) reserved: Vec<Box<str>>,
    pub(super) custom_domains: bool,
}

/// The length of a host name.
const LONGEST: usize = 253;

const NO_HOST_NAME: &str = "it is not a host name";

impl Hosts {
    /// The client of a host, with or without a port; `None` where the host is the service's own or an address.
    pub(super) fn client(&self, host: &str) -> Result<Option<ClientRef>, &'static str> {
        match self.plain(host) {
            Some(slug) => Ok(Some(slug.into())),
            None => self.read(host),
        }
    }

    /// The client of a label before a base domain, written as nearly all are: in lower case, with nothing around it.
    /// Only the label is left to be read then.
    fn plain(&self, host: &str) -> Option<ClientSlug> {
        let (label, behind) = host.split_once('.')?;
        // An address begins with a digit, and a base domain may be below another.
        let is_plain = self.bases.iter().any(|base| **base == *behind)
            && !label.starts_with(|first: char| first.is_ascii_digit())
            && !self.bases.iter().chain(&self.own).any(|whole| **whole == *host)
            && !self.is_reserved(label)
            && host.len() <= LONGEST;
        is_plain.then(|| label.parse().ok()).flatten()
    }

    fn read(&self, host: &str) -> Result<Option<ClientRef>, &'static str> {
        let Some(name) = name(host)? else { return Ok(None) };
        if self.own.iter().any(|own| **own == *name) {
            return Ok(None);
        }
        for base in &self.bases {
            let Some(before) = name.strip_suffix(&**base) else {
                continue;
            };
            if before.is_empty() {
                return Ok(None);
            }
            // Without the dot it is another's domain that ends alike.
            let Some(label) = before.strip_suffix('.') else {
                continue;
            };
            if self.is_reserved(label) {
                return Ok(None);
            }
            let slug: Result<ClientSlug, _> = label.parse();
            return match slug {
                Ok(slug) => Ok(Some(slug.into())),
                Err(_) if label.contains('.') => Err("it has more than one label before the base domain"),
                Err(_) => Err("it is not a client slug"),
            };
        }
        if !self.custom_domains || !name.contains('.') {
            return Ok(None);
        }
        let domain: Result<ClientDomain, _> = name.parse();
        domain
            .map(|domain| Some(domain.into()))
            .map_err(|_| "it is not a domain")
    }

    /// Whether the service uses the name itself.
    pub(super) fn is_reserved(&self, label: &str) -> bool {
        self.reserved.iter().any(|reserved| **reserved == *label)
    }
}

/// The name of a host in lower case, without its port and the dot at its end; `None` where there is none, or an
/// address.
pub(super) fn name(host: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    if host.is_empty() {
        return Ok(None);
    }
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(NO_HOST_NAME)?;
        let port = match port {
            "" => "",
            port => port.strip_prefix(':').ok_or(NO_HOST_NAME)?,
        };
        let is_address = address.parse::<Ipv6Addr>().is_ok();
        return if is_address && is_port(port.as_bytes()) {
            Ok(None)
        } else {
            Err(NO_HOST_NAME)
        };
    }
    let read = read(host.as_bytes()).ok_or(NO_HOST_NAME)?;
    let name = &host[..read.length];
    if name.as_bytes()[0].is_ascii_digit() && name.parse::<Ipv4Addr>().is_ok() {
        return Ok(None);
    }
    Ok(Some(if read.has_upper_case {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }))
}

struct Read {
    /// Of the name, without its port and the dot at its end.
    length: usize,
    has_upper_case: bool,
}

/// Goes over a host once; `None` where it is no host name. A name in another script comes in as `xn--…`; as it is
/// written it does not come in at all.
fn read(host: &[u8]) -> Option<Read> {
    let mut has_upper_case = false;
    let mut label = 0;
    let mut end = host.len();
    for (at, byte) in host.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => label += 1,
            b'A'..=b'Z' => {
                label += 1;
                has_upper_case = true;
            }
            b'.' if (1..=63).contains(&label) => label = 0,
            b':' => {
                end = at;
                break;
            }
            _ => return None,
        }
    }
    let port = host.get(end + 1..).unwrap_or_default();
    let length = if label == 0 { end.checked_sub(1)? } else { end };
    (label <= 63 && length <= LONGEST && is_port(port)).then_some(Read {
        length,
        has_upper_case,
    })
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_plain_is_read_as_any_other() {
        let boxed = |names: &[&str]| {
            names
                .iter()
                .map(|name| Box::from(*name))
                .collect::<Vec<Box<str>>>()
        };
        let long = [["x"; 63].concat().as_str(); 3].join(".") + ".example";
        let hosts = Hosts {
            bases: boxed(&[&long, "eu.service.example", "service.example", "0.0.1", "example"]),
            own: boxed(&["door.service.example"]),
            reserved: boxed(&["www"]),
            custom_domains: true,
        };
        let labels = [
            "acme",
            "a",
            "ACME",
            "a-b",
            "-a",
            "a-",
            "a_b",
            "9lives",
            "127",
            "www",
            "door",
            "eu",
            "service",
            "é",
            "",
            "a.b",
            &"l".repeat(63),
            &"l".repeat(64),
        ];
        let mut plain = 0;
        for label in labels {
            for base in
                hosts
                    .bases
                    .iter()
                    .map(|base| &**base)
                    .chain(["other.test", "", "service.example.", "0.0.2"])
            {
                for host in [
                    format!("{label}.{base}"),
                    format!("{label}.{base}:80"),
                    label.to_owned(),
                    base.to_owned(),
                ] {
                    if let Some(slug) = hosts.plain(&host) {
                        plain += 1;
                        assert_eq!(hosts.read(&host), Ok(Some(slug.into())), "{host}");
                    }
                }
            }
        }
        assert!(plain > 10, "{plain}");
    }
}
