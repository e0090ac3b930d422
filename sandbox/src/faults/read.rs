//! Reads a plan from JSON. A mistake is shown with its place; a misspelt field never counts as absent.

#![expect(clippy::wildcard_enum_match_arm, reason = "most kinds have nothing that could be wrong with them")]

use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Call, Calls, Fault, FaultKind};

/// Fields that any fault may have; those of its kind come on top.
const FIELDS: &[&str] = &[
    "call",
    "at_millis",
    "node",
    "node_index",
    "path",
    "table",
    "label",
    "kind",
    "skip",
    "times",
    "probability",
    "seed",
];

/// A plan with a seed for all its faults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seeded<'a> {
    seed: u64,
    #[serde(borrow)]
    faults: Vec<&'a RawValue>,
}

impl Fault {
    /// Reads a plan: a JSON array of faults, or `{"seed": 7, "faults": […]}`.
    ///
    /// # Errors
    /// When it is none, a fault has a field or a value that no fault has, or it could never strike. The text names line
    /// and column.
    pub fn read_plan(json: &str) -> Result<Vec<Self>, String> {
        let (seed, given) = raw_faults(json).map_err(|e| format!("the fault plan is not understood: {e}"))?;
        let mut faults = Vec::with_capacity(given.len());
        for (place, raw) in given.into_iter().enumerate() {
            let mut fault = read_one(raw.get()).map_err(|problem| {
                // The raw text is a part of the whole one.
                let (line, column) = position(json, raw.get().as_ptr() as usize - json.as_ptr() as usize);
                format!(
                    "the fault plan is not understood: fault {} at line {line}, column {column}: {problem}",
                    place + 1
                )
            })?;
            if let Some(seed) = seed {
                fault.seed.get_or_insert(seed.wrapping_mul(1_000_003).wrapping_add(place as u64));
            }
            faults.push(fault);
        }
        Ok(faults)
    }

    /// Why it could never strike, if so.
    pub(super) fn objection(&self) -> Option<String> {
        if self.at_millis.is_some() {
            if !self.kind.is_event() {
                return Some(
                    "at_millis goes with what happens to the cluster, not with what goes wrong with a call".into(),
                );
            }
            if self.call.is_some() || self.skip > 0 || self.probability.is_some() {
                return Some("at_millis goes without call, skip and probability".into());
            }
        }
        if self.at_millis.is_none() && self.call.is_none() {
            return Some("missing field `call` (or `at_millis`)".into());
        }
        let calls = self.kind.calls();
        if let Some(Calls::Only(call)) = self.call
            && !calls.is_empty()
            && !calls.contains(&call)
        {
            let names: Vec<_> = calls.iter().map(Call::to_string).collect();
            return Some(format!("this kind has no effect at the call {call}, only at {}", names.join(", ")));
        }
        if self.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
            return Some("probability is a number from 0 to 1".into());
        }
        match &self.kind {
            FaultKind::Status { code } if !(400..=599).contains(code) => {
                Some("code is a number from 400 to 599".into())
            }
            FaultKind::SlowBody { bytes_per_second: 0 } | FaultKind::SlowAnswer { bytes_per_second: 0 } => {
                Some("bytes_per_second is at least 1 (stall_body and silent_answer send none)".into())
            }
            FaultKind::RedirectTo { authority } if authority.parse::<hyper::http::uri::Authority>().is_err() => {
                Some("authority is host:port".into())
            }
            _ => None,
        }
    }
}

fn raw_faults(json: &str) -> serde_json::Result<(Option<u64>, Vec<&RawValue>)> {
    if json.trim_start().starts_with('{') {
        let Seeded { seed, faults } = serde_json::from_str(json)?;
        return Ok((Some(seed), faults));
    }
    Ok((None, serde_json::from_str(json)?))
}

fn read_one(json: &str) -> Result<Fault, String> {
    let given: serde_json::Map<String, Value> =
        serde_json::from_str(json).map_err(|_| "a fault is a JSON object".to_owned())?;
    let fault: Fault = serde_json::from_value(Value::Object(given.clone())).map_err(|e| e.to_string())?;
    let own = optional_fields(&fault.kind)?;
    let is_known = |name: &str| FIELDS.contains(&name) || own.contains(&name.to_owned());
    if let Some(unknown) = given.keys().find(|name| !is_known(name)) {
        let known: Vec<&str> = FIELDS.iter().copied().chain(own.iter().map(String::as_str)).collect();
        return Err(format!("unknown field `{unknown}`, expected one of {}", known.join(", ")));
    }
    match fault.objection() {
        Some(objection) => Err(objection),
        None => Ok(fault),
    }
}

/// The fields of a kind, those that are absent included.
fn optional_fields(kind: &FaultKind) -> Result<Vec<String>, String> {
    let whole = match kind.clone() {
        FaultKind::RefuseAtHeader { message, .. } => FaultKind::RefuseAtHeader { status: Some(String::new()), message },
        FaultKind::CutAnswer { .. } => FaultKind::CutAnswer { after_bytes: Some(0) },
        FaultKind::NotCommittable { .. } => FaultKind::NotCommittable { message: Some(String::new()) },
        kind => kind,
    };
    match serde_json::to_value(whole).map_err(|e| e.to_string())? {
        Value::Object(fields) => Ok(fields.into_iter().map(|(name, _)| name).collect()),
        _ => Ok(Vec::new()),
    }
}

