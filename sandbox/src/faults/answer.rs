//! What a plan does to an answer: other JSON, or another way over the wire.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::FaultKind;
use super::texts::STACK;
use crate::delivery::Delivery;
use crate::http::HttpResponse;

/// A change of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Edit {
    /// Its JSON, with the seed of what is shuffled.
    Json(JsonEdit, u64),
    /// Bytes per second.
    Pace(u64),
    /// Milliseconds without a body.
    Silence(u64),
    /// What is added to its length.
    Length(i64),
    /// Bytes that come, or half of them.
    Cut(Option<u64>),
}

/// A change of an answer's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonEdit {
    UnknownKeys,
    ShuffleKeys,
    StackTrace,
}

impl Edit {
    /// What a kind does to an answer, if it does.
    pub(super) fn of(kind: &FaultKind, seed: u64) -> Option<Self> {
        if let FaultKind::SlowAnswer { bytes_per_second } = kind {
            Some(Self::Pace(*bytes_per_second))
        } else if let FaultKind::SilentAnswer { millis } = kind {
            Some(Self::Silence(*millis))
        } else if let FaultKind::WrongLength { by } = kind {
            Some(Self::Length(*by))
        } else if let FaultKind::CutAnswer { after_bytes } = kind {
            Some(Self::Cut(*after_bytes))
        } else {
            JsonEdit::of(kind).map(|edit| Self::Json(edit, seed))
        }
    }

    /// Changes an answer; false if there is nothing to change.
    pub(super) async fn apply(self, response: &mut HttpResponse) -> bool {
        let body = whole(response).await;
        let mut delivery = response.extensions().get::<Delivery>().cloned().unwrap_or_default();
        match self {
            Self::Json(edit, seed) => {
                let Some(changed) = edit.change(&body, seed) else { return false };
                *response.body_mut() = Full::new(changed.into());
                return true;
            }
            Self::Pace(bytes_per_second) => delivery.bytes_per_second = Some(bytes_per_second),
            Self::Silence(millis) => delivery.silence = Some(Duration::from_millis(millis)),
            Self::Length(by) => delivery.length_by = by,
            Self::Cut(after) => delivery.cut_after = Some(after.unwrap_or(body.len() as u64 / 2)),
        }
        response.extensions_mut().insert(delivery);
        true
    }
}

async fn whole(response: &mut HttpResponse) -> Bytes {
    // A body of bytes in memory can't fail.
    response.body().clone().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

impl JsonEdit {
    fn of(kind: &FaultKind) -> Option<Self> {
        let kinds = [
            (FaultKind::UnknownKeys, Self::UnknownKeys),
            (FaultKind::ShuffleKeys, Self::ShuffleKeys),
            (FaultKind::StackTrace, Self::StackTrace),
        ];
        kinds.into_iter().find_map(|(of, edit)| (of == *kind).then_some(edit))
    }

    /// The changed JSON; `None` if it stays as it is.
    fn change(self, body: &[u8], seed: u64) -> Option<Vec<u8>> {
        let mut object: Ordered = serde_json::from_slice(body).ok()?;
        match self {
            Self::UnknownKeys => {
                let strange =
                    [("SandboxNote", "\"of no meaning\""), ("SandboxDetail", r#"{"Status":"Fail","n":[1,null]}"#)];
                for (place, (key, value)) in strange.into_iter().enumerate() {
                    let value = RawValue::from_string(value.to_owned()).ok()?;
                    // The first key and the last.
                    object.0.insert(place * object.0.len(), (key.to_owned(), value));
                }
            }
            Self::ShuffleKeys => {
                let before: Vec<String> = object.0.iter().map(|(key, _)| key.clone()).collect();
                fastrand::Rng::with_seed(seed).shuffle(&mut object.0);
                if object.0.len() > 1 && object.0.iter().map(|(key, _)| key).eq(&before) {
                    object.0.rotate_left(1);
                }
            }
            Self::StackTrace => append_stack(&mut object)?,
        }
        object.write(body)
    }
}

/// Appends a stack to the message of an answer of failure; `None` if it is none.
fn append_stack(object: &mut Ordered) -> Option<()> {
    let text = |value: &RawValue| serde_json::from_str::<String>(value.get()).ok();
    let find = |object: &Ordered, name: &str| object.0.iter().position(|(key, _)| key.eq_ignore_ascii_case(name));
    let status = find(object, "status").and_then(|at| text(&object.0[at].1))?;
    if ["ok", "success"].iter().any(|good| status.eq_ignore_ascii_case(good)) {
        return None;
    }
    let at = find(object, "message").or_else(|| find(object, "msg"))?;
    let long = text(&object.0[at].1)? + STACK;
    object.0[at].1 = serde_json::value::to_raw_value(&long).ok()?;
    Some(())
}

/// A JSON object with its keys in their order and its values as they were written.
struct Ordered(Vec<(String, Box<RawValue>)>);

impl Ordered {
    /// Writes it as the original was written: on one line, or indented by as much.
    fn write(&self, original: &[u8]) -> Option<Vec<u8>> {
        let mut lines = original.split(|byte| *byte == b'\n');
        let indent: Vec<u8> = match (lines.next(), lines.next()) {
            (Some(b"{"), Some(line)) => line.iter().copied().take_while(|byte| *byte == b' ').collect(),
            _ => return serde_json::to_vec(self).ok(),
        };
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(&indent);
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).ok()?;
        bytes.push(b'\n');
        Some(bytes)
    }
}

impl Serialize for Ordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A redirect to a place.
pub(super) fn redirect(authority: &str, target: &str) -> HttpResponse {
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    if let Ok(location) = HeaderValue::try_from(format!("http://{authority}{target}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRETTY: &[u8] =
        b"{\n    \"Status\": \"Fail\",\n    \"Message\": \"no\",\n    \"TxnId\": 9007199254740993\n}\n";

    fn change(edit: JsonEdit, body: &[u8]) -> Option<String> {
        edit.change(body, 7).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_json_stays_what_it_was_but_for_the_change() {
        let more = change(JsonEdit::UnknownKeys, PRETTY).unwrap();
        assert!(more.starts_with("{\n    \"SandboxNote\": \"of no meaning\",\n    \"Status\": \"Fail\",\n"), "{more}");
        assert!(more.contains("\"TxnId\": 9007199254740993,\n    \"SandboxDetail\": {"), "{more}");
        let shuffled = change(JsonEdit::ShuffleKeys, PRETTY).unwrap();
        assert_eq!(change(JsonEdit::ShuffleKeys, PRETTY).unwrap(), shuffled, "one seed, one order");
        assert_ne!(shuffled.as_bytes(), PRETTY);
        assert_eq!(shuffled.len(), PRETTY.len());
        assert_eq!(change(JsonEdit::ShuffleKeys, br#"{"a":1,"b":2}"#).unwrap(), r#"{"b":2,"a":1}"#);
    }

    #[test]
    fn only_failures_carry_a_stack() {
        let traced = change(JsonEdit::StackTrace, PRETTY).unwrap();
        assert!(traced.contains(r#""Message": "no\n\n\t0#  doris::"#), "{traced}");
        for good in
            [&br#"{"Status":"Success","Message":"OK"}"#[..], br#"{"status":"OK","msg":"Success"}"#, b"[]", b"no json"]
        {
            assert_eq!(change(JsonEdit::StackTrace, good), None);
        }
    }
}
