//! Reads transcripts. Pure: a text in, cases or `file:line: what is wrong` out.

use std::time::Duration;

use crate::script::{Action, At, Case, Header, Line, Move, Node, Request, Setting, Shared, StateOf, Step, To};
use crate::wanted::{Wanted, is_name};
use crate::when::{Place, When, leading, trailing};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE"];

/// Reads what all files of a directory know by name.
pub(crate) fn shared(file: &str, text: &str) -> Result<Shared, String> {
    let reader = Reader::read(file, text, Shared::default(), true)?;
    let mut shared = reader.shared;
    if shared.requests.is_empty() {
        return Err(format!("{file}: no requests in it"));
    }
    for given in reader.cases {
        let at = given.at.line;
        if shared.givens.insert(given.name.clone(), given.steps).is_some() {
            return Err(format!("{file}:{at}: there are steps {} already", given.name));
        }
    }
    Ok(shared)
}

/// Reads a file of cases.
pub(crate) fn cases(file: &str, text: &str, shared: &Shared) -> Result<Vec<Case>, String> {
    let reader = Reader::read(file, text, shared.clone(), false)?;
    if reader.cases.is_empty() {
        return Err(format!("{file}: no cases in it"));
    }
    let mut names = std::collections::BTreeMap::new();
    for case in &reader.cases {
        if let Some(line) = names.insert(case.name.as_str(), case.at.line) {
            return Err(format!("{file}:{}: the name is used in line {line}", case.at.line));
        }
    }
    reader.cases.iter().try_for_each(check)?;
    Ok(reader.cases)
}

/// What a whole case must be.
fn check(case: &Case) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{}:{}: {}: {what}", case.at.file, case.at.line, case.name));
    let wants = |step: &Step| !step.wanted.is_empty() || matches!(step.action, Action::State(_) | Action::Until(_));
    if !case.steps.iter().any(wants) {
        return wrong("nothing is wanted, so it can't fail");
    }
    if case.moves_the_engine() && case.when.only != Some(Place::Sandbox) {
        return wrong("clock, restarts and settings are not a client's: mark it [sandbox only]");
    }
    Ok(())
}

/// What a line that continues another one goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    /// A named request.
    Request,
    Table,
    Step,
}

struct Reader<'f> {
    file: &'f str,
    shared: Shared,
    /// The file defines what others use; it has no cases.
    defines: bool,
    /// The table of the cases that follow.
    table: Option<String>,
    cases: Vec<Case>,
    open: Open,
    /// Name of the open request.
    named: String,
}

