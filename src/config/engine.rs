//! `[engine]`: which engine, where it is, who we are there, and how long we wait for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use toml::de::DeValue;

use super::reader::{Item, Section, all};
use super::{Engine, EngineKind, Timeouts, origin};

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Longest life of a transaction that either engine accepts (`max_stream_load_timeout_second`).
const TRANSACTION_MAX: Duration = Duration::from_secs(259_200);
/// The engines' port for MySQL clients, a common slip.
const MYSQL_PORT: u16 = 9030;

/// What `[engine]` says. A part that is `None` has its problem noted.
pub(super) struct Read {
    pub(super) engine: Option<Engine>,
    /// Database of tables that are named without one.
    pub(super) database: Option<String>,
    pub(super) transaction: Duration,
}

/// Reads `[engine]`.
pub(super) fn read(mut section: Section<'_>) -> Read {
    let kind = section.require("kind", "kind = \"starrocks\" or kind = \"doris\"").and_then(|item| kind(&item));
    let frontends = section.require("frontends", "frontends = [\"http://fe-1:8030\", \"http://fe-2:8030\"]");
    let frontends = frontends.and_then(|item| self::frontends(&item));
    let backends = section.take("backends").map_or(Some(Vec::new()), |item| self::backends(&item));
    let rewrite = section.take("rewrite").map_or(Some(BTreeMap::new()), |item| self::rewrite(&item));
    let plain = section.take("allow_plain_redirect").map_or(Some(false), |item| item.boolean());
    let ca_file = section.take("ca_file").map_or(Some(None), |item| self::ca_file(&item).map(Some));
    // A bad name has its problem noted; the tables should not add theirs.
    let database = section.take("database");
    let database = database.map(|item| super::route::identifier(&item, "a database").unwrap_or_default());
    let user = section.require("user", "the user of all loads: user = \"loader\"");
    let user = user.and_then(|item| self::user(&item));
    let password = section.require("password", "password = { env = \"NAME\" }; password = \"\" for a user without one");
    let password = password.and_then(|item| origin::secret(&item, "the password"));
    let timeouts = section.take("timeouts");
    let timeouts = match timeouts.map(|item| item.section("a table of timeouts")) {
        None => Some(DEFAULT_TIMEOUTS),
        Some(None) => None,
        Some(Some(table)) => self::timeouts(table, kind),
    };
    section.finish();
    let read = || {
        Some(Engine {
            kind: kind?,
            frontends: frontends?,
            backends: backends?,
            rewrite: rewrite?,
            allow_plain_redirect: plain?,
            ca_file: ca_file?,
            user: user?,
            password: password?,
            timeouts: timeouts?,
        })
    };
    Read { engine: read(), database, transaction: timeouts.unwrap_or(DEFAULT_TIMEOUTS).transaction }
}

fn kind(item: &Item<'_>) -> Option<EngineKind> {
    match item.string("\"starrocks\" or \"doris\"")? {
        "starrocks" => Some(EngineKind::StarRocks),
        "doris" => Some(EngineKind::Doris),
        other => {
            item.error(format!("expected \"starrocks\" or \"doris\", found {other:?}"));
            None
        }
    }
}

/// A list of addresses, one address, or the text of either elsewhere, separated by commas.
fn frontends(item: &Item<'_>) -> Option<Vec<Uri>> {
    let texts = addresses(item, "the addresses of the frontends")?;
    let frontends: Vec<Uri> = all(texts.iter().map(|(item, text)| frontend(item, text)))?;
    if frontends.is_empty() {
        item.problem("no frontend is named", "frontends = [\"http://fe-1:8030\", \"http://fe-2:8030\"]");
        return None;
    }
    Some(frontends)
}

/// Addresses in a list, or in one text with commas, each with the place where it stands.
pub(super) fn addresses<'t>(item: &Item<'t>, what: &str) -> Option<Vec<(Item<'t>, String)>> {
    let texts: Vec<(Item<'t>, String)> = if matches!(item.value(), DeValue::Array(_)) {
        let items = item.list(what)?;
        all(items.into_iter().map(|item| item.words("an address").map(str::to_owned).map(|text| (item, text))))?
    } else {
        vec![(item.clone(), origin::text(item, what)?)]
    };
    let mut addresses = Vec::new();
    for (item, text) in texts {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        addresses.extend(parts.map(|part| (item.clone(), part.to_owned())));
    }
    Some(addresses)
}

fn frontend(item: &Item<'_>, address: &str) -> Option<Uri> {
    const HINT: &str = "scheme, host and port, as in \"http://fe-1:8030\" or \"https://fe.example.com\"";
    if address.contains('@') {
        item.conceal();
        item.problem("the address of a frontend holds no user or password", "set engine.user and engine.password");
        return None;
    }
    let with_scheme = address.starts_with("http://") || address.starts_with("https://");
    let parsed =
        address.parse::<Uri>().ok().filter(|uri| with_scheme && uri.host().is_some_and(|host| !host.is_empty()));
    let Some(uri) = parsed else {
        item.problem(format!("{address:?} is no address of a frontend"), HINT);
        return None;
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        item.problem(format!("{address:?} has a path; the loader adds the paths itself"), HINT);
        return None;
    }
    match uri.port_u16() {
        Some(MYSQL_PORT) => item.warn(
            format!("{address:?} names port 9030, which is usually the engine's MySQL port"),
            "loads go to the frontend's http_port, 8030 unless it was changed",
        ),
        None if uri.scheme_str() == Some("http") => item.warn(
            format!("{address:?} names no port, so port 80 is used"),
            "a frontend listens on its http_port, 8030 unless it was changed",
        ),
        Some(_) | None => {}
    }
    Some(uri)
}

