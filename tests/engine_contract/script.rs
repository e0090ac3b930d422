//! Cases as data: what a transcript says, before anything is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wanted::Wanted;
use crate::when::{Place, Version, When};

/// What all files of a directory know by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) requests: BTreeMap<String, Request>,
    /// Steps that bring a case to where it begins.
    pub(crate) givens: BTreeMap<String, Vec<Step>>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// A case: what is sent, one step after the other, and what has to come back.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) at: At,
    pub(crate) name: String,
    pub(crate) when: When,
    /// Columns and what follows them, of the table `$T`.
    pub(crate) table: Option<String>,
    /// Settings of the sandbox that the case runs against.
    pub(crate) config: Vec<Line<Setting>>,
    pub(crate) steps: Vec<Step>,
}

/// A line with its conditions.
#[derive(Clone, Debug)]
pub(crate) struct Line<T> {
    pub(crate) line: usize,
    pub(crate) when: When,
    pub(crate) what: T,
}

/// A setting by the engine's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: u64,
}

/// One step of a case.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) line: usize,
    pub(crate) when: When,
    /// Taken again until all that is wanted comes.
    pub(crate) eventually: bool,
    pub(crate) action: Action,
    pub(crate) wanted: Vec<Line<Wanted>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// `> POST /path`, `> begin`.
    Send(Request),
    /// `finish A`: sends the rest of a body that was held, and takes the answer.
    Finish { held: String, body: Vec<Line<String>> },
    /// `drop A`: closes the connection of a body that was held.
    Drop { held: String },
    /// `sql STATEMENT`.
    Sql(String),
    /// `state X`: the label's state is this one.
    State(StateOf),
    /// `until state X`: it comes to be.
    Until(StateOf),
    /// What only a sandbox can do.
    Move(Move),
}

/// A change of time or nodes. Nodes are counted from 1.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Move {
    /// `clock +25h`.
    Clock(Duration),
    /// `restart frontend`: the first one.
    Restart(Node),
    /// `kill backend 2`.
    Kill(Node, usize),
    /// `start backend 2`: what was killed.
    Start(Node, usize),
    /// `lead frontend 2`: it becomes the leader.
    Lead(usize),
}

/// A state and the variable of its label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateOf {
    pub(crate) state: String,
    pub(crate) label: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Frontend,
    Backend,
}

/// A request as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) to: To,
    /// The body is begun and not ended; the connection gets a name.
    pub(crate) held: Option<String>,
    pub(crate) headers: Vec<Line<Header>>,
    pub(crate) body: Vec<Line<String>>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// To a frontend, and on to where it redirects.
    Follow,
    /// To a frontend; a redirect is an answer like others. Nodes are counted from 1.
    Frontend(usize),
    /// To a backend.
    Backend(usize),
}

/// A header line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// `name: value`; takes the place of one of that name.
    Set(String, String),
    /// `-name`: not sent.
    Without(String),
}

/// The line of a part, or that it is left out.
type Keep<'k> = &'k dyn Fn(&When, usize) -> Option<usize>;

fn kept<T: Clone>(lines: &[Line<T>], keep: Keep<'_>) -> Vec<Line<T>> {
    let kept = |old: &Line<T>| keep(&old.when, old.line).map(|line| Line { line, ..old.clone() });
    lines.iter().filter_map(kept).collect()
}

impl Step {
    fn kept(&self, keep: Keep<'_>) -> Option<Self> {
        let line = keep(&self.when, self.line)?;
        let action = match &self.action {
            Action::Send(request) => Action::Send(Request {
                headers: kept(&request.headers, keep),
                body: kept(&request.body, keep),
                ..request.clone()
            }),
            Action::Finish { held, body } => Action::Finish { held: held.clone(), body: kept(body, keep) },
            other @ (Action::Drop { .. } | Action::Sql(_) | Action::State(_) | Action::Until(_) | Action::Move(_)) => {
                other.clone()
            }
        };
        Some(Self { line, action, wanted: kept(&self.wanted, keep), ..self.clone() })
    }

    /// The step as a line of another file has it.
    pub(crate) fn included_at(&self, line: usize) -> Self {
        self.kept(&|_, _| Some(line)).unwrap_or_else(|| self.clone())
    }
}

impl Case {
    /// Whether the clock, the nodes or the settings of the engine are changed: such a case shares its sandbox with none.
    pub(crate) fn moves_the_engine(&self) -> bool {
        let moves = |step: &Step| matches!(step.action, Action::Move(_));
        !self.config.is_empty() || self.steps.iter().any(moves)
    }

    /// The case without what isn't for this version and kind of engine.
    pub(crate) fn select(&self, version: Version, place: Place) -> Self {
        let keep = |when: &When, line| when.holds(version, place).then_some(line);
        let steps = self.steps.iter().filter_map(|step| step.kept(&keep)).collect();
        Self { steps, config: kept(&self.config, &keep), ..self.clone() }
    }

    /// The conditions in it, each with its line.
    pub(crate) fn conditions(&self) -> Vec<(usize, &When)> {
        let mut all = vec![(self.at.line, &self.when)];
        all.extend(self.config.iter().map(|line| (line.line, &line.when)));
        for step in &self.steps {
            all.push((step.line, &step.when));
            all.extend(step.wanted.iter().map(|line| (line.line, &line.when)));
            match &step.action {
                Action::Send(request) => {
                    all.extend(request.headers.iter().map(|line| (line.line, &line.when)));
                    all.extend(request.body.iter().map(|line| (line.line, &line.when)));
                }
                Action::Finish { body, .. } => all.extend(body.iter().map(|line| (line.line, &line.when))),
                Action::Drop { .. } | Action::Sql(_) | Action::State(_) | Action::Until(_) | Action::Move(_) => {}
            }
        }
        all
    }
}

/// Cases and lines that hold for none of the versions: nothing would ever look at them.
pub(crate) fn never_looked_at(cases: &[Case], versions: &[Version]) -> Vec<String> {
    let mut found = Vec::new();
    for case in cases {
        let of_case: Vec<Version> = versions.iter().copied().filter(|version| case.when.fits(*version)).collect();
        let lines =
            case.conditions().into_iter().filter(|(_, when)| !of_case.iter().any(|version| when.fits(*version)));
        found.extend(lines.map(|(line, _)| format!("{}:{line}: {}: no version fits", case.at.file, case.name)));
    }
    found.dedup();
    found
}
