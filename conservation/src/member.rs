//! One member process: started, watched, signalled.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use loadlock::cli::Exit;
use loadlock_conservation::strike::{Action, Strike};
use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// Lines of a log that are shown when a member ends as it must not.
const LINES_SHOWN: usize = 15;

/// What a member is started with.
pub(crate) struct Orders {
    /// The loader itself, which can be struck from outside only.
    pub(crate) plain: bool,
    pub(crate) strikes: Vec<Strike>,
    pub(crate) weakened: Option<String>,
}

/// A running member; killed when dropped.
pub(crate) struct Member {
    child: Child,
    pub(crate) client: String,
    struck: PathBuf,
    log: PathBuf,
    lines_read: usize,
    /// Stopped, and to be continued then.
    pub(crate) stopped_until: Option<Instant>,
    /// The point at which it has killed itself.
    killed_at: Option<String>,
    asked_to_drain: bool,
}

/// How a member ended.
pub(crate) enum Ended {
    /// By SIGKILL, at a point or from outside.
    Killed(Option<String>),
    /// It was asked to, and finished what was open.
    Drained,
    /// It asks to be started again.
    GaveUp,
}

impl Member {
    /// Starts a member of that name; its files are in `dir`.
    pub(crate) fn start(
        bin: &Path,
        dir: &Path,
        client: String,
        config: &str,
        orders: &Orders,
    ) -> Result<Self, Failure> {
        let file = |extension: &str| dir.join(format!("{client}.{extension}"));
        let (config_file, struck, log) = (file("toml"), file("struck"), file("log"));
        let failed = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
        std::fs::write(&config_file, config).map_err(|error| failed(&config_file, error))?;
        let stderr = File::create(&log).map_err(|error| failed(&log, error))?;
        let program = bin.join(if orders.plain { "loadlock" } else { "loadlock-member" });
        let mut command = Command::new(&program);
        if orders.plain {
            command.args(["run", "--log-format", "json"]);
        } else {
            command.arg("--struck").arg(&struck);
            for strike in &orders.strikes {
                command.args(["--strike", &strike.to_string()]);
            }
            if let Some(weakened) = &orders.weakened {
                command.args(["--weakened", weakened]);
            }
        }
        command.arg("--config").arg(&config_file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(|error| failed(&program, error))?;
        let (stopped_until, killed_at) = (None, None);
        Ok(Self { child, client, struck, log, lines_read: 0, stopped_until, killed_at, asked_to_drain: false })
    }

    /// Points at which it has stopped itself since the last look.
    pub(crate) fn new_stops(&mut self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.struck).unwrap_or_default();
        let new: Vec<&str> = text.split_inclusive('\n').skip(self.lines_read).filter(|l| l.ends_with('\n')).collect();
        self.lines_read += new.len();
        let mut stops = Vec::new();
        for line in new {
            let Some((point, action)) = line.trim_end().rsplit_once(' ') else { continue };
            if action == Action::Stop.word() {
                stops.push(point.to_owned());
            } else {
                self.killed_at = Some(point.to_owned());
            }
        }
        stops
    }

    /// Stops it for a while, or notes that it has stopped itself.
    pub(crate) fn stop(&mut self, now: Instant, time: Duration) {
        self.signal(Signal::STOP);
        self.stopped_until = Some(now + time);
    }

    /// Continues it when its time has come.
    pub(crate) fn continue_if_due(&mut self, now: Instant) {
        if self.stopped_until.is_some_and(|until| now >= until) {
            self.go_on();
        }
    }

    pub(crate) fn go_on(&mut self) {
        self.stopped_until = None;
        self.signal(Signal::CONT);
    }

    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// SIGTERM.
    pub(crate) fn drain(&mut self) {
        if !self.asked_to_drain {
            self.asked_to_drain = true;
            self.signal(Signal::TERM);
        }
    }

    /// How it has ended, if it has.
    ///
    /// # Errors
    /// When it ended in a way that no supervisor may answer with a restart.
    pub(crate) fn ended(&mut self) -> Result<Option<Ended>, Failure> {
        let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? else { return Ok(None) };
        self.new_stops();
        if status.signal() == Some(Signal::KILL.as_raw()) {
            return Ok(Some(Ended::Killed(self.killed_at.take())));
        }
        // Asked before it could hear: nothing was open yet.
        if status.signal() == Some(Signal::TERM.as_raw()) && self.asked_to_drain {
            return Ok(Some(Ended::Drained));
        }
        match status.code() {
            Some(code) if code == i32::from(Exit::Drained.code()) && self.asked_to_drain => Ok(Some(Ended::Drained)),
            Some(code) if code == i32::from(Exit::GaveUp.code()) => Ok(Some(Ended::GaveUp)),
            _ => Err(self.wrong(status)),
        }
    }

    fn wrong(&self, status: ExitStatus) -> Failure {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LINES_SHOWN)..).unwrap_or_default().join("\n");
        format!("member {} ended with {status}, which needs a person\n{last}", self.client)
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // It may have ended this very moment.
        let _ = id.map(|id| kill_process(id, signal));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