impl<'f> Reader<'f> {
    fn read(file: &'f str, text: &str, shared: Shared, defines: bool) -> Result<Self, String> {
        let (cases, open, named) = (Vec::new(), Open::Nothing, String::new());
        let mut reader = Self { file, shared, defines, table: None, cases, open, named };
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            reader.line(number, line).map_err(|what| format!("{file}:{number}: {what}"))?;
        }
        Ok(reader)
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if let Some(more) = line.strip_prefix("  ") {
            return self.continued(more.trim());
        }
        let line = line.trim_end();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let (when, line) = leading(line)?;
        let (word, rest) = line.split_once(' ').map_or((line, ""), |(word, rest)| (word, rest.trim_start()));
        if when != When::default() && ["request", "table", "case"].contains(&word) {
            return Err("brackets stand behind a case, before a line of it".to_owned());
        }
        match word {
            "request" => self.request(rest),
            "table" => self.table(rest),
            "case" if self.defines => Err("cases don't stand among what is shared".to_owned()),
            "case" => self.case(number, rest),
            "given" => self.given(number, &when, rest),
            ">" => self.sent(number, when, rest),
            "|" => self.body(number, when, line.strip_prefix("| ").unwrap_or_default()),
            "<" => {
                let what = Wanted::read(rest)?;
                let step = self.step()?;
                if !matches!(step.action, Action::Send(_) | Action::Finish { .. } | Action::Sql(_)) {
                    return Err("this step has no answer".to_owned());
                }
                step.wanted.push(Line { line: number, when, what });
                Ok(())
            }
            "config" => {
                let (name, value) = rest.split_once(' ').ok_or("say `config NAME NUMBER`")?;
                let value = value.trim().parse().map_err(|_| format!("{value} is no number"))?;
                let case = self.of_case()?;
                case.config.push(Line { line: number, when, what: Setting { name: name.to_owned(), value } });
                Ok(())
            }
            _ => {
                let (eventually, rest) = line.strip_prefix("eventually ").map_or((false, line), |rest| (true, rest));
                if let Some(request) = rest.strip_prefix("> ").filter(|_| eventually) {
                    return self.begin_request(number, when, request, true);
                }
                let action = action(rest)?;
                if eventually && !matches!(action, Action::Sql(_)) {
                    return Err("only requests and statements are taken again".to_owned());
                }
                self.begin(Step { line: number, when, eventually, action, wanted: Vec::new() })
            }
        }
    }

    /// Long tables and statements.
    fn continued(&mut self, more: &str) -> Result<(), String> {
        let text = match self.open {
            Open::Table => match self.cases.last_mut() {
                Some(case) => case.table.as_mut(),
                None => self.table.as_mut(),
            },
            Open::Step => match self.cases.last_mut().and_then(|case| case.steps.last_mut()) {
                Some(Step { action: Action::Sql(statement), .. }) => Some(statement),
                _ => None,
            },
            Open::Nothing | Open::Request => None,
        };
        let text = text.ok_or("there is no statement that goes on here")?;
        text.push(' ');
        text.push_str(more);
        Ok(())
    }

    fn request(&mut self, rest: &str) -> Result<(), String> {
        let (name, line) = rest.split_once(' ').ok_or("say `request NAME METHOD PATH`")?;
        let request = plain(line)?;
        if !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') || name.is_empty() {
            return Err(format!("{name} is no name: small letters and hyphens"));
        }
        name.clone_into(&mut self.named);
        self.open = Open::Request;
        match self.shared.requests.insert(name.to_owned(), request) {
            Some(_) => Err(format!("there is a request {name} already")),
            None => Ok(()),
        }
    }

    fn table(&mut self, rest: &str) -> Result<(), String> {
        if !rest.starts_with('(') {
            return Err("a table begins with its columns: `table (id BIGINT, …) …`".to_owned());
        }
        self.open = Open::Table;
        match self.cases.last_mut() {
            None => self.table = Some(rest.to_owned()),
            Some(case) if case.steps.is_empty() => case.table = Some(rest.to_owned()),
            Some(_) => return Err("the table stands before the steps".to_owned()),
        }
        Ok(())
    }

    fn case(&mut self, number: usize, rest: &str) -> Result<(), String> {
        let (name, when) = trailing(rest)?;
        if name.is_empty() {
            return Err("a case needs a name".to_owned());
        }
        self.open = Open::Nothing;
        self.cases.push(Case {
            at: At { file: self.file.to_owned(), line: number },
            name: name.to_owned(),
            when,
            table: self.table.clone(),
            config: Vec::new(),
            steps: Vec::new(),
        });
        Ok(())
    }

    /// Defines steps by name, or includes them.
    fn given(&mut self, number: usize, when: &When, name: &str) -> Result<(), String> {
        if self.defines {
            return self.case(number, name);
        }
        let steps = self.shared.givens.get(name).ok_or_else(|| format!("there are no steps {name}"))?;
        let included: Vec<Step> = steps.iter().map(|step| step.included_at(number)).collect();
        if *when != When::default() {
            return Err("steps by name are for all versions of the case".to_owned());
        }
        self.of_case()?.steps.extend(included);
        self.open = Open::Nothing;
        Ok(())
    }

    fn of_case(&mut self) -> Result<&mut Case, String> {
        self.cases.last_mut().ok_or_else(|| "this belongs into a case".to_owned())
    }

    fn step(&mut self) -> Result<&mut Step, String> {
        if self.open != Open::Step {
            return Err("there is no step before it".to_owned());
        }
        self.of_case()?.steps.last_mut().ok_or_else(|| "there is no step before it".to_owned())
    }

    fn begin(&mut self, step: Step) -> Result<(), String> {
        self.of_case()?.steps.push(step);
        self.open = Open::Step;
        Ok(())
    }

    /// A line behind `>`: a request, or a header of the last one.
    fn sent(&mut self, number: usize, when: When, text: &str) -> Result<(), String> {
        let Some(what) = header(text) else { return self.begin_request(number, when, text, false) };
        let line = Line { line: number, when, what };
        if self.open == Open::Request {
            let named = self.shared.requests.get_mut(&self.named);
            named.ok_or("there is no request before it")?.headers.push(line);
            return Ok(());
        }
        let step = self.step()?;
        if let Action::Send(request) = &mut step.action
            && step.wanted.is_empty()
        {
            request.headers.push(line);
            return Ok(());
        }
        Err("a header stands below its request, before what is wanted".to_owned())
    }

    fn begin_request(&mut self, number: usize, when: When, text: &str, eventually: bool) -> Result<(), String> {
        let name = text.split(' ').next().unwrap_or_default();
        let request = match self.shared.requests.get(name) {
            Some(named) => Request { ..with_words(named.clone(), &text[name.len()..])? },
            None => plain(text)?,
        };
        self.begin(Step { line: number, when, eventually, action: Action::Send(request), wanted: Vec::new() })
    }

    fn body(&mut self, number: usize, when: When, text: &str) -> Result<(), String> {
        let line = Line { line: number, when, what: text.to_owned() };
        let step = self.step()?;
        if let Action::Send(Request { body, .. }) | Action::Finish { body, .. } = &mut step.action
            && step.wanted.is_empty()
        {
            body.push(line);
            return Ok(());
        }
        Err("a body stands below its request, before what is wanted".to_owned())
    }
}

