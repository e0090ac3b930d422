//! Runs one case: sends, waits, compares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use loadlock_sandbox::EngineKind;

use crate::answer::{Came, HttpAnswer, shown};
use crate::engine::{HOPS_MAX, Target, statement};
use crate::http::{Exchange, Ready, Sent, open};
use crate::mysql::Client;
use crate::report::Failure;
use crate::script::{Action, Case, Header, Line, Move, Node, Request, StateOf, Step, To};
use crate::wanted::{Wanted, check, check_rows, find};
use crate::when::{Place, When};

/// How long a state or an `eventually` may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a sandbox and at a real engine.
const PAUSE: (Duration, Duration) = (Duration::from_millis(15), Duration::from_millis(300));

/// What came of a case.
pub(crate) enum Outcome {
    Passed,
    /// A real engine does otherwise where it may.
    Differs(Vec<Failure>),
    Failed(Failure),
}

/// A step that was not as wanted: the line, what was wanted, whether a real engine may do so.
struct Unmet {
    line: usize,
    wanted: String,
    may_differ: bool,
}

struct Run {
    target: Arc<Target>,
    case: Case,
    /// Makes names of this case its own.
    number: usize,
    names: BTreeMap<String, String>,
    client: Option<Client>,
    held: BTreeMap<String, Exchange>,
    /// What the last step sent.
    sent: String,
}

/// Runs a case from which other versions and kinds of engines were taken out.
pub(crate) async fn run(target: Arc<Target>, case: Case, number: usize) -> Outcome {
    let place = target.place;
    let case_may_differ = place == Place::Real && case.when.may_differ.is_some();
    let mut run = Run {
        names: BTreeMap::from([
            ("DB".to_owned(), target.database.clone()),
            ("RUN".to_owned(), target.run.clone()),
            ("VERSION".to_owned(), target.version.to_string()),
        ]),
        target,
        case,
        number,
        client: None,
        held: BTreeMap::new(),
        sent: String::new(),
    };
    let mut differences = Vec::new();
    if let Err(error) = run.make_table().await {
        return Outcome::Failed(run.failure(run.case.at.line, "the table of the case", &error));
    }
    for step in run.case.steps.clone() {
        match run.step(&step).await {
            Err(error) => return Outcome::Failed(run.failure(step.line, "", &error)),
            Ok((came, unmet)) => {
                for Unmet { line, wanted, may_differ } in unmet {
                    let failure = run.failure(line, &wanted, &came);
                    if case_may_differ {
                        return Outcome::Differs(vec![failure]);
                    }
                    if !may_differ {
                        return Outcome::Failed(failure);
                    }
                    differences.push(failure);
                }
            }
        }
    }
    if differences.is_empty() { Outcome::Passed } else { Outcome::Differs(differences) }
}

fn nth(nodes: &[String], number: usize) -> Result<String, String> {
    nodes.get(number - 1).cloned().ok_or_else(|| format!("there are only {} such nodes", nodes.len()))
}

impl Run {
    fn failure(&self, line: usize, wanted: &str, came: &str) -> Failure {
        Failure {
            file: self.case.at.file.clone(),
            line,
            case: self.case.name.clone(),
            sent: self.hidden(&self.sent),
            came: self.hidden(came),
            wanted: wanted.to_owned(),
        }
    }

    /// Without the password of a real engine.
    fn hidden(&self, text: &str) -> String {
        let password = &self.target.at.password;
        if self.target.place == Place::Sandbox || password.is_empty() {
            return text.to_owned();
        }
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        text.replace(&self.target.basic(), "(the account)").replace(password, "***").replace(&encoded, "***")
    }

    /// Makes the table `$T`, if the case has one and speaks of it.
    async fn make_table(&mut self) -> Result<(), String> {
        let Some(table) = self.case.table.clone() else { return Ok(()) };
        let statement = self.expand(&format!("CREATE TABLE $T {table}"))?;
        self.sent = format!("sql {statement}");
        match self.sql(&statement).await? {
            Came::SqlError(error) => Err(error),
            Came::Rows(..) | Came::Http(_) | Came::Closed(_) => Ok(()),
        }
    }

