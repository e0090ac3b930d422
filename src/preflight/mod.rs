//! Preflight: settings of Kafka and the engine that would break the guarantee, or the pipeline, sooner or later.
//!
//! Asking happens at the rim ([`look`]) under a short deadline and in nobody's way: what is not answered is assumed to be
//! at its default, and said so. What the answers mean is pure: facts and needs in, findings out.
//!
//! | file | what |
//! |---|---|
//! | `need` | what the configuration asks of its surroundings |
//! | `engine`, `kafka`, `version` | what is found there, and what it means |
//! | `ask` | the questions |

mod ask;
mod engine;
mod finding;
mod kafka;
mod need;
mod version;

pub use ask::{Look, look};
pub use engine::EngineFacts;
pub use finding::{Finding, Severity};
pub use kafka::KafkaFacts;
pub use need::{Need, PipelineNeed};

use std::collections::BTreeMap;

/// Settings by name, or why they could not be asked.
pub type Asked = Result<BTreeMap<String, String>, String>;

/// Everything that the facts mean for these needs, the worst first.
pub fn findings(need: &Need, engine: &EngineFacts, kafka: &KafkaFacts) -> Vec<Finding> {
    let mut findings = engine::findings(need, engine);
    findings.extend(kafka::findings(need, kafka));
    findings.sort_by_key(|finding| finding.severity);
    findings
}

/// Reads settings; one that is missing or no number has its default, which is noted down.
struct Reader<'a> {
    asked: &'a Asked,
    assumed: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(asked: &'a Asked) -> Self {
        Self { asked, assumed: Vec::new() }
    }

    /// A number; engines write -1 for "no limit".
    fn number(&mut self, name: &str, default: i64) -> i64 {
        let found = self.asked.as_ref().ok().and_then(|settings| settings.get(name)?.trim().parse().ok());
        found.unwrap_or_else(|| {
            self.assumed.push(format!("{name} = {default}"));
            default
        })
    }

    /// True if the setting was found: only then may it refuse a pipeline.
    fn has(&self, name: &str) -> bool {
        let found = |settings: &BTreeMap<String, String>| settings.get(name)?.trim().parse::<i64>().ok();
        self.asked.as_ref().ok().and_then(found).is_some()
    }

    /// What could not be asked, and what is taken for it.
    fn not_asked(self, of: &str, remedy: &str) -> Option<Finding> {
        if self.assumed.is_empty() {
            return None;
        }
        let why = match self.asked {
            Ok(_) => "the answer does not have them",
            Err(why) => why,
        };
        let what = format!("settings of {of} could not be asked ({why}); assumed: {}", self.assumed.join(", "));
        Some(Finding::note("not-asked", what, remedy))
    }
}
