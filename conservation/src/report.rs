//! What a run has shown, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::fleet::Tally;
use crate::judge::Verdict;

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) engine: &'static str,
    pub(crate) weakened: Option<String>,
    pub(crate) partitions: i32,
    pub(crate) tables: usize,
    /// Records whose transaction the producer knows to be committed.
    pub(crate) acknowledged: u64,
    /// Committed records in the topic.
    pub(crate) records: u64,
    /// Aborted records between them.
    pub(crate) aborted_records: u64,
    pub(crate) verdict: Verdict,
    pub(crate) members: Tally,
    /// Faults and restarts of the engine that have happened.
    pub(crate) engine_happened: BTreeMap<String, u64>,
    pub(crate) broker_restarts: u64,
    pub(crate) broker_freezes: u64,
    /// What the members' logs speak of; informative, nothing is judged by it.
    pub(crate) log: Log,
    /// Seconds from a kill to the next position of all partitions of the killed member, sorted.
    pub(crate) recoveries: Vec<f64>,
    /// Points that had to be hit and were not.
    pub(crate) never_hit: Vec<&'static str>,
    pub(crate) seconds: u64,
}

/// Counts of lines in the logs of all members.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Log {
    pub(crate) assignments: u64,
    pub(crate) settled_visible: u64,
    pub(crate) settled_aborted: u64,
    pub(crate) rejoined: u64,
}

impl Report {
    /// True if the run has shown what it was meant to.
    pub(crate) fn is_good(&self) -> bool {
        if self.weakened.is_some() {
            return self.verdict.is_damaged();
        }
        let whole = self.records >= self.acknowledged && self.aborted_records > 0;
        self.verdict.is_clean() && self.never_hit.is_empty() && whole
    }
}

fn list(of: &BTreeMap<String, u64>) -> String {
    of.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, members, log, .. } = self;
        writeln!(f, "engine            {}", self.engine)?;
        writeln!(
            f,
            "records           {} committed ({} acknowledged), {} aborted between them",
            self.records, self.acknowledged, self.aborted_records
        )?;
        writeln!(f, "rows              {} in {} tables", verdict.rows, self.tables)?;
        writeln!(
            f,
            "judge             {} missing, {} doubled, {} of aborted records, {} strange",
            verdict.missing, verdict.doubled, verdict.aborted, verdict.strange
        )?;
        for shown in &verdict.shown {
            writeln!(f, "                  {shown}")?;
        }
        writeln!(f, "kills             {}: {}", members.killed(), list(&members.kills))?;
        writeln!(f, "stops             {}: {}", members.stopped(), list(&members.stops))?;
        writeln!(
            f,
            "members           {} started, {} drained, {} gave up",
            members.started, members.drained, members.gave_up
        )?;
        writeln!(f, "engine            {}", list(&self.engine_happened))?;
        writeln!(f, "broker            {} restarts, {} times frozen", self.broker_restarts, self.broker_freezes)?;
        writeln!(
            f,
            "logs              {} assignments, {} intents settled as visible, {} as aborted, {} times joined anew",
            log.assignments, log.settled_visible, log.settled_aborted, log.rejoined
        )?;
        if let (Some(median), Some(worst)) = (self.recoveries.get(self.recoveries.len() / 2), self.recoveries.last()) {
            let count = self.recoveries.len();
            writeln!(f, "recovery          {median:.1} s in the median of {count}, {worst:.1} s at worst")?;
        }
        if !self.never_hit.is_empty() {
            writeln!(f, "never hit         {}", self.never_hit.join(", "))?;
        }
        writeln!(f, "seconds           {}", self.seconds)?;
        match (&self.weakened, self.is_good()) {
            (Some(weakened), true) => {
                let Verdict { doubled, missing, .. } = verdict;
                write!(f, "{weakened}: the judge saw {doubled} doubled, {missing} missing")
            }
            (Some(weakened), false) => write!(f, "{weakened}: the judge saw no damage, so this run shows nothing"),
            (None, true) => write!(f, "each record once"),
            (None, false) => write!(f, "FAILED"),
        }
    }
}
