//! The HTTP client of the loader: redirects by hand, credentials to trusted hosts only, deadlines on everything.

mod body;
mod connect;
mod exchange;
mod redirect;
mod upload;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{Empty, Full};
use tokio::time::timeout;
use zeroize::Zeroizing;

pub use connect::{Network, Opened, SetupError, Stream};
pub(super) use upload::Upload;

use self::exchange::{ANSWER_LIMIT, Raw, exchange};
use self::redirect::{Node, Rules, Trust};
use self::upload::Opening;
use super::engine::{Call, Response, Step};
use super::failure::ERROR_LOG_BYTES;
use super::question::Question;
use crate::config::{Engine, Timeouts};

/// Most redirects of one call: follower, leader, backend, and some in reserve.
const HOPS: usize = 5;
/// Time for reading an engine's error log: it only explains a failure that is known already.
const ERROR_LOG_TIME: Duration = Duration::from_secs(5);

/// Performs calls at the engine's nodes.
pub(super) struct Client {
    frontends: Vec<Node>,
    /// Number of the frontend that answered last.
    current: AtomicUsize,
    rules: Rules,
    authorization: HeaderValue,
    network: Network,
    timeouts: Timeouts,
    /// Hosts that a redirect made trusted, each logged once.
    trusted: Mutex<HashSet<String>>,
}

/// Outcome of a call that got through.
pub(super) enum Outcome {
    /// An answer, and the node that gave it.
    Answered {
        /// `host:port`.
        at: String,
        /// The answer.
        response: Response,
        /// True if a frontend answered itself instead of redirecting.
        first: bool,
    },
    /// A node that takes the body.
    Upload(Upload),
}

/// A call that did not get through. The texts name the node and hold no credentials.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection: the request can't have had an effect.
    NotSent {
        /// Why.
        what: String,
        /// True if it is the frontend that can't be reached.
        frontend: bool,
    },
    /// Sent, but without an answer: the effect is not known.
    Lost(String),
    /// Not sent, and another try would end alike.
    Refused(String),
}

impl Client {
    pub(super) fn new(engine: &Engine, network: Network) -> Result<Self, SetupError> {
        let frontends = engine.frontends.iter().map(|uri| {
            Node::of(uri)
                .ok_or_else(|| SetupError::Frontend(uri.host().unwrap_or("an address without host").to_owned()))
        });
        let frontends: Vec<_> = frontends.collect::<Result<_, _>>()?;
        if frontends.is_empty() {
            return Err(SetupError::NoFrontend);
        }
        Ok(Self {
            rules: Rules::new(engine, &frontends).map_err(SetupError::Backend)?,
            frontends,
            current: AtomicUsize::new(0),
            authorization: basic(&engine.user, engine.password.expose()),
            network,
            timeouts: engine.timeouts,
            trusted: Mutex::default(),
        })
    }

