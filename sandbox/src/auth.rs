//! HTTP Basic credentials.

use hyper::HeaderMap;

use crate::http::header;

/// The one user that a sandbox knows.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What a request's `Authorization` header is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// The right user and password.
    Granted,
    /// No header, or none that is Basic.
    Missing,
    /// Another user or password; the user is named for the error text.
    Denied(String),
}

impl Account {
    pub(crate) fn check(&self, headers: &HeaderMap) -> Login {
        let Some((user, password)) = credentials(headers) else { return Login::Missing };
        // StarRocks and Doris allow `user@cluster`.
        let name = user.split_once('@').map_or(user.as_str(), |(name, _)| name);
        if name == self.user && password == self.password { Login::Granted } else { Login::Denied(user) }
    }
}

/// User and password of a Basic header.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = header(headers, "authorization")?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64_simd::STANDARD.decode_to_vec(encoded.trim()).ok()?;
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins() {
        let account = Account { user: "root".into(), password: "a:b".into() };
        let check = |value: Option<String>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("authorization", value.parse().unwrap());
            }
            account.check(&headers)
        };
        let basic = |text: &str| Some(format!("Basic {}", base64_simd::STANDARD.encode_to_string(text)));
        assert_eq!(check(basic("root:a:b")), Login::Granted);
        assert_eq!(check(basic("root:a")), Login::Denied("root".into()));
        assert_eq!(check(basic("eve:a:b")), Login::Denied("eve".into()));
        assert_eq!(check(None), Login::Missing);
        assert_eq!(check(Some("Bearer x".into())), Login::Missing);
        assert_eq!(check(Some("Basic ???".into())), Login::Missing);
    }
}
