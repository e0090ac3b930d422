//! Where a redirect may lead, and where credentials may go: pure.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// An HTTP server: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    /// TLS or not.
    pub(crate) https: bool,
    /// Host name or address, lower case, without brackets.
    pub(crate) host: String,
    /// Port.
    pub(crate) port: u16,
}

impl Node {
    /// Scheme, host and port of an address; user and password in it are left behind.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return None;
        }
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Some(Self { https, host, port })
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// `host:port`, as the `Host` header and error texts show it.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One entry of `engine.backends`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowed {
    Host(String),
    /// `.example.com`
    Suffix(String),
    Net(IpAddr, u8),
}

impl Allowed {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if let Some((ip, bits)) = text.split_once('/') {
            let (ip, bits) = (ip.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            return (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Self::Net(ip, bits));
        }
        match text.as_str() {
            "" | "." => None,
            suffix if suffix.starts_with('.') => Some(Self::Suffix(text)),
            host => Some(Self::Host(host.trim_matches(['[', ']']).to_owned())),
        }
    }

    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(own) => own == host,
            Self::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Self::Net(net, bits) => host.parse().is_ok_and(|ip: IpAddr| in_net(ip.to_canonical(), *net, *bits)),
        }
    }
}

fn in_net(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let (ip, net, width) = match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => (u128::from(ip.to_bits()), u128::from(net.to_bits()), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => (ip.to_bits(), net.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let rest = width - u32::from(bits);
    ip.checked_shr(rest).unwrap_or(0) == net.checked_shr(rest).unwrap_or(0)
}

/// Why a host is sent the credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The configuration names it.
    Configured,
    /// A redirect from a configured frontend names it, and `engine.backends` is empty.
    Redirect,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    /// Server, as it is reached from here.
    pub(crate) node: Node,
    /// Path and query.
    pub(crate) path: String,
    /// Why it may be sent the credentials.
    pub(crate) trust: Trust,
}

/// The rules of `[engine]` for redirects.
#[derive(Debug)]
pub(crate) struct Rules {
    frontends: Vec<Node>,
    backends: Vec<Allowed>,
    rewrite: BTreeMap<String, String>,
    allow_plain: bool,
}

impl Rules {
    /// # Errors
    /// The entry of `backends` or `rewrite` that can't be read.
    pub(crate) fn new(engine: &crate::config::Engine, frontends: &[Node]) -> Result<Self, String> {
        let backends = engine.backends.iter().map(|text| Allowed::parse(text).ok_or_else(|| text.clone()));
        let lower = |text: &String| text.trim().to_ascii_lowercase();
        Ok(Self {
            frontends: frontends.to_vec(),
            backends: backends.collect::<Result<_, _>>()?,
            rewrite: engine.rewrite.iter().map(|(from, to)| (lower(from), lower(to))).collect(),
            allow_plain: engine.allow_plain_redirect,
        })
    }

    /// Where the `location` that `from` has answered leads; `frontend` is where the call began.
    ///
    /// # Errors
    /// Why it is not followed, for people. Never quotes credentials.
    pub(crate) fn follow(&self, frontend: &Node, from: &Node, location: &str) -> Result<Hop, String> {
        let uri: Uri = without_user(location).parse().map_err(|_| "the redirect's address can't be read".to_owned())?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let named = match uri.host() {
            None => from.clone(),
            Some(_) => Node::of(&uri).ok_or("the redirect's address is neither http nor https")?,
        };
        let (node, trust) = self.reach(frontend, named)?;
        if from.https && !node.https && !self.allow_plain {
            return Err(format!(
                "the redirect from https leads to plain http at {node}, where the password would travel readable; \
                 engine.allow_plain_redirect = true allows it"
            ));
        }
        Ok(Hop { node, path, trust })
    }

    /// The address under which a node that the engine names is reached from here.
    pub(crate) fn reach(&self, frontend: &Node, named: Node) -> Result<(Node, Trust), String> {
        if let Some(to) = self.rewrite.get(&named.to_string()) {
            let scheme = if named.https { "https" } else { "http" };
            let uri: Uri =
                format!("{scheme}://{to}").parse().map_err(|_| format!("engine.rewrite: {to:?} is not host:port"))?;
            let node = Node::of(&uri).ok_or_else(|| format!("engine.rewrite: {to:?} is not host:port"))?;
            return Ok((node, Trust::Configured));
        }
        // A backend that registered itself under a loopback address runs beside its frontend.
        if named.is_loopback() && !frontend.is_loopback() {
            return Ok((Node { host: frontend.host.clone(), ..named }, Trust::Configured));
        }
        let known = self.frontends.iter().any(|node| node.host == named.host)
            || self.backends.iter().any(|allowed| allowed.covers(&named.host));
        match (known, self.backends.is_empty()) {
            (true, _) => Ok((named, Trust::Configured)),
            (false, true) => Ok((named, Trust::Redirect)),
            (false, false) => Err(format!(
                "the redirect leads to {named}, which engine.backends does not allow; no credentials were sent"
            )),
        }
    }
}

/// The address without user and password. Done on the text: Java's URIs hold characters in them that others refuse.
fn without_user(location: &str) -> String {
    let (scheme, rest) = match location.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => match location.strip_prefix("//") {
            Some(rest) => ("//".to_owned(), rest),
            None => return location.to_owned(),
        },
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{Engine, EngineKind, Secret, Timeouts};

    fn rules(backends: &[&str], rewrite: &[(&str, &str)], allow_plain_redirect: bool) -> Rules {
        let second = Duration::from_secs(1);
        let engine = Engine {
            kind: EngineKind::Doris,
            frontends: Vec::new(),
            backends: backends.iter().map(ToString::to_string).collect(),
            rewrite: rewrite.iter().map(|(from, to)| (from.to_string(), to.to_string())).collect(),
            allow_plain_redirect,
            ca_file: None,
            user: "root".into(),
            password: Secret::new(Vec::new()),
            timeouts: Timeouts {
                connect: second,
                call: second,
                continue_: second,
                stall: second,
                prepare: second,
                transaction: second,
                prepared: second,
            },
        };
        Rules::new(&engine, &[node("http://fe-1:8030"), node("http://fe-2:8030")]).unwrap()
    }

    fn node(uri: &str) -> Node {
        Node::of(&uri.parse().unwrap()).unwrap()
    }

    fn follow(rules: &Rules, from: &str, location: &str) -> Result<(String, String, Trust), String> {
        let from = node(from);
        rules.follow(&from, &from, location).map(|hop| {
            let scheme = if hop.node.https { "https" } else { "http" };
            (format!("{scheme}://{}", hop.node), hop.path, hop.trust)
        })
    }

    #[test]
    fn the_target_is_host_port_and_path_without_credentials() {
        let cases = [
            ("http://be2:8040/api/transaction/load", "http://be2:8040", "/api/transaction/load"),
            ("http://u:p%40w@be2:8040/api/d/t/_stream_load?", "http://be2:8040", "/api/d/t/_stream_load?"),
            ("http://u:p@w|密@be2:8040/a?b=c@d", "http://be2:8040", "/a?b=c@d"),
            ("/api/other?x=1", "http://fe-1:8030", "/api/other?x=1"),
            ("HTTP://BE2:8040", "http://be2:8040", "/"),
            ("http://[2001:db8::1]:8040/x", "http://[2001:db8::1]:8040", "/x"),
        ];
        for (location, at, path) in cases {
            let (found, found_path, _) = follow(&rules(&[], &[], false), "http://fe-1:8030", location).unwrap();
            assert_eq!((found.as_str(), found_path.as_str()), (at, path), "{location}");
        }
    }

    #[test]
    fn credentials_go_to_named_hosts_only() {
        let hosts = ["be-1", ".wh.example", "10.1.0.0/16", "fd00::/8"];
        let allowed = rules(&hosts, &[], false);
        for host in ["be-1", "fe-2", "a.wh.example", "10.1.255.3", "[fd12::1]", "[::ffff:10.1.2.3]"] {
            let found = follow(&allowed, "http://fe-1:8030", &format!("http://{host}:8040/"));
            assert_eq!(found.map(|(.., trust)| trust), Ok(Trust::Configured), "{host}");
        }
        for host in ["be-2", "wh.example", "xwh.example", "10.2.0.1", "be-1.evil", "[fe80::1]"] {
            let refused = follow(&allowed, "http://fe-1:8030", &format!("http://u:secret@{host}:8040/")).unwrap_err();
            assert!(refused.contains("engine.backends") && !refused.contains("secret"), "{host}: {refused}");
        }
        let open = follow(&rules(&[], &[], false), "http://fe-1:8030", "http://anything:1/").unwrap();
        assert_eq!(open.2, Trust::Redirect);
    }

    #[test]
    fn https_is_not_left_unless_allowed() {
        let refused = follow(&rules(&[], &[], false), "https://fe-1:8050", "http://be:8040/").unwrap_err();
        assert!(refused.contains("allow_plain_redirect"), "{refused}");
        assert!(follow(&rules(&[], &[], true), "https://fe-1:8050", "http://be:8040/").is_ok());
        assert!(follow(&rules(&[], &[], false), "https://fe-1:8050", "https://be:8040/").is_ok());
        assert!(follow(&rules(&[], &[], false), "http://fe-1:8030", "https://be:8040/").is_ok());
    }

    #[test]
    fn addresses_are_rewritten_and_loopback_means_the_frontends_host() {
        let rules = rules(&["none"], &[("be-1:8040", "gate:18040")], false);
        let (at, _, trust) = follow(&rules, "http://fe-1:8030", "http://BE-1:8040/x").unwrap();
        assert_eq!((at.as_str(), trust), ("http://gate:18040", Trust::Configured));
        for own in ["127.0.0.1", "localhost", "[::1]"] {
            let (at, ..) = follow(&rules, "http://fe-1:8030", &format!("http://{own}:8040/x")).unwrap();
            assert_eq!(at, "http://fe-1:8040", "{own}");
        }
    }

    #[test]
    fn unreadable_addresses_are_refused() {
        for location in ["ftp://be/x", "http://", "http:// /x", "\u{1}"] {
            assert!(follow(&rules(&[], &[], false), "http://fe-1:8030", location).is_err(), "{location:?}");
        }
        for entry in ["10.0.0.0/33", ".", "", "x/8"] {
            assert_eq!(Allowed::parse(entry), None, "{entry:?}");
        }
    }
}