    /// Numbers of all frontends, the one that answered last in front.
    pub(super) fn frontends(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.current.load(Ordering::Relaxed), self.frontends.len());
        (0..count).map(move |n| (first + n) % count)
    }

    /// Calls begin at this frontend from now on.
    pub(super) fn stay_with(&self, frontend: usize) {
        self.current.store(frontend, Ordering::Relaxed);
    }

    /// Calls begin at the frontend behind this one from now on: it answers badly, or not at all.
    pub(super) fn pass_over(&self, frontend: usize) {
        self.stay_with((frontend + 1) % self.frontends.len());
    }

    /// Performs a call, from a frontend to whatever node it redirects to. The frontend is sent no body.
    pub(super) async fn send(&self, frontend: usize, call: &Call) -> Result<Outcome, Trouble> {
        let Some(first) = self.frontends.get(frontend) else {
            return Err(Trouble::Refused(format!("there is no frontend number {frontend}")));
        };
        let mut node = first.clone();
        let mut path = call.path.clone();
        for hop in 0..=HOPS {
            let raw = match self.request(&node, &path, call, hop).await? {
                Opening::Upload(upload) => return Ok(Outcome::Upload(upload)),
                Opening::Answered(raw) => raw,
            };
            let Some(location) = raw.location else {
                return Ok(Outcome::Answered { at: node.to_string(), response: raw.response, first: hop == 0 });
            };
            let next = self.rules.follow(first, &node, &location);
            let next = next.map_err(|why| Trouble::Refused(format!("{node} redirects: {why}")))?;
            if next.trust == Trust::Redirect {
                self.log_trust(&next.node, first);
            }
            (node, path) = (next.node, next.path);
        }
        Err(Trouble::Refused(format!("more than {HOPS} redirects, the last one to {node}")))
    }

    /// One hop of a call.
    async fn request(&self, node: &Node, path: &str, call: &Call, hop: usize) -> Result<Opening, Trouble> {
        let head = self.head(node, path, call, hop > 0).map_err(Trouble::Refused)?;
        let connection = connect::connect(node, &self.network, self.timeouts.connect).await;
        let connection = connection.map_err(|what| Trouble::NotSent { what, frontend: hop == 0 })?;
        if call.streams() && hop > 0 {
            let Timeouts { continue_, stall, .. } = self.timeouts;
            let opened = upload::open(node.clone(), connection, head, continue_, stall).await;
            return opened.map_err(|why| Trouble::Lost(format!("{node}: {why}")));
        }
        let limit = match call.step {
            Step::Prepare => self.timeouts.prepare,
            Step::Begin | Step::Load | Step::LoadAtOnce | Step::Commit | Step::Abort | Step::Cancel | Step::State => {
                self.timeouts.call
            }
        };
        let answer = exchange(connection.stream, head.map(|()| Empty::<Bytes>::new()), ANSWER_LIMIT);
        match timeout(limit, answer).await {
            Ok(Ok(raw)) => Ok(Opening::Answered(raw)),
            Ok(Err(why)) => Err(Trouble::Lost(format!("{node}: {why}"))),
            Err(_) => Err(Trouble::Lost(format!("{node}: no answer within {limit:?}"))),
        }
    }

    /// Asks a question, at a frontend or where it redirects to.
    ///
    /// # Errors
    /// Why there is no answer, for people.
    pub(super) async fn ask(&self, frontend: usize, question: &Question) -> Result<(String, Response), String> {
        let first = self.frontends.get(frontend).ok_or_else(|| format!("there is no frontend number {frontend}"))?;
        let (mut node, mut path) = (first.clone(), question.path.clone());
        for _hop in 0..=HOPS {
            let body = Full::new(Bytes::from(question.body.clone()));
            let mut request = Request::builder().method(question.method.clone()).uri(&path);
            for (name, value) in &question.headers {
                request = request.header(name, value);
            }
            let request = request
                .header(header::HOST, node.to_string())
                .header(header::AUTHORIZATION, self.authorization.clone())
                .header(header::CONNECTION, "close")
                .body(body)
                .map_err(|_| format!("{node} redirects to a path that HTTP does not allow"))?;
            let connection = connect::connect(&node, &self.network, self.timeouts.connect).await?;
            let answer = timeout(self.timeouts.call, exchange(connection.stream, request, ANSWER_LIMIT)).await;
            let answer = answer.map_err(|_| format!("{node}: no answer within {:?}", self.timeouts.call))?;
            let Raw { response, location } = answer.map_err(|why| format!("{node}: {why}"))?;
            let Some(location) = location else { return Ok((node.to_string(), response)) };
            let next = self.rules.follow(first, &node, &location);
            let next = next.map_err(|why| format!("{node} redirects: {why}"))?;
            if next.trust == Trust::Redirect {
                self.log_trust(&next.node, first);
            }
            (node, path) = (next.node, next.path);
        }
        Err(format!("more than {HOPS} redirects, the last one to {node}"))
    }

    fn head(&self, node: &Node, path: &str, call: &Call, redirected: bool) -> Result<Request<()>, String> {
        let head = Request::builder().method(call.method.clone()).uri(path).body(());
        let mut head = head.map_err(|_| format!("{node} redirects to a path that HTTP does not allow"))?;
        let wrong = |name: &str| format!("header {name:?} has a name or value that HTTP does not allow");
        let headers = head.headers_mut();
        for (name, value) in &call.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong(name))?;
            headers.insert(HeaderName::try_from(name.as_str()).map_err(|_| wrong(name))?, value);
        }
        headers.insert(header::HOST, HeaderValue::try_from(node.to_string()).map_err(|_| wrong("host"))?);
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if !(call.streams() && redirected) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if call.streams() {
            // Doris' frontend demands it, and a backend that refuses says so before the body is on its way.
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        Ok(head)
    }

    fn log_trust(&self, node: &Node, frontend: &Node) {
        let new = self.trusted.lock().unwrap_or_else(PoisonError::into_inner).insert(node.host.clone());
        if new {
            tracing::info!(%node, %frontend, "sending the credentials to a backend that a frontend redirects to");
        }
    }

    /// Beginning of the engine's error log; `None` if it can't be read. Sent without credentials.
    pub(super) async fn error_log(&self, url: &str) -> Option<String> {
        let uri: Uri = url.trim().parse().ok()?;
        let frontend = self.frontends.get(self.frontends().next()?)?;
        let named = Node::of(&uri)?;
        let node = self.rules.reach(frontend, named.clone()).map_or(named, |(node, _)| node);
        let head = Request::get(uri.path_and_query()?.as_str())
            .header(header::HOST, node.to_string())
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .ok()?;
        let read = async {
            let connection = connect::connect(&node, &self.network, self.timeouts.connect).await.ok()?;
            exchange(connection.stream, head, ERROR_LOG_BYTES).await.ok()
        };
        let Raw { response, .. } = timeout(ERROR_LOG_TIME, read).await.ok()??;
        (response.status == 200 && !response.body.is_empty()).then_some(response.body)
    }
}

/// `Authorization: Basic`, marked so that no library prints it.
fn basic(user: &str, password: &[u8]) -> HeaderValue {
    let pair = Zeroizing::new([user.as_bytes(), b":", password].concat());
    let text = Zeroizing::new(format!("Basic {}", base64_simd::STANDARD.encode_to_string(pair.as_slice())));
    // Base64 text is always a legal value.
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}
