//! The broker's troubles, by `scripts/kafka`: killed and started again, or frozen for a while.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Failure;

/// Time in which every member comes to its next commit; shorter than its session.
const HELD: Duration = Duration::from_millis(2_500);

/// A broker that may be struck; one trouble at a time, beside everything else.
pub(crate) struct Broker {
    script: PathBuf,
    name: String,
    trouble: Option<JoinHandle<Result<(), Failure>>>,
    pub(crate) restarts: u64,
    pub(crate) freezes: u64,
}

impl Broker {
    pub(crate) fn new(script: PathBuf, name: String) -> Self {
        Self { script, name, trouble: None, restarts: 0, freezes: 0 }
    }

    /// Holds it still for a while, so that every member has a request under way, then kills and starts it.
    pub(crate) fn restart(&mut self) {
        let steps = self.steps(&["pause", "restart"], HELD);
        self.restarts += 1;
        self.trouble = Some(steps);
    }

    /// Takes it away without breaking a connection.
    pub(crate) fn freeze(&mut self, time: Duration) {
        let steps = self.steps(&["pause", "resume"], time);
        self.freezes += 1;
        self.trouble = Some(steps);
    }

    /// True while a trouble lasts.
    ///
    /// # Errors
    /// When the broker does not come back.
    pub(crate) fn is_away(&mut self) -> Result<bool, Failure> {
        match self.trouble.take_if(|trouble| trouble.is_finished()) {
            Some(trouble) => trouble.join().map_err(|_| "the broker's thread died".to_owned())?.map(|()| false),
            None => Ok(self.trouble.is_some()),
        }
    }

    fn steps(&self, verbs: &'static [&'static str; 2], between: Duration) -> JoinHandle<Result<(), Failure>> {
        let (script, name) = (self.script.clone(), self.name.clone());
        thread::spawn(move || {
            let call = |verb: &str| {
                let mut command = Command::new(&script);
                command.args([verb, "--name", &name]).stdout(Stdio::null()).stderr(Stdio::piped());
                // With it the script takes the cluster for somebody else's.
                command.env_remove("KAFKA_BROKERS");
                let output = command.output().map_err(|error| format!("{}: {error}", script.display()))?;
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if output.status.success() { Ok(()) } else { Err(format!("scripts/kafka {verb}: {said}")) }
            };
            call(verbs[0])?;
            thread::sleep(between);
            call(verbs[1])
        })
    }
}
