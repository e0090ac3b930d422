//! A proxy between clients and a broker that knows where a request begins and ends: it can keep one back, lose it, lose
//! its answer, and deliver late what it kept, on the connection that it came by.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests")]

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// Longest wait for a request that should come, or for its answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Numbers of requests, as Kafka's protocol gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Api(i16);

impl Api {
    pub const METADATA: Self = Self(3);
    pub const OFFSET_COMMIT: Self = Self(8);
    pub const OFFSET_FETCH: Self = Self(9);
    pub const FIND_COORDINATOR: Self = Self(10);
    pub const DESCRIBE_CLUSTER: Self = Self(60);
    pub const CONSUMER_GROUP_HEARTBEAT: Self = Self(68);
}

/// Answers that name brokers: there the proxy puts itself in the broker's place.
const NAMES_BROKERS: [Api; 3] = [Api::METADATA, Api::FIND_COORDINATOR, Api::DESCRIBE_CLUSTER];

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Kept until it is delivered; the client goes on waiting.
    Kept,
    /// Kept, and the client's connection is cut: what it sends again comes by another one.
    KeptAndCut,
    /// Never delivered; the connection is cut.
    Lost,
    /// Delivered; its answer is lost, and the connection cut.
    AnswerLost,
}

/// Under which membership an OffsetCommit was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub generation: i32,
    pub member: String,
}

struct Plan {
    fate: Fate,
    came: oneshot::Sender<()>,
    deliver: oneshot::Receiver<()>,
    answered: oneshot::Sender<()>,
}

struct Shared {
    broker: SocketAddr,
    port: u16,
    plans: Mutex<BTreeMap<Api, VecDeque<Plan>>>,
    stamps: Mutex<Vec<Stamp>>,
    /// False while nothing passes, in either direction.
    open: watch::Sender<bool>,
}

/// A request that has been planned for.
pub struct Planned {
    came: oneshot::Receiver<()>,
    deliver: oneshot::Sender<()>,
    answered: oneshot::Receiver<()>,
}

/// A request that the proxy keeps.
pub struct Kept {
    deliver: oneshot::Sender<()>,
    answered: oneshot::Receiver<()>,
}

impl Planned {
    /// Waits until the request is here; one that is not kept has met its fate when the broker has answered it.
    pub async fn came(self) -> Kept {
        tokio::time::timeout(DEADLINE, self.came).await.expect("the request comes").expect("the proxy lives");
        Kept { deliver: self.deliver, answered: self.answered }
    }
}

impl Kept {
    /// Delivers it, and waits for the broker's answer.
    pub async fn deliver(self) {
        self.deliver.send(()).expect("it is kept");
        tokio::time::timeout(DEADLINE, self.answered).await.expect("an answer in time").expect("the proxy lives");
    }

    /// Waits until the broker has answered a request that was delivered at once.
    pub async fn answered(self) {
        tokio::time::timeout(DEADLINE, self.answered).await.expect("an answer in time").expect("the proxy lives");
    }
}

