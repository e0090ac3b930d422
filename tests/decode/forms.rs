//! Each case is the part of a route that says what its values look like, one record, and the row or reject it becomes.

use std::path::Path;

use loadlock::cli::produce::encrypt::Wrapper;
use loadlock::config::{Config, Route};
use loadlock::decode::{Decoder, Framing, Scope};
use loadlock::record::{Chunk, RecordHead};
use serde::Deserialize;

use super::support::chunk;

const FRAME: &str = r#"
[kafka]
brokers = "k:9092"
[engine]
kind = "doris"
frontends = ["http://fe:8030"]
database = "d"
user = "root"
password = ""
[[topic2table]]
topic = "orders"
table = "t"
"#;
const COLUMNS: &str = "columns = [\"a\", \"b\"]\njsonpaths = [\"$.a\", \"$.b\"]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    route: String,
    columns: Option<String>,
    value: Option<String>,
    value_hex: Option<String>,
    row: Option<String>,
    /// Stage, and the reason if it is always the same.
    reject: Option<(String, Option<String>)>,
}

fn routes(route: &str, columns: &str) -> Vec<Route> {
    let text = format!("{FRAME}{route}\n{columns}\n");
    let variable = |name: &str| match name {
        "OLD" => Some("AAECAwQFBgcICQoLDA0ODw==".to_owned()),
        "NEW" => Some("8PHy8/T19vf4+fr7/P3+/w==".to_owned()),
        "OTHER" => Some("ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3".to_owned()),
        _ => None,
    };
    let (config, _) =
        Config::parse(&text, Path::new("t.toml"), &variable).unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    config.pipelines[0].routes.clone()
}

/// Row or reject of one record.
fn decoded(decoder: &Decoder, value: Option<&[u8]>, headers: &[(&str, &str)]) -> Result<String, (String, String)> {
    let mut chunk: Chunk = chunk();
    let head = RecordHead { partition: 0, offset: 42, leader_epoch: 0, timestamp_ms: None };
    let headers = headers.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
    chunk.push(head, None, value, headers);
    let decoded = decoder.decode(&chunk, &Scope::default());
    match decoded.rejects.first() {
        Some(reject) => Err((reject.stage.to_string(), reject.reason.clone())),
        None => Ok(String::from_utf8(decoded.rows[0].body.clone()).unwrap()),
    }
}

#[test]
fn values_of_every_form() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../data/decode/forms.json")).unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let name = &case.name;
        let routes = routes(&case.route, case.columns.as_deref().unwrap_or(COLUMNS));
        let decoder = Decoder::new(&routes, Framing::Lines).unwrap();
        let hex = |digits: &str| {
            let pairs = digits.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
            pairs.map(|two| u8::from_str_radix(two, 16).unwrap()).collect::<Vec<_>>()
        };
        let value = case.value.map(String::into_bytes).or_else(|| case.value_hex.as_deref().map(hex));
        match (decoded(&decoder, value.as_deref(), &[]), case.row, case.reject) {
            (Ok(row), Some(expected), None) => assert_eq!(row, format!("{expected}\n"), "{name}"),
            (Err((stage, reason)), None, Some((expected, why))) => {
                assert_eq!(stage, expected, "{name}: {reason}");
                if let Some(why) = why {
                    assert_eq!(reason, why, "{name}");
                }
            }
            (got, row, reject) => panic!("{name}: {got:?}, expected {row:?} {reject:?}"),
        }
    }
}

/// The value that `produce` writes for a route, with its header.
fn written(route: &Route, json: &str, iv: u8) -> (Vec<u8>, Vec<(String, String)>) {
    let wrapper = Wrapper { form: &route.value, quoted: false };
    let header = wrapper.header().map(|(name, id)| (name.to_owned(), id.to_owned()));
    (wrapper.wrap(json.as_bytes(), [iv; 16], false).unwrap(), header.into_iter().collect())
}

#[test]
fn what_produce_writes_is_read() {
    for form in [
        "",
        "encoding = \"json-string\"",
        "framing = \"schema-registry\"",
        "charset = \"gb18030\"\nencoding = \"base64\"",
        "encoding = \"hex\"\ndecrypt = { cipher = \"aes-cbc\", key = { env = \"OTHER\" } }",
        "framing = \"schema-registry\"\ndecrypt = { cipher = \"aes-gcm\", keys = [{ env = \"OLD\" }, { env = \"NEW\" }] }",
        "decrypt = { cipher = \"aes-ecb\", keys = { a = { env = \"OLD\" }, b = { env = \"NEW\" } }, key_id = { header = \"kid\" } }",
    ] {
        let routes = routes(form, COLUMNS);
        let decoder = Decoder::new(&routes, Framing::Lines).unwrap();
        let (value, headers) = written(&routes[0], r#"{"a":"中文\"","b":12.50}"#, 7);
        let headers: Vec<_> = headers.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
        let row = decoded(&decoder, Some(&value), &headers);
        assert_eq!(row, Ok("{\"a\":\"中文\\\"\",\"b\":12.50}\n".to_owned()), "{form}");
    }
}

/// Keys change while records of the old one are still in the topic.
#[test]
fn keys_are_found_by_trying_and_by_name() {
    let json = r#"{"a":1,"b":"x"}"#;
    let row = Ok("{\"a\":1,\"b\":\"x\"}\n".to_owned());
    for cipher in ["aes-ecb", "aes-cbc", "aes-gcm"] {
        let with =
            |key: &str| routes(&format!("decrypt = {{ cipher = \"{cipher}\", key = {{ env = \"{key}\" }} }}"), COLUMNS);
        let tried = format!("decrypt = {{ cipher = \"{cipher}\", keys = [{{ env = \"OLD\" }}, {{ env = \"NEW\" }}] }}");
        let tried = Decoder::new(&routes(&tried, COLUMNS), Framing::Lines).unwrap();
        let named = format!(
            "decrypt = {{ cipher = \"{cipher}\", keys = {{ 1 = {{ env = \"OLD\" }}, 2 = {{ env = \"NEW\" }} }}, key_id = {{ header = \"kid\" }} }}"
        );
        let named = Decoder::new(&routes(&named, COLUMNS), Framing::Lines).unwrap();
        // One record in 256 has a padding that is right by chance under the wrong key.
        for iv in 0..=255 {
            let json = format!(r#"{{"a":1,"b":"x","n":{iv}}}"#);
            for key in ["OLD", "NEW", "NEW", "OLD"] {
                let (value, _) = written(&with(key)[0], &json, iv);
                assert_eq!(decoded(&tried, Some(&value), &[]), row, "{cipher} {key} {iv}");
            }
        }
        for (key, id) in [("OLD", "1"), ("NEW", "2")] {
            let (value, _) = written(&with(key)[0], json, 1);
            assert_eq!(decoded(&named, Some(&value), &[("kid", "9"), ("kid", id)]), row, "{cipher} {key}");
            for (headers, reason) in [
                (&[][..], "the record has no header \"kid\", which names its key"),
                (&[("kid", "3")][..], "the header \"kid\" names none of the 2 keys that the route has"),
            ] {
                let reject = ("decrypt".to_owned(), reason.to_owned());
                assert_eq!(decoded(&named, Some(&value), headers), Err(reject), "{cipher}");
            }
        }
        let (value, _) = written(&with("OTHER")[0], json, 1);
        let (stage, reason) = decoded(&tried, Some(&value), &[]).unwrap_err();
        assert_eq!(stage, "decrypt");
        assert!(reason.starts_with("none of 2 keys fits: "), "{reason}");
    }
}