fn backends(item: &Item<'_>) -> Option<Vec<String>> {
    let items = item.list("a list of hosts, domain suffixes and CIDR blocks")?;
    let backends = items.iter().map(|item| {
        let text = item.words("a host, a domain suffix or a CIDR block")?;
        if !is_backend(text) {
            item.problem(
                format!("{text:?} is neither a host nor a domain suffix nor a CIDR block"),
                "\"be-1\", \".example.com\" or \"10.0.0.0/8\"; without scheme and port",
            );
            return None;
        }
        Some(text.to_ascii_lowercase())
    });
    all(backends)
}

fn is_backend(text: &str) -> bool {
    if let Some((address, bits)) = text.split_once('/') {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        return bits.parse::<u8>().is_ok_and(|bits| bits <= most);
    }
    text.parse::<IpAddr>().is_ok() || is_host(text.strip_prefix('.').unwrap_or(text))
}

fn is_host(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !text.is_empty() && text.chars().all(legal) && !text.starts_with('.')
}

/// True for `host:port`, with IPv6 addresses in brackets.
pub(super) fn is_host_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bracketed.map_or_else(|| is_host(host), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
    host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn rewrite(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let entries = item.section("a table of addresses")?.entries();
    let read = entries.iter().map(|(from, item)| {
        let to = item.string("host:port")?;
        for address in [*from, to] {
            if !is_host_port(address) {
                item.problem(format!("{address:?} is not host:port"), "\"be-1:8040\" = \"10.1.2.3:18040\"");
                return None;
            }
        }
        Some(((*from).to_owned(), to.to_owned()))
    });
    all(read)
}

fn ca_file(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.reading().beside(item.words("the path of a PEM file")?);
    let problem = match std::fs::read(&path) {
        Ok(pem) if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_some() => return Some(path),
        Ok(_) => format!("{} holds no PEM certificate", path.display()),
        Err(error) => format!("{} can't be read: {error}", path.display()),
    };
    item.problem(problem, "relative paths are meant from the directory of the configuration file");
    None
}

fn user(item: &Item<'_>) -> Option<String> {
    let user = origin::text(item, "the user")?;
    // Basic authentication ends the user at the first colon (RFC 7617).
    if user.is_empty() || user.contains(':') {
        item.error("expected the name of a user, not empty and without a colon");
        return None;
    }
    Some(user)
}

/// Defaults of `[engine.timeouts]`.
pub(super) const DEFAULT_TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    call: Duration::from_secs(30),
    continue_: Duration::from_secs(30),
    stall: Duration::from_secs(60),
    prepare: Duration::from_secs(600),
    transaction: Duration::from_secs(600),
    prepared: Duration::from_secs(86_400),
};

fn timeouts(mut table: Section<'_>, kind: Option<EngineKind>) -> Option<Timeouts> {
    let mut read = |key, default, allowed: RangeInclusive<Duration>| {
        table.take(key).map_or(Some(default), |item| item.duration(allowed))
    };
    let connect = read("connect", DEFAULT_TIMEOUTS.connect, MS..=DAY);
    let call = read("call", DEFAULT_TIMEOUTS.call, MS..=DAY);
    let continue_ = read("continue", DEFAULT_TIMEOUTS.continue_, MS..=DAY);
    let stall = read("stall", DEFAULT_TIMEOUTS.stall, MS..=DAY);
    let prepare = read("prepare", DEFAULT_TIMEOUTS.prepare, MS..=DAY);
    let transaction = table.take("transaction");
    let transaction = transaction.map_or(Some(DEFAULT_TIMEOUTS.transaction), |item| whole_seconds(&item));
    let prepared = table.take("prepared");
    if let (Some(item), Some(EngineKind::Doris)) = (&prepared, kind) {
        item.problem(
            "Doris takes no such time from a load",
            "remove it; the frontend's `stream_load_default_precommit_timeout_second` decides",
        );
    }
    let prepared = prepared.map_or(Some(DEFAULT_TIMEOUTS.prepared), |item| whole_seconds(&item));
    table.finish();
    Some(Timeouts {
        connect: connect?,
        call: call?,
        continue_: continue_?,
        stall: stall?,
        prepare: prepare?,
        transaction: transaction?,
        prepared: prepared?,
    })
}

/// Times that are handed to the engine, which counts in seconds.
fn whole_seconds(item: &Item<'_>) -> Option<Duration> {
    let time = item.duration(Duration::from_secs(1)..=TRANSACTION_MAX)?;
    if time.subsec_nanos() != 0 {
        item.error("expected whole seconds: the engine counts in them");
        return None;
    }
    Some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends() {
        for good in ["be-1", ".example.com", "10.0.0.0/8", "10.1.2.3", "fd00::/8", "fd00::1", "be_1.internal"] {
            assert!(is_backend(good), "{good}");
        }
        for bad in ["be-1:8040", "http://be-1", "10.0.0.0/33", "host/8", "", ".", "..x", "fd00::/129"] {
            assert!(!is_backend(bad), "{bad}");
        }
    }
}