/// A proxy for the only broker of a cluster.
pub struct Proxy {
    shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy in front of `brokers`; `None`, said loudly, if that cluster can't be hidden behind one.
    pub async fn before(brokers: &str, test: &str) -> Option<Self> {
        let probe: BaseConsumer =
            rdkafka::ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a client");
        let metadata = probe.fetch_metadata(None, DEADLINE).expect("metadata");
        let [broker] = metadata.brokers() else {
            eprintln!("SKIPPED broker: {test}: needs a cluster of one broker");
            return None;
        };
        if broker.host() != Ipv4Addr::LOCALHOST.to_string() {
            eprintln!("SKIPPED broker: {test}: needs a broker that advertises 127.0.0.1, not {}", broker.host());
            return None;
        }
        let port = u16::try_from(broker.port()).expect("a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let shared = Arc::new(Shared {
            broker: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            port: listener.local_addr().expect("an address").port(),
            plans: Mutex::default(),
            stamps: Mutex::default(),
            open: watch::Sender::new(true),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Some(Self { shared })
    }

    /// What clients take for the cluster.
    pub fn brokers(&self) -> String {
        format!("{}:{}", Ipv4Addr::LOCALHOST, self.shared.port)
    }

    /// Decides on the next request of a kind that has no fate yet.
    pub fn next(&self, api: Api, fate: Fate) -> Planned {
        let (came, has_come) = oneshot::channel();
        let (deliver, delivered) = oneshot::channel();
        let (answer, answered) = oneshot::channel();
        let plan = Plan { fate, came, deliver: delivered, answered: answer };
        lock(&self.shared.plans).entry(api).or_default().push_back(plan);
        Planned { came: has_come, deliver, answered }
    }

    /// From now on nothing passes, as if the network was gone; connections stay.
    pub fn pause(&self) {
        self.shared.open.send_replace(false);
    }

    /// What waits passes, and all that comes.
    pub fn go_on(&self) {
        self.shared.open.send_replace(true);
    }

    /// The membership under which each OffsetCommit so far was sent, copies included.
    pub fn stamps(&self) -> Vec<Stamp> {
        lock(&self.shared.stamps).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Either side hangs up when a test ends.
            let _ended = serve(client, &shared).await;
        });
    }
}

/// Requests of one connection whose answers are still due.
#[derive(Default)]
struct Due {
    answers: BTreeMap<i32, (Api, Option<oneshot::Sender<()>>)>,
}

async fn serve(client: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    let broker = TcpStream::connect(shared.broker).await?;
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    let due = Arc::new(Mutex::new(Due::default()));
    let (cut, is_cut) = watch::channel(false);
    let answers = tokio::spawn(answers(from_broker, to_client, Arc::clone(&due), is_cut, Arc::clone(shared)));
    let ended = requests(from_client, to_broker, &due, &cut, shared).await;
    answers.abort();
    ended
}

async fn requests(
    mut from_client: OwnedReadHalf,
    mut to_broker: OwnedWriteHalf,
    due: &Mutex<Due>,
    cut: &watch::Sender<bool>,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from_client).await?;
        let (api, version, correlation) = header(&frame)?;
        if api == Api::OFFSET_COMMIT {
            lock(&shared.stamps).push(stamp(&frame, version)?);
        }
        let plan = lock(&shared.plans).get_mut(&api).and_then(VecDeque::pop_front);
        let Some(plan) = plan else {
            lock(due).answers.insert(correlation, (api, None));
            passes(shared).await;
            write_frame(&mut to_broker, &frame).await?;
            continue;
        };
        let cuts = plan.fate != Fate::Kept;
        if cuts {
            cut.send_replace(true);
        }
        let _nobody_waits = plan.came.send(());
        match plan.fate {
            Fate::Kept | Fate::KeptAndCut => {
                if cuts {
                    drop(from_client);
                    plan.deliver.await.map_err(io::Error::other)?;
                    return last_word(to_broker, &frame, correlation, api, due, plan.answered).await;
                }
                plan.deliver.await.map_err(io::Error::other)?;
                lock(due).answers.insert(correlation, (api, Some(plan.answered)));
                write_frame(&mut to_broker, &frame).await?;
            }
            Fate::Lost => return Ok(()),
            Fate::AnswerLost => return last_word(to_broker, &frame, correlation, api, due, plan.answered).await,
        }
    }
}

/// Delivers the last request of a connection that the client has lost, and stays until it is answered.
async fn last_word(
    mut to_broker: OwnedWriteHalf,
    frame: &[u8],
    correlation: i32,
    api: Api,
    due: &Mutex<Due>,
    told: oneshot::Sender<()>,
) -> io::Result<()> {
    let (answer, answered) = oneshot::channel();
    lock(due).answers.insert(correlation, (api, Some(answer)));
    write_frame(&mut to_broker, frame).await?;
    answered.await.map_err(io::Error::other)?;
    let _nobody_waits = told.send(());
    Ok(())
}

