//! The sandboxes that the targets knock at: started when the first input comes, and anew after so many.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use loadlock_sandbox::{EngineKind, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};

/// Inputs that one pair of sandboxes serves: what they keep must not grow with the run.
const INPUTS_MAX: usize = 20_000;
/// How long anything may take. A query may run for a minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// Tables with every kind of column and a few rows.
pub(crate) const DDL: &str = "CREATE TABLE d.t (id BIGINT NOT NULL, v VARCHAR(64), m DECIMAL(12,2), f DOUBLE, day DATE, \
    at DATETIME, j JSON, a ARRAY<INT>) DUPLICATE KEY(id); CREATE TABLE d.u (id INT, v STRING) UNIQUE KEY(id)";
const ROWS: &str = "INSERT INTO d.u VALUES (1, 'a'), (2, 'b'), (3, NULL)";

/// A runtime with a sandbox of each engine.
pub(crate) struct House {
    pub(crate) runtime: Runtime,
    sandboxes: Option<[Sandbox; 2]>,
    inputs: usize,
}

impl House {
    /// The house of this process, for one input.
    pub(crate) fn enter() -> MutexGuard<'static, House> {
        static HOUSE: OnceLock<Mutex<House>> = OnceLock::new();
        let mut house = HOUSE.get_or_init(|| Mutex::new(House::new())).lock().unwrap_or_else(PoisonError::into_inner);
        house.inputs += 1;
        if house.inputs > INPUTS_MAX {
            house.rebuild();
        }
        house
    }

    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let mut house = Self { runtime, sandboxes: None, inputs: 0 };
        house.rebuild();
        house
    }

    fn rebuild(&mut self) {
        self.inputs = 0;
        for sandbox in self.sandboxes.take().into_iter().flatten() {
            self.runtime.block_on(sandbox.stop());
        }
        self.sandboxes = Some([EngineKind::StarRocks, EngineKind::Doris].map(|kind| {
            self.runtime.block_on(async {
                let builder = Sandbox::builder(kind).ddl(DDL).settings(|settings| {
                    settings.sweep_interval = Duration::from_secs(1);
                    settings.load_timeout = Duration::from_secs(2);
                    settings.label_clean_interval = Duration::from_secs(1);
                    settings.label_keep_max = 100;
                });
                let sandbox = builder.start().await.unwrap();
                let mut client = Client::log_in(sandbox.connect(loadlock_sandbox::Port::Query)).await;
                client.command(3, ROWS.as_bytes()).await;
                assert_eq!(client.read().await[0], 0, "the rows are in");
                sandbox
            })
        }));
    }

    /// The sandbox of an engine.
    pub(crate) fn sandbox(&self, number: u8) -> &Sandbox {
        let sandboxes = self.sandboxes.as_ref().unwrap();
        &sandboxes[usize::from(number) % sandboxes.len()]
    }
}

/// Waits for something, but not for ever.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: neither an answer nor an end"))
}

/// A MySQL client that is logged in.
pub(crate) struct Client {
    pub(crate) stream: DuplexStream,
    sequence: u8,
}

impl Client {
    /// Logs in as the one user, who has no password.
    pub(crate) async fn log_in(stream: DuplexStream) -> Self {
        let mut client = Self { stream, sequence: 0 };
        client.read().await;
        // Protocol 4.1, secure passwords, named plugins.
        let mut payload = (1_u32 << 9 | 1 << 15 | 1 << 19).to_le_bytes().to_vec();
        payload.extend_from_slice(&[0; 28]);
        payload.extend_from_slice(b"root\0\0mysql_native_password\0");
        client.write(&payload).await;
        assert_eq!(client.read().await[0], 0, "the login");
        client
    }

    /// Sends a command.
    pub(crate) async fn command(&mut self, code: u8, body: &[u8]) {
        self.sequence = 0;
        self.write(&[&[code], body].concat()).await;
    }

    async fn write(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let head = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        in_time("a packet", self.stream.write_all(&[&head, payload].concat())).await.unwrap();
    }

    /// The next payload.
    pub(crate) async fn read(&mut self) -> Vec<u8> {
        in_time("a packet", async {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await.expect("the connection goes on");
            let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
            self.stream.read_exact(&mut payload).await.expect("the connection goes on");
            assert_eq!(head[3], self.sequence, "sequence");
            self.sequence = self.sequence.wrapping_add(1);
            payload
        })
        .await
    }

    /// Reads an answer to a query: OK, an error, or columns and rows.
    pub(crate) async fn answer(&mut self) {
        let head = self.read().await;
        if matches!(head[0], 0x00 | 0xff) {
            return;
        }
        // Columns and rows each end with a short packet that begins with 0xfe.
        for _ in 0..2 {
            while !matches!(self.read().await.as_slice(), [0xfe, rest @ ..] if rest.len() < 8) {}
        }
    }
}
