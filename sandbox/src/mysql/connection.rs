//! One connection: the login, then command after command.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::answer::{self, end, error, ok};
use super::handshake::{Challenge, PLUGIN, Response, SSL};
use super::packet::{LOGIN_MAX, PAYLOAD_MAX, Packets, Reader, WireError};
use super::prepared::Prepared;
use crate::sql::{self, Answer, Server, Session, SqlError, SqlType};
use crate::table::EngineKind;

/// How long a login may take.
const LOGIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may be idle (`wait_timeout`).
const IDLE_MAX: Duration = Duration::from_secs(28_800);
/// Statements that a connection may hold prepared.
const PREPARED_MAX: usize = 1024;

struct Connection<'s, S> {
    packets: Packets<S>,
    server: &'s Server,
    session: Session,
    prepared: HashMap<u32, Prepared>,
    next_statement: u32,
}

/// Serves a connection until it ends, breaks, or the sandbox stops.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    id: u32,
    server: &Server,
    mut stop: watch::Receiver<bool>,
    is_full: bool,
) -> Result<(), WireError> {
    let mut connection = Connection {
        packets: Packets::new(stream),
        server,
        session: Session::new(server, id),
        prepared: HashMap::new(),
        next_statement: 1,
    };
    if is_full {
        return connection.send(&error(&SqlError::new(1040, "08004", "Too many connections"))).await;
    }
    if !connection.log_in(peer).await? {
        return Ok(());
    }
    loop {
        connection.packets.begin();
        let read = tokio::select! {
            read = connection.packets.read(IDLE_MAX, PAYLOAD_MAX) => read,
            _ = stop.changed() => return Ok(()),
        };
        let payload = match read {
            Ok(Some(payload)) => payload,
            Ok(None) => return Ok(()),
            Err(failure @ (WireError::TooLarge | WireError::OutOfOrder)) => {
                let (code, text) = if matches!(failure, WireError::TooLarge) {
                    (1153, "Got a packet bigger than 'max_allowed_packet' bytes")
                } else {
                    (1156, "Got packets out of order")
                };
                connection.send(&error(&SqlError::new(code, "08S01", text))).await?;
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        if !connection.command(&payload).await? {
            return Ok(());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        self.packets.write(payload).await?;
        self.packets.flush().await
    }

    /// Greets and checks the password; false if the client was sent away.
    async fn log_in(&mut self, peer: SocketAddr) -> Result<bool, WireError> {
        let challenge = Challenge::new()?;
        self.send(&challenge.greeting(self.server.kind, self.session.id)).await?;
        let Some(payload) = self.packets.read(LOGIN_TIME_MAX, LOGIN_MAX).await? else { return Ok(false) };
        let refusal = |text: &str| SqlError::new(1043, "08S01", format!("Bad handshake: {text}"));
        let Some(response) = Response::parse(&payload) else {
            let asks_tls =
                payload.len() == 32 && payload.first_chunk().is_some_and(|c| u32::from_le_bytes(*c) & SSL != 0);
            let why = if asks_tls { "TLS is not imitated" } else { "it is not of protocol 4.1" };
            self.send(&error(&refusal(why))).await?;
            return Ok(false);
        };
        let mut given = response.answer.clone();
        if !response.plugin.is_empty() && response.plugin != PLUGIN {
            self.send(&challenge.switch()).await?;
            let Some(payload) = self.packets.read(LOGIN_TIME_MAX, LOGIN_MAX).await? else { return Ok(false) };
            given = payload;
        }
        // Some clients end an empty answer with a zero.
        if given == [0] {
            given.clear();
        }
        let account = self.server.cluster.account();
        if !response.is_user(account) || !challenge.is_met(&account.password, &given) {
            let using = if given.is_empty() { "NO" } else { "YES" };
            let user = match self.server.kind {
                EngineKind::StarRocks => response.user,
                EngineKind::Doris => format!("{}@{}", response.user, peer.ip()),
            };
            let text = format!("Access denied for user '{user}' (using password: {using})");
            self.send(&error(&SqlError::new(1045, "28000", text))).await?;
            return Ok(false);
        }
        let connected = self.server.now_connected(peer);
        self.server.connected().insert(self.session.id, connected);
        if let Some(database) = response.database
            && let Err(failure) = self.session.choose(self.server, last_part(&database))
        {
            self.send(&error(&failure)).await?;
            return Ok(false);
        }
        self.send(&ok(0)).await?;
        Ok(true)
    }

    /// Carries a command out; false when the client quits.
    async fn command(&mut self, payload: &[u8]) -> Result<bool, WireError> {
        let Some((code, body)) = payload.split_first() else {
            return self.refuse(SqlError::new(1047, "08S01", "Unknown command")).await;
        };
        let text = || str::from_utf8(body).map_err(|_| SqlError::new(1300, "HY000", "Invalid utf8 character string"));
        match code {
            // COM_QUIT
            0x01 => return Ok(false),
            // COM_INIT_DB
            0x02 => match text().and_then(|name| self.session.choose(self.server, last_part(name))) {
                Ok(()) => self.send(&ok(0)).await?,
                Err(failure) => return self.refuse(failure).await,
            },
            // COM_QUERY
            0x03 => match text() {
                Ok(text) => {
                    let answer = sql::run(self.server, &mut self.session, text, Vec::new()).await;
                    let is_look_back = text.trim_start().get(..4).is_some_and(|w| w.eq_ignore_ascii_case("SHOW"));
                    self.answer(answer, false, is_look_back).await?;
                }
                Err(failure) => return self.refuse(failure).await,
            },
            // COM_FIELD_LIST
            0x04 => {
                let name = Reader(body).zero_ended().and_then(|name| str::from_utf8(name).ok()).unwrap_or_default();
                let sql = format!("SELECT * FROM `{}` LIMIT 0", name.replace('`', "``"));
                match sql::run(self.server, &mut self.session, &sql, Vec::new()).await {
                    Ok(Answer::Rows(grid)) => {
                        answer::fields(&mut self.packets, &grid.columns).await?;
                        self.packets.flush().await?;
                    }
                    Ok(Answer::Done(_)) => self.send(&end()).await?,
                    Err(failure) => return self.refuse(failure).await,
                }
            }
            // COM_STATISTICS
            0x09 => self.send(b"Uptime: 0").await?,
            // COM_PING
            0x0e => self.send(&ok(0)).await?,
            // COM_STMT_PREPARE
            0x16 => match text() {
                Ok(text) => return self.prepare(text).await,
                Err(failure) => return self.refuse(failure).await,
            },
            // COM_STMT_EXECUTE
            0x17 => return self.execute(body).await,
            // COM_STMT_SEND_LONG_DATA, which is not answered
            0x18 => {
                let id = Reader(body).bytes().map(u32::from_le_bytes);
                if let Some(prepared) = id.and_then(|id| self.prepared.get_mut(&id)) {
                    prepared.has_long_data = true;
                }
            }
            // COM_STMT_CLOSE, which is not answered
            0x19 => {
                let id = Reader(body).bytes().map(u32::from_le_bytes);
                id.and_then(|id| self.prepared.remove(&id));
            }
            // COM_STMT_RESET, COM_SET_OPTION
            0x1a => self.send(&ok(0)).await?,
            0x1b => self.send(&end()).await?,
            // COM_RESET_CONNECTION
            0x1f => {
                self.session = Session::new(self.server, self.session.id);
                self.prepared.clear();
                self.send(&ok(0)).await?;
            }
            _ => return self.refuse(SqlError::new(1047, "08S01", "Unknown command")).await,
        }
        Ok(true)
    }

    async fn refuse(&mut self, failure: SqlError) -> Result<bool, WireError> {
        self.send(&error(&failure)).await?;
        self.session.last_error = Some(failure);
        Ok(true)
    }

    /// Sends what a statement gave; `keeps_error` for those that look at the last error.
    async fn answer(
        &mut self,
        answer: Result<Answer, SqlError>,
        is_binary: bool,
        keeps_error: bool,
    ) -> Result<(), WireError> {
        match answer {
            Ok(answer) => {
                if !keeps_error {
                    self.session.last_error = None;
                }
                match answer {
                    Answer::Rows(grid) => answer::rows(&mut self.packets, &grid, is_binary).await?,
                    Answer::Done(affected) => self.packets.write(&ok(affected)).await?,
                }
                self.packets.flush().await
            }
            Err(failure) => self.refuse(failure).await.map(drop),
        }
    }

    async fn prepare(&mut self, text: &str) -> Result<bool, WireError> {
        if self.prepared.len() >= PREPARED_MAX {
            let text = "Can't create more than max_prepared_stmt_count statements";
            return self.refuse(SqlError::new(1461, "42000", text)).await;
        }
        let (parameters, columns) = match sql::prepare(self.server, &self.session, text) {
            Ok(described) => described,
            Err(failure) => return self.refuse(failure).await,
        };
        let (Ok(parameter_count), Ok(column_count)) = (u16::try_from(parameters), u16::try_from(columns.len())) else {
            return self
                .refuse(SqlError::new(1390, "HY000", "Prepared statement contains too many placeholders"))
                .await;
        };
        let id = self.next_statement;
        self.next_statement = self.next_statement.wrapping_add(1);
        let mut head = vec![0];
        head.extend_from_slice(&id.to_le_bytes());
        head.extend_from_slice(&column_count.to_le_bytes());
        head.extend_from_slice(&parameter_count.to_le_bytes());
        head.extend_from_slice(&[0, 0, 0]);
        self.packets.write(&head).await?;
        if parameters > 0 {
            let parameter = sql::OutputColumn { name: "?".to_owned(), ty: SqlType::Null, origin: None };
            answer::columns(&mut self.packets, &vec![parameter; parameters]).await?;
        }
        if !columns.is_empty() {
            answer::columns(&mut self.packets, &columns).await?;
        }
        self.packets.flush().await?;
        self.prepared.insert(id, Prepared::new(text.to_owned(), parameters));
        Ok(true)
    }

    async fn execute(&mut self, body: &[u8]) -> Result<bool, WireError> {
        let mut reader = Reader(body);
        let id = reader.bytes().map(u32::from_le_bytes).unwrap_or_default();
        let Some(prepared) = self.prepared.get_mut(&id) else {
            let text = format!("Unknown prepared statement handler ({id}) given to EXECUTE");
            return self.refuse(SqlError::new(1243, "HY000", text)).await;
        };
        let parameters = prepared.parameters(reader.0).filter(|_| !prepared.has_long_data);
        let Some(parameters) = parameters else {
            let text =
                "Incorrect arguments to EXECUTE: cursors, long data and TIME values are not imitated by the sandbox";
            return self.refuse(SqlError::new(1210, "HY000", text)).await;
        };
        let sql = prepared.sql.clone();
        let answer = sql::run(self.server, &mut self.session, &sql, parameters).await;
        self.answer(answer, true, false).await?;
        Ok(true)
    }
}

/// The database of `catalog.database`.
fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}