async fn answers(
    mut from_broker: OwnedReadHalf,
    to_client: OwnedWriteHalf,
    due: Arc<Mutex<Due>>,
    mut is_cut: watch::Receiver<bool>,
    shared: Arc<Shared>,
) -> io::Result<()> {
    let mut to_client = Some(to_client);
    loop {
        let mut frame = tokio::select! {
            frame = read_frame(&mut from_broker) => frame?,
            _ = is_cut.wait_for(|cut| *cut), if to_client.is_some() => {
                to_client = None;
                continue;
            }
        };
        let correlation = number(&frame, 4)?;
        let known = lock(&due).answers.remove(&correlation);
        let (api, told) = known.ok_or_else(|| io::Error::other("an answer to nothing"))?;
        if NAMES_BROKERS.contains(&api) {
            readdress(&mut frame, shared.broker.port(), shared.port);
        }
        if let Some(client) = &mut to_client
            && !*is_cut.borrow()
        {
            passes(&shared).await;
            write_frame(client, &frame).await?;
        }
        if let Some(told) = told {
            let _nobody_waits = told.send(());
        }
    }
}

async fn passes(shared: &Shared) {
    let mut open = shared.open.subscribe();
    let _proxy_gone = open.wait_for(|open| *open).await;
}

/// A request or an answer with its length in front.
async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    from.read_exact(&mut frame).await?;
    let length = usize::try_from(number(&frame, 0)?).map_err(io::Error::other)?;
    frame.resize(4 + length, 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    to.write_all(frame).await
}

fn number(frame: &[u8], at: usize) -> io::Result<i32> {
    let bytes = frame.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map(i32::from_be_bytes).ok_or_else(|| io::Error::other("too short"))
}

fn short(frame: &[u8], at: usize) -> io::Result<i16> {
    let bytes = frame.get(at..at + 2).and_then(|bytes| bytes.try_into().ok());
    bytes.map(i16::from_be_bytes).ok_or_else(|| io::Error::other("too short"))
}

/// Kind, version and correlation id of a request.
fn header(frame: &[u8]) -> io::Result<(Api, i16, i32)> {
    Ok((Api(short(frame, 4)?), short(frame, 6)?, number(frame, 8)?))
}

/// First version of OffsetCommit whose strings have a length of variable size.
const OFFSET_COMMIT_COMPACT: i16 = 8;

/// Reads group, generation and member at the start of an OffsetCommit.
fn stamp(frame: &[u8], version: i16) -> io::Result<Stamp> {
    let compact = version >= OFFSET_COMMIT_COMPACT;
    let client_id = usize::try_from(short(frame, 12)?).unwrap_or(0);
    // A compact header ends with its (empty) tags.
    let mut at = 14 + client_id + usize::from(compact);
    let _group = string(frame, &mut at, compact)?;
    let generation = number(frame, at)?;
    at += 4;
    Ok(Stamp { generation, member: string(frame, &mut at, compact)? })
}

fn string(frame: &[u8], at: &mut usize, compact: bool) -> io::Result<String> {
    let length = if compact {
        let (mut value, mut shift) = (0_usize, 0);
        loop {
            let byte = *frame.get(*at).ok_or_else(|| io::Error::other("too short"))?;
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 || shift > 28 {
                break value.saturating_sub(1);
            }
        }
    } else {
        *at += 2;
        usize::try_from(short(frame, *at - 2)?).unwrap_or(0)
    };
    let text = frame.get(*at..*at + length).ok_or_else(|| io::Error::other("too short"))?;
    *at += length;
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Replaces the broker's port behind its address. Both have the same length, so nothing else in the answer moves.
fn readdress(frame: &mut [u8], broker: u16, proxy: u16) {
    let host = Ipv4Addr::LOCALHOST.to_string().into_bytes();
    let address = [host.as_slice(), &u32::from(broker).to_be_bytes()].concat();
    let mut at = 0;
    while at + address.len() <= frame.len() {
        if frame[at..].starts_with(&address) {
            let port = at + host.len();
            frame[port..port + 4].copy_from_slice(&u32::from(proxy).to_be_bytes());
        }
        at += 1;
    }
}