    /// Takes a step: what came, and what of the wishes is unmet.
    async fn step(&mut self, step: &Step) -> Result<(String, Vec<Unmet>), String> {
        let began = Instant::now();
        loop {
            let came = match &step.action {
                Action::State(of) | Action::Until(of) => return self.state(step, of).await,
                Action::Move(action) => {
                    self.move_engine(*action).await?;
                    return Ok((String::new(), Vec::new()));
                }
                Action::Drop { held } => {
                    self.held.remove(held).ok_or_else(|| format!("nothing is held as {held}"))?;
                    return Ok((String::new(), Vec::new()));
                }
                Action::Send(request) => self.send(request).await?,
                Action::Finish { held, body } => Some(self.finish(held, body).await?),
                Action::Sql(statement) => {
                    let statement = self.expand(statement)?;
                    self.sent = format!("sql {statement}");
                    Some(self.sql(&statement).await?)
                }
            };
            let Some(came) = came else {
                return match step.wanted.first() {
                    None => Ok((String::new(), Vec::new())),
                    Some(_) => Err("the body is held, so the answer is still to come".to_owned()),
                };
            };
            let unmet = self.compare(&step.wanted, &came)?;
            if unmet.is_empty() || !step.eventually || began.elapsed() > PATIENCE {
                return Ok((came.to_string(), unmet));
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    /// What only a sandbox can do.
    async fn move_engine(&self, action: Move) -> Result<(), String> {
        let sandbox = self.target.sandbox.as_ref().ok_or("only a sandbox can do this")?;
        let kind = |node| match node {
            Node::Frontend => loadlock_sandbox::Node::Frontend,
            Node::Backend => loadlock_sandbox::Node::Backend,
        };
        let done = match action {
            Move::Clock(by) => {
                sandbox.advance(by).await;
                Ok(())
            }
            Move::Restart(Node::Frontend) => {
                sandbox.restart_frontend();
                Ok(())
            }
            Move::Restart(Node::Backend) => {
                sandbox.restart_backend();
                Ok(())
            }
            Move::Kill(node, number) => sandbox.kill(kind(node), number - 1).await,
            Move::Start(node, number) => sandbox.revive(kind(node), number - 1).await,
            Move::Lead(number) => sandbox.lead(number - 1).await,
        };
        done.map_err(|error| error.to_string())
    }

    fn pause(&self) -> Duration {
        if self.target.place == Place::Sandbox { PAUSE.0 } else { PAUSE.1 }
    }

    fn may_differ(&self, when: &When) -> bool {
        self.target.place == Place::Real && when.may_differ.is_some()
    }

    fn compare(&mut self, wanted: &[Line<Wanted>], came: &Came) -> Result<Vec<Unmet>, String> {
        let mut unmet = Vec::new();
        let mut rows = Vec::new();
        for Line { line, when, what } in wanted {
            let what = self.expanded(what)?;
            let unmet_by = |wanted: &Wanted, may_differ| Unmet { line: *line, wanted: wanted.to_string(), may_differ };
            if !check(&what, came) {
                unmet.push(unmet_by(&what, self.may_differ(when)));
            } else if let Wanted::Named(part, name) = &what {
                let value = find(part, came).map(|value| shown(&value)).unwrap_or_default();
                self.names.insert(name.clone(), value);
            }
            if let Wanted::Row(row) = what {
                rows.push((*line, row, self.may_differ(when)));
            }
        }
        let texts: Vec<String> = rows.iter().map(|(_, row, _)| row.clone()).collect();
        if let Some((line, _, may_differ)) = rows.first()
            && matches!(came, Came::Rows(..))
            && !check_rows(&texts, came)
        {
            unmet.push(Unmet { line: *line, wanted: format!("rows\n{}", texts.join("\n")), may_differ: *may_differ });
        }
        Ok(unmet)
    }

    fn expanded(&mut self, wanted: &Wanted) -> Result<Wanted, String> {
        Ok(match wanted {
            Wanted::Part(part, test) => Wanted::Part(part.clone(), test.map(|text| self.expand(text))?),
            Wanted::Row(row) => Wanted::Row(self.expand(row)?),
            other @ (Wanted::Status(_)
            | Wanted::Closed
            | Wanted::Redirect { .. }
            | Wanted::Continue(_)
            | Wanted::Rows(_)
            | Wanted::Named(..)) => other.clone(),
        })
    }

    /// Puts values in the place of variables. `$L…` is a label, `$T…` a table that nobody else uses.
    fn expand(&mut self, text: &str) -> Result<String, String> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('$') {
            out.push_str(before);
            let length = behind.bytes().take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
            let (name, tail) = behind.split_at(length);
            if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
                out.push('$');
                rest = behind;
                continue;
            }
            out.push_str(&self.value(name)?);
            rest = tail;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&mut self, name: &str) -> Result<String, String> {
        if let Some(value) = self.names.get(name) {
            return Ok(value.clone());
        }
        let own = name.to_ascii_lowercase();
        let value = match name.as_bytes()[0] {
            b'L' => format!("{}-{}-{own}", self.target.database, self.number),
            b'T' => format!("{own}_{}", self.number),
            _ => return Err(format!("${name} has no value")),
        };
        self.names.insert(name.to_owned(), value.clone());
        Ok(value)
    }

    async fn sql(&mut self, statement_text: &str) -> Result<Came, String> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.target.log_in(&self.target.database).await?,
        };
        let came = statement(&mut client, statement_text).await;
        self.client = Some(client);
        Ok(came)
    }

