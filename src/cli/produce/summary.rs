//! What was written, for people and for scripts.

use std::collections::BTreeMap;

use serde_json::json;

use super::kafka::Delivered;
use crate::cli::Exit;
use crate::cli::report::Failure;
use crate::config::counted;
use crate::domain::{Offset, Partition};

type Starts = BTreeMap<Partition, Offset>;

/// The outcome of a run.
pub(super) struct Summary {
    pub(super) topic: String,
    /// Records handed to the producer.
    pub(super) sent: u64,
    /// How many of them were made unreadable on purpose.
    pub(super) corrupt: u64,
    pub(super) delivered: Delivered,
    pub(super) seconds: f64,
    /// First offset of each partition before and after, if that was to be checked.
    pub(super) starts: Option<(Starts, Starts)>,
}

impl Summary {
    /// One JSON object in one line.
    pub(super) fn json(&self) -> String {
        let partitions: Vec<_> = self
            .delivered
            .partitions
            .iter()
            .map(|(partition, (records, range))| {
                json!({ "partition": partition, "records": records, "start": range.start, "end": range.end })
            })
            .collect();
        json!({
            "topic": self.topic,
            "records": self.delivered.records(),
            "corrupt": self.corrupt,
            "failed": self.sent - self.delivered.records(),
            "seconds": (self.seconds * 1000.0).round() / 1000.0,
            "partitions": partitions,
        })
        .to_string()
    }

    /// Lines for a person.
    pub(super) fn lines(&self) -> Vec<String> {
        let records = self.delivered.records();
        let corrupt = if self.corrupt == 0 { String::new() } else { format!(", {} of them corrupt", self.corrupt) };
        let rate = records as f64 / self.seconds.max(f64::EPSILON);
        let mut lines = vec![
            format!(
                "{records} records acknowledged{corrupt}, in {:.1} s ({rate:.0}/s), in {}",
                self.seconds, self.topic
            ),
            format!("{:>9}  {:>10}  offsets", "partition", "records"),
        ];
        lines.extend(
            self.delivered
                .partitions
                .iter()
                .map(|(partition, (records, range))| format!("{partition:>9}  {records:>10}  {range}")),
        );
        lines
    }

    /// Whether everything that was sent is in the topic.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let missing = self.sent - self.delivered.records();
        if missing > 0 {
            let what = format!(
                "{} of {} were not acknowledged; they may be in the topic or not",
                missing,
                counted_records(self.sent)
            );
            let failure = Failure::new(Exit::NeedsPerson, "kafka", what);
            return Err(match &self.delivered.reason {
                Some(reason) => failure.caused_by(reason),
                None => failure,
            });
        }
        let Some((before, after)) = &self.starts else { return Ok(()) };
        let moved: Vec<_> = after.iter().filter(|(partition, start)| before.get(*partition) != Some(start)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let places: Vec<_> =
            moved.iter().map(|(partition, start)| format!("{partition} now starts at {start}")).collect();
        let what = format!("{} dropped old records meanwhile: partition {}", self.topic, places.join(", partition "));
        let hint =
            "more partitions or fewer records: a mock broker keeps 5 MiB per partition, a real one its retention.bytes";
        Err(Failure::new(Exit::NeedsPerson, "kafka", what).hint(hint))
    }
}

fn counted_records(records: u64) -> String {
    usize::try_from(records).map_or_else(|_| format!("{records} records"), |records| counted(records, "record"))
}
