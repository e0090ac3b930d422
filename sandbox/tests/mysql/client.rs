//! A MySQL client that hides nothing: packets as they are.

use std::net::SocketAddr;
use std::time::Duration;

use sha1::{Digest, Sha1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Protocol 4.1, a database, secure passwords, named plugins.
pub(crate) const CAPABILITIES: u32 = 1 << 3 | 1 << 9 | 1 << 15 | 1 << 19;

/// What a statement gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Rows that were changed.
    Ok(u64),
    /// Code, state and text.
    Error(u16, String, String),
    /// Columns and rows; cells as text, NULL as `None`.
    Rows(Vec<Column>, Vec<Vec<Option<String>>>),
}

/// A column definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) code: u8,
    pub(crate) charset: u16,
    pub(crate) decimals: u8,
}

impl Said {
    /// Rows as lines, cells divided by `|`; an error as its code and text.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Ok(rows) => vec![format!("OK {rows}")],
            Self::Error(code, _, text) => vec![format!("ERROR {code} {text}")],
            Self::Rows(_, rows) => rows
                .iter()
                .map(|row| row.iter().map(|c| c.as_deref().unwrap_or("NULL")).collect::<Vec<_>>().join("|"))
                .collect(),
        }
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    sequence: u8,
}

impl Client {
    /// Connects and reads the greeting: the client and the challenge.
    pub(crate) async fn greeted(address: SocketAddr) -> (Self, Vec<u8>) {
        let mut client = Self { stream: TcpStream::connect(address).await.unwrap(), sequence: 0 };
        let greeting = client.read().await.expect("a greeting");
        assert_eq!(greeting[0], 10, "protocol version");
        let version = 1 + greeting[1..].iter().position(|b| *b == 0).unwrap();
        let at = version + 1 + 4;
        let challenge = [&greeting[at..at + 8], &greeting[at + 27..at + 39]].concat();
        (client, challenge)
    }

    /// Logs in; the error is what the server said.
    pub(crate) async fn log_in(address: SocketAddr, user: &str, password: &str, database: &str) -> Result<Self, Said> {
        let (mut client, challenge) = Self::greeted(address).await;
        let mut payload = CAPABILITIES.to_le_bytes().to_vec();
        payload.extend_from_slice(&[0; 28]);
        payload.extend_from_slice(user.as_bytes());
        payload.push(0);
        let answer = scrambled(password, &challenge);
        payload.push(u8::try_from(answer.len()).unwrap());
        payload.extend_from_slice(&answer);
        payload.extend_from_slice(database.as_bytes());
        payload.extend_from_slice(b"\0mysql_native_password\0");
        client.write(&payload).await;
        let said = client.said(false).await;
        if said == Said::Ok(0) { Ok(client) } else { Err(said) }
    }

    pub(crate) async fn root(address: SocketAddr) -> Self {
        Self::log_in(address, "root", "", "").await.unwrap()
    }

    /// Runs a statement.
    pub(crate) async fn query(&mut self, sql: &str) -> Said {
        self.command(0x03, sql.as_bytes()).await;
        self.said(false).await
    }

    /// Runs a statement that may be longer than a packet.
    pub(crate) async fn query_in_packets(&mut self, sql: &str) -> Said {
        self.sequence = 0;
        let payload = [&[0x03], sql.as_bytes()].concat();
        let mut chunks: Vec<&[u8]> = payload.chunks(0xff_ffff).collect();
        // A full packet is followed by another one, be it empty.
        if chunks.last().is_some_and(|last| last.len() == 0xff_ffff) {
            chunks.push(&[]);
        }
        for chunk in chunks {
            self.write(chunk).await;
        }
        self.said(false).await
    }

    /// A command was written past [`Client::command`]; its answer is next.
    pub(crate) fn expect_answer(&mut self) {
        self.sequence = 1;
    }

    pub(crate) async fn command(&mut self, code: u8, body: &[u8]) {
        self.sequence = 0;
        self.write(&[&[code], body].concat()).await;
    }