/// `name: value` or `-name`; a request has a space before any colon.
fn header(text: &str) -> Option<Header> {
    if let Some(name) = text.strip_prefix('-') {
        return (!name.contains(' ')).then(|| Header::Without(name.to_owned()));
    }
    let (name, value) = text.split_once(':')?;
    (!name.contains(' ') && !name.is_empty()).then(|| Header::Set(name.to_owned(), value.trim().to_owned()))
}

/// `METHOD PATH …`.
fn plain(text: &str) -> Result<Request, String> {
    let mut words = text.splitn(3, ' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !METHODS.contains(&method) {
        return Err(format!("there is no request {method}"));
    }
    if !path.starts_with(['/', '$']) {
        return Err(format!("`{path}` is no path"));
    }
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        to: To::Follow,
        held: None,
        headers: Vec::new(),
        body: Vec::new(),
    };
    with_words(request, words.next().unwrap_or_default())
}

/// `at frontend`, `at backend`, `held as A`.
fn with_words(mut request: Request, words: &str) -> Result<Request, String> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut rest = words.as_slice();
    loop {
        rest = match rest {
            [] => return Ok(request),
            ["at", node @ ("frontend" | "backend"), behind @ ..] => {
                let (number, behind) = match behind {
                    [number, behind @ ..] if number.bytes().all(|b| b.is_ascii_digit()) => (place(number)?, behind),
                    _ => (1, behind),
                };
                request.to = if *node == "frontend" { To::Frontend(number) } else { To::Backend(number) };
                behind
            }
            ["held", "as", name, behind @ ..] => {
                request.held = Some((*name).to_owned());
                behind
            }
            _ => return Err(format!("`{}` is not understood", rest.join(" "))),
        };
    }
}

/// Steps that are no requests.
fn action(text: &str) -> Result<Action, String> {
    if let Some(statement) = text.strip_prefix("sql ") {
        return Ok(Action::Sql(statement.trim().to_owned()));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(match words[..] {
        ["finish", held] => Action::Finish { held: held.to_owned(), body: Vec::new() },
        ["drop", held] => Action::Drop { held: held.to_owned() },
        ["state", state] => Action::State(state_of(state, "$L")?),
        ["state", state, "of", label] => Action::State(state_of(state, label)?),
        ["until", "state", state] => Action::Until(state_of(state, "$L")?),
        ["until", "state", state, "of", label] => Action::Until(state_of(state, label)?),
        ["clock", by] => Action::Move(Move::Clock(duration(by)?)),
        ["restart", kind] => Action::Move(Move::Restart(node(kind)?)),
        ["kill", kind, number] => Action::Move(Move::Kill(node(kind)?, place(number)?)),
        ["start", kind, number] => Action::Move(Move::Start(node(kind)?, place(number)?)),
        ["lead", "frontend", number] => Action::Move(Move::Lead(place(number)?)),
        _ => return Err(format!("`{text}` is not understood")),
    })
}

fn state_of(state: &str, label: &str) -> Result<StateOf, String> {
    let label =
        label.strip_prefix('$').filter(|name| is_name(name)).ok_or_else(|| format!("{label} is no variable"))?;
    Ok(StateOf { state: state.to_owned(), label: label.to_owned() })
}

fn node(text: &str) -> Result<Node, String> {
    match text {
        "frontend" => Ok(Node::Frontend),
        "backend" => Ok(Node::Backend),
        other => Err(format!("{other} is no node: frontend or backend")),
    }
}

/// The number of a node.
fn place(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("{text} is no number of a node"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no step of the clock: say +30s, +5m, +2h or +3d");
    let rest = text.strip_prefix('+').ok_or_else(wrong)?;
    let unit = rest.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = rest[..rest.len() - 1].parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