    /// Asks for a label's state, once or until it is the wanted one.
    async fn state(&mut self, step: &Step, of: &StateOf) -> Result<(String, Vec<Unmet>), String> {
        let path = format!("/api/$DB/get_load_state?label=${}", of.label);
        let request = Request {
            method: "GET".to_owned(),
            path,
            to: To::Follow,
            held: None,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let field = if self.target.kind == EngineKind::StarRocks { "state" } else { "data" };
        let began = Instant::now();
        loop {
            let came = self.send(&request).await?.ok_or("no answer to the question for a state")?;
            if came.field(field).is_some_and(|state| shown(&state) == of.state) {
                return Ok((String::new(), Vec::new()));
            }
            if matches!(step.action, Action::State(_)) || began.elapsed() > PATIENCE {
                let may_differ = self.may_differ(&step.when);
                let unmet = Unmet { line: step.line, wanted: format!("state {}", of.state), may_differ };
                return Ok((came.to_string(), vec![unmet]));
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    fn ready(&mut self, request: &Request) -> Result<Ready, String> {
        let mut written = vec![("Authorization".to_owned(), self.target.basic())];
        let mut has_length = !matches!(request.method.as_str(), "GET" | "HEAD");
        for Line { what, .. } in &request.headers {
            let (Header::Set(name, _) | Header::Without(name)) = what;
            written.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            has_length &= !["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str());
            if let Header::Set(name, value) = what {
                written.push((name.clone(), value.clone()));
            }
        }
        let expanded = written.into_iter().map(|(name, value)| Ok((name, self.expand(&value)?)));
        let mut headers = expanded.collect::<Result<Vec<_>, String>>()?;
        let body = self.body(&request.body)?;
        if has_length {
            headers.push(("Content-Length".to_owned(), body.len().to_string()));
        }
        Ok(Ready { method: request.method.clone(), path: self.expand(&request.path)?, headers, body })
    }

    fn body(&mut self, lines: &[Line<String>]) -> Result<Vec<u8>, String> {
        let lines: Vec<String> = lines.iter().map(|line| self.expand(&line.what)).collect::<Result<_, _>>()?;
        Ok(lines.join("\n").into_bytes())
    }

    /// Sends a request; `None` if its body is held.
    async fn send(&mut self, request: &Request) -> Result<Option<Came>, String> {
        let mut ready = self.ready(request)?;
        let mut node = match request.to {
            // A real engine's frontends are all spoken to.
            To::Follow if self.target.place == Place::Real => {
                self.target.at.frontends[self.number % self.target.at.frontends.len()].clone()
            }
            To::Follow => self.target.at.frontends[0].clone(),
            To::Frontend(number) => nth(&self.target.at.frontends, number)?,
            To::Backend(number) => nth(&self.target.backends, number)?,
        };
        // The address of an error log is whole.
        if let Some((whole, path)) = self.target.follow(&ready.path) {
            (node, ready.path) = (whole, path);
        }
        self.sent = format!("{}{}", ready.head(&node), String::from_utf8_lossy(&ready.body));
        let (path, mut way) = (ready.path.clone(), Vec::new());
        loop {
            way.push(node.clone());
            let answer = match open(&node, ready.clone()).await {
                Err(why) => return Ok(Some(Came::Closed(why))),
                Ok(Sent::Answered(answer)) => answer,
                Ok(Sent::Open(mut exchange)) => {
                    if let Some(name) = &request.held {
                        exchange.push(&ready.body).await?;
                        self.held.insert(name.clone(), exchange);
                        return Ok(None);
                    }
                    match exchange.finish(&ready.body).await {
                        Err(why) => return Ok(Some(Came::Closed(why))),
                        Ok(answer) => answer,
                    }
                }
            };
            let next = answer.header("location").and_then(|location| self.target.follow(location));
            match next {
                Some((next, path)) if answer.status == 307 && request.to == To::Follow && way.len() <= HOPS_MAX => {
                    (node, ready.path) = (next, path);
                }
                _ => return Ok(Some(Came::Http(Box::new(HttpAnswer { path, way, ..answer })))),
            }
        }
    }

    async fn finish(&mut self, held: &str, body: &[Line<String>]) -> Result<Came, String> {
        let rest = self.body(body)?;
        let exchange = self.held.remove(held).ok_or_else(|| format!("nothing is held as {held}"))?;
        self.sent = format!("the rest of {held}\n{}", String::from_utf8_lossy(&rest));
        Ok(exchange.finish(&rest).await.map_or_else(Came::Closed, |answer| Came::Http(Box::new(answer))))
    }
}