    pub(crate) async fn write(&mut self, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let head = [length[0], length[1], length[2], self.sequence];
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&[&head, payload].concat()).await.unwrap();
    }

    /// The next payload; `None` when the server has closed.
    pub(crate) async fn read(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut head = [0; 4];
            self.stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            assert_eq!(head[3], self.sequence, "sequence");
            self.sequence = self.sequence.wrapping_add(1);
            Some(payload)
        };
        tokio::time::timeout(DEADLINE, read).await.expect("no answer in time")
    }

    /// The answer to a command.
    pub(crate) async fn said(&mut self, is_binary: bool) -> Said {
        let head = self.read().await.expect("an answer");
        match head[0] {
            0x00 => return Said::Ok(u64::from(head[1])),
            0xff => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                return Said::Error(u16::from_le_bytes([head[1], head[2]]), text(&head[4..9]), text(&head[9..]));
            }
            _ => {}
        }
        let columns = self.columns(usize::from(head[0])).await;
        let mut rows = Vec::new();
        loop {
            let payload = self.read().await.expect("a row");
            if payload[0] == 0xfe && payload.len() < 9 {
                return Said::Rows(columns, rows);
            }
            let mut rest = payload.as_slice();
            rows.push(if is_binary {
                binary_row(&columns, rest)
            } else {
                columns.iter().map(|_| text_cell(&mut rest)).collect()
            });
        }
    }

    /// Column definitions and what ends them.
    pub(crate) async fn columns(&mut self, count: usize) -> Vec<Column> {
        let mut columns = Vec::new();
        for _ in 0..count {
            let payload = self.read().await.expect("a column");
            let mut rest = payload.as_slice();
            let texts: Vec<String> = (0..6).map(|_| text_cell(&mut rest).unwrap()).collect();
            columns.push(Column {
                table: texts[2].clone(),
                name: texts[4].clone(),
                code: rest[7],
                charset: u16::from_le_bytes([rest[1], rest[2]]),
                decimals: rest[10],
            });
        }
        assert_eq!(self.read().await.expect("an end")[0], 0xfe);
        columns
    }

    /// Prepares a statement: its id and the number of its parameters.
    pub(crate) async fn prepare(&mut self, sql: &str) -> (u32, Vec<Column>) {
        self.command(0x16, sql.as_bytes()).await;
        let head = self.read().await.unwrap();
        assert_eq!(head[0], 0, "{}", String::from_utf8_lossy(&head));
        let count = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        if count(7) > 0 {
            self.columns(count(7)).await;
        }
        let columns = self.columns(count(5)).await;
        (u32::from_le_bytes([head[1], head[2], head[3], head[4]]), columns)
    }

    /// Executes a statement with parameters of a type code and bytes each; no bytes is NULL.
    pub(crate) async fn execute(&mut self, id: u32, parameters: &[(u8, Option<&[u8]>)]) -> Said {
        let mut body = id.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 1, 0, 0, 0]);
        if !parameters.is_empty() {
            let mut nulls = vec![0_u8; parameters.len().div_ceil(8)];
            for (at, _) in parameters.iter().enumerate().filter(|(_, (_, value))| value.is_none()) {
                nulls[at / 8] |= 1 << (at % 8);
            }
            body.extend_from_slice(&nulls);
            body.push(1);
            parameters.iter().for_each(|(code, _)| body.extend_from_slice(&[*code, 0]));
            parameters.iter().filter_map(|(_, value)| *value).for_each(|value| body.extend_from_slice(value));
        }
        self.command(0x17, &body).await;
        self.said(true).await
    }
}

/// SHA1(password) xor SHA1(challenge, SHA1(SHA1(password))).
fn scrambled(password: &str, challenge: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let mask = Sha1::digest([challenge, Sha1::digest(once).as_slice()].concat());
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

fn text_cell(rest: &mut &[u8]) -> Option<String> {
    let (first, behind) = rest.split_first().unwrap();
    let (length, behind) = match first {
        0xfb => {
            *rest = behind;
            return None;
        }
        0xfc => (usize::from(u16::from_le_bytes([behind[0], behind[1]])), &behind[2..]),
        0xfd => (u32::from_le_bytes([behind[0], behind[1], behind[2], 0]) as usize, &behind[3..]),
        small => (usize::from(*small), behind),
    };
    let (text, behind) = behind.split_at(length);
    *rest = behind;
    Some(String::from_utf8(text.to_vec()).unwrap())
}

/// Values of the types that the tests read in binary.
fn binary_row(columns: &[Column], payload: &[u8]) -> Vec<Option<String>> {
    let (nulls, mut rest) = payload[1..].split_at((columns.len() + 2).div_ceil(8));
    let mut take = |length: usize| {
        let (bytes, behind) = rest.split_at(length);
        rest = behind;
        bytes
    };
    let mut cells = Vec::new();
    for (at, column) in columns.iter().enumerate() {
        if nulls[(at + 2) / 8] >> ((at + 2) % 8) & 1 == 1 {
            cells.push(None);
            continue;
        }
        cells.push(Some(match column.code {
            0x01 => i8::from_le_bytes(take(1).try_into().unwrap()).to_string(),
            0x08 => i64::from_le_bytes(take(8).try_into().unwrap()).to_string(),
            0x05 => f64::from_le_bytes(take(8).try_into().unwrap()).to_string(),
            0x0a | 0x0c => {
                let length = usize::from(take(1)[0]);
                format!("{:?}", take(length))
            }
            _ => {
                let length = usize::from(take(1)[0]);
                String::from_utf8(take(length).to_vec()).unwrap()
            }
        }));
    }
    assert!(rest.is_empty(), "bytes behind the row");
    cells
}
