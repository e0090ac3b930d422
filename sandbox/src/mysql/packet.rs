//! Packets: four bytes of header, a payload, a sequence number that both sides count.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Payload of the longest single packet; a longer one continues in the next.
const CHUNK_MAX: usize = 0xff_ffff;
/// Longest payload that a client may send (`max_allowed_packet`).
pub(super) const PAYLOAD_MAX: usize = 16 << 20;
/// Longest payload of somebody who hasn't logged in yet.
pub(super) const LOGIN_MAX: usize = 64 << 10;
/// How long a packet that has begun may take, and an answer that isn't read.
const PACKET_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer that are gathered before they are written.
const GATHERED_BYTES: usize = 64 << 10;

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The other side is gone.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It was silent for too long.
    #[error("nothing was heard for too long")]
    Silence,
    /// A sequence number is not the next one.
    #[error("a packet is out of order")]
    OutOfOrder,
    /// More than may come here.
    #[error("a packet is too large")]
    TooLarge,
}

/// A connection as packets.
pub(super) struct Packets<S> {
    stream: S,
    sequence: u8,
    out: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, sequence: 0, out: Vec::new() }
    }

    /// The next packet begins a command.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// Reads a payload of at most `max` bytes; `None` when the other side has closed. Waits `patience` for its first byte.
    pub(super) async fn read(&mut self, patience: Duration, max: usize) -> Result<Option<Vec<u8>>, WireError> {
        let first = timeout(patience, self.stream.read_u8()).await.map_err(|_| WireError::Silence)?;
        let first = match first {
            Ok(byte) => byte,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        timeout(PACKET_TIME_MAX, self.read_rest(first, max)).await.map_err(|_| WireError::Silence)?.map(Some)
    }

    async fn read_rest(&mut self, first: u8, max: usize) -> Result<Vec<u8>, WireError> {
        let mut payload = Vec::new();
        let mut first = Some(first);
        loop {
            let low = match first.take() {
                Some(byte) => byte,
                None => self.stream.read_u8().await?,
            };
            let mut rest = [0; 3];
            self.stream.read_exact(&mut rest).await?;
            let [middle, high, sequence] = rest;
            if sequence != self.sequence {
                return Err(WireError::OutOfOrder);
            }
            self.sequence = sequence.wrapping_add(1);
            let length = u32::from_le_bytes([low, middle, high, 0]);
            let wanted = payload.len() + length as usize;
            if wanted > max {
                return Err(WireError::TooLarge);
            }
            // Memory grows with what arrives, not with what is announced.
            (&mut self.stream).take(u64::from(length)).read_to_end(&mut payload).await?;
            if payload.len() < wanted {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            if (length as usize) < CHUNK_MAX {
                return Ok(payload);
            }
        }
    }

    /// Adds a payload to the answer.
    pub(super) async fn write(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut rest = payload;
        loop {
            let (chunk, after) = rest.split_at(rest.len().min(CHUNK_MAX));
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_le_bytes();
            self.out.extend_from_slice(&length[..3]);
            self.out.push(self.sequence);
            self.out.extend_from_slice(chunk);
            self.sequence = self.sequence.wrapping_add(1);
            rest = after;
            // A full chunk is followed by another one, be it empty.
            if chunk.len() < CHUNK_MAX {
                break;
            }
        }
        if self.out.len() >= GATHERED_BYTES { self.flush().await } else { Ok(()) }
    }

    /// Sends what was gathered.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        let sent = timeout(PACKET_TIME_MAX, self.stream.write_all(&self.out)).await;
        self.out.clear();
        Ok(sent.map_err(|_| WireError::Silence)??)
    }
}

/// Reads a payload from its front; everything is `None` behind its end.
pub(super) struct Reader<'p>(pub(super) &'p [u8]);

impl<'p> Reader<'p> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'p [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// Up to a zero byte, which is taken, too.
    pub(super) fn zero_ended(&mut self) -> Option<&'p [u8]> {
        let end = memchr::memchr(0, self.0)?;
        let text = self.take(end)?;
        self.byte()?;
        Some(text)
    }

    /// A number in one, three, four or nine bytes.
    pub(super) fn number(&mut self) -> Option<u64> {
        Some(match self.byte()? {
            0xfc => u64::from(u16::from_le_bytes(self.bytes()?)),
            0xfd => {
                let [a, b, c] = self.bytes()?;
                u64::from(u32::from_le_bytes([a, b, c, 0]))
            }
            0xfe => u64::from_le_bytes(self.bytes()?),
            0xfb | 0xff => return None,
            small => u64::from(small),
        })
    }

    /// Bytes behind their number.
    pub(super) fn counted(&mut self) -> Option<&'p [u8]> {
        let length = self.number()?;
        self.take(usize::try_from(length).ok()?)
    }
}

/// Writes a number as [`Reader::number`] reads it.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0xfa => out.push(number.to_le_bytes()[0]),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&number.to_le_bytes()[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&number.to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

/// Writes bytes as [`Reader::counted`] reads them.
pub(super) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for number in [0, 250, 251, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            assert_eq!(Reader(&out).number(), Some(number));
            assert_eq!(Reader(&out[..out.len() - 1]).number(), None);
        }
    }

    #[tokio::test]
    async fn long_payloads_are_cut_and_joined() {
        for length in [0, 1, CHUNK_MAX - 1, CHUNK_MAX, PAYLOAD_MAX - 1, PAYLOAD_MAX] {
            let (a, b) = tokio::io::duplex(1 << 20);
            let (mut a, mut b) = (Packets::new(a), Packets::new(b));
            let payload: Vec<u8> = (0..length).map(|n| n.to_le_bytes()[0]).collect();
            let sender = tokio::spawn(async move {
                a.write(&payload).await.unwrap();
                a.flush().await.unwrap();
                payload
            });
            let got = b.read(PACKET_TIME_MAX, PAYLOAD_MAX).await.unwrap().unwrap();
            assert!(got == sender.await.unwrap(), "{length}");
            assert!(b.read(PACKET_TIME_MAX, PAYLOAD_MAX).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn what_breaks_a_connection() {
        let cases: [(&[u8], &str); 4] = [
            (&[1, 0, 0, 7, 3], "a packet is out of order"),
            (&[0xff, 0xff, 0xff, 0, 3], "unexpected end of file"),
            (&[9, 0, 0, 0, 3], "unexpected end of file"),
            (&[9, 0], "early eof"),
        ];
        for (bytes, want) in cases {
            let (mut a, b) = tokio::io::duplex(64);
            a.write_all(bytes).await.unwrap();
            drop(a);
            let error = Packets::new(b).read(PACKET_TIME_MAX, PAYLOAD_MAX).await.unwrap_err();
            assert_eq!(error.to_string(), want, "{bytes:?}");
        }
    }
}