/// Line and column, from 1, of a place in a text.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.serialize(f)
    }
}

impl Serialize for Calls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("any"),
            Self::Only(call) => call.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == "any" {
            return Ok(Self::Any);
        }
        let call = Call::deserialize(name.as_str().into_deserializer());
        call.map(Self::Only).map_err(|e: serde::de::value::Error| D::Error::custom(format!("{e}, or `any`")))
    }
}

/// A number of times, `"always"` for the largest.
pub(super) mod always {
    use super::{Deserializer, Serializer, Visitor};

    const WORD: &str = "always";

    pub(in crate::faults) fn serialize<S: Serializer>(times: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        if *times == u32::MAX { serializer.serialize_str(WORD) } else { serializer.serialize_u32(*times) }
    }

    pub(in crate::faults) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        struct Times;
        impl Visitor<'_> for Times {
            type Value = u32;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "a number of times or {WORD:?}")
            }

            fn visit_u64<E: serde::de::Error>(self, times: u64) -> Result<u32, E> {
                u32::try_from(times).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(times), &self))
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<u32, E> {
                if word == WORD { Ok(u32::MAX) } else { Err(E::invalid_value(serde::de::Unexpected::Str(word), &self)) }
            }
        }
        deserializer.deserialize_any(Times)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FaultKind, Node, When};
    use super::*;

    #[test]
    fn every_form_of_a_plan() {
        let plan = r#"{"seed": 7, "faults": [
            {"call": "any", "kind": "drop_after", "probability": 0.250, "times": "always", "table": "d.*"},
            {"at_millis": 50, "kind": "restart", "role": "backend", "times": 3},
            {"call": "load", "kind": "restart", "role": "frontend", "when": "in_body", "label": "a?", "seed": 1}
        ]}"#;
        let faults = Fault::read_plan(plan).unwrap();
        let restart = |role, when| FaultKind::Restart { role, index: 0, when };
        let first = Fault { times: u32::MAX, probability: Some(0.25), ..Fault::any(FaultKind::DropAfter) };
        assert_eq!(faults[0], Fault { table: Some("d.*".into()), seed: Some(7_000_021), ..first });
        let second = Fault::at(50, restart(Node::Backend, When::Before));
        assert_eq!(faults[1], Fault { times: 3, seed: Some(7_000_022), ..second });
        let third = Fault::once(Call::Load, restart(Node::Frontend, When::InBody));
        assert_eq!(faults[2], Fault { label: Some("a?".into()), seed: Some(1), ..third });
        let shown = serde_json::to_string(&faults).unwrap();
        assert_eq!(Fault::read_plan(&shown).unwrap(), faults, "what is shown can be read: {shown}");
    }

    #[test]
    fn what_is_not_a_fault_is_refused_with_its_place() {
        let cases = [
            (r#"[{"call":"commit","kind":"explode"}]"#, "line 1, column 2: unknown variant `explode`, expected one of"),
            (r#"[{"call":"comit","kind":"drop_after"}]"#, "unknown variant `comit`, expected one of `begin`, `load`"),
            (
                "[{\"call\":\"commit\",\"kind\":\"drop_after\"},\n  {\"call\":\"commit\",\"kind\":\"drop_after\",\"tims\":2}]",
                "fault 2 at line 2, column 3: unknown field `tims`, expected one of call, at_millis,",
            ),
            (r#"[{"call":"commit","kind":"delay","millis":2,"tims":2}]"#, "unknown field `tims`"),
            (r#"[{"call":"commit","kind":"delay","milis":2}]"#, "missing field `millis`"),
            (r#"{"call":"commit","kind":"drop_after"}"#, "unknown field `call`, expected `seed` or `faults`"),
            ("[{\"call\":\"commit\",\n\"kind\":}]", "expected value at line 2 column 8"),
            (r#"["drop_after"]"#, "a fault is a JSON object"),
            (r#"[{"kind":"drop_after"}]"#, "missing field `call` (or `at_millis`)"),
            (r#"[{"at_millis":5,"kind":"drop_after"}]"#, "at_millis goes with what happens to the cluster"),
            (
                r#"[{"call":"commit","kind":"drop_in_body","after_bytes":1}]"#,
                "no effect at the call commit, only at load",
            ),
            (r#"[{"call":"commit","kind":"drop_after","probability":1.5}]"#, "from 0 to 1"),
            (r#"[{"call":"commit","kind":"status","code":200}]"#, "from 400 to 599"),
            (r#"[{"call":"commit","kind":"drop_after","times":"often"}]"#, "a number of times or \"always\""),
            (r#"[{"call":"load","kind":"slow_body","bytes_per_second":0}]"#, "at least 1"),
            (r#"[{"call":"load","kind":"redirect_to","authority":"a b"}]"#, "host:port"),
        ];
        for (plan, want) in cases {
            let error = Fault::read_plan(plan).unwrap_err();
            assert!(error.starts_with("the fault plan is not understood: ") && error.contains(want), "{plan}: {error}");
        }
    }
}
