//! Records are packed into chunks, and the chunks wait here until the pipeline and the memory budget take them.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::SourceSpec;
use crate::domain::{Offset, Partition};
use crate::record::{Chunk, RecordHead};

/// What a record costs in memory beside its bytes: its place in the chunk's table.
const RECORD_OVERHEAD: usize = 64;

/// What became of the chunks that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// None is left.
    AllTaken,
    /// No room in the channel or in the budget.
    Stalled,
    /// Nobody listens any more.
    Unwanted,
}

/// A share of the budget and a place in the channel; `None` when nobody listens any more.
type Place = Option<(OwnedSemaphorePermit, mpsc::OwnedPermit<Chunk>)>;

/// The chunk being filled, and those that are full.
pub struct Filling {
    topic: Arc<str>,
    records_max: usize,
    bytes_max: usize,
    linger: Duration,
    budget: Arc<Semaphore>,
    budget_kib_max: u32,
    fence: u64,
    open: Option<(Chunk, Instant)>,
    /// Room to make for the next chunk: what the last one took, and an eighth.
    usual: (usize, usize),
    full: VecDeque<Chunk>,
    /// Our turn in the queue for the first full chunk's place.
    waiting: Option<Pin<Box<dyn Future<Output = Place> + Send>>>,
    sender: mpsc::Sender<Chunk>,
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling").field("fence", &self.fence).field("full", &self.full.len()).finish_non_exhaustive()
    }
}

impl Filling {
    /// Nothing has been read; full chunks go to `sender` when `budget` has room for them.
    pub fn new(spec: &SourceSpec, budget: Arc<Semaphore>, sender: mpsc::Sender<Chunk>) -> Self {
        Self {
            topic: Arc::clone(&spec.topic),
            records_max: spec.chunk_records_max,
            bytes_max: spec.chunk_bytes_max,
            linger: spec.chunk_linger,
            budget,
            budget_kib_max: spec.budget_kib_max.max(1),
            fence: 0,
            open: None,
            usual: (0, 0),
            full: VecDeque::new(),
            waiting: None,
            sender,
        }
    }

    /// Adds a record; true if the chunk is now closed.
    pub fn push<'h>(
        &mut self,
        head: RecordHead,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>,
        now: Instant,
    ) -> bool {
        let (records_max, bytes_max) = (self.records_max, self.bytes_max);
        let chunk = self.chunk(now);
        // A position reached before this record says nothing any more.
        if !chunk.reached.is_empty() {
            chunk.reached.remove(&head.partition);
        }
        chunk.push(head, key, value, headers);
        let full = chunk.len() >= records_max || weight(chunk) >= bytes_max;
        if full {
            self.close();
        }
        full
    }

    /// Adds the position that a partition was read to.
    pub fn reached(&mut self, partition: Partition, position: Offset, now: Instant) {
        self.chunk(now).reached.insert(partition, position);
    }

    fn chunk(&mut self, now: Instant) -> &mut Chunk {
        let (topic, fence, (bytes, records)) = (&self.topic, self.fence, self.usual);
        let fresh = || (Chunk::with_capacity(Arc::clone(topic), fence, bytes, records), now);
        let (chunk, _) = self.open.get_or_insert_with(fresh);
        chunk
    }

    /// Closes the open chunk when it has waited long enough.
    pub fn close_if_due(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.close();
        }
    }

    /// When the open chunk is due.
    pub fn due(&self) -> Option<Instant> {
        self.open.as_ref().map(|(_, opened)| *opened + self.linger)
    }

    fn close(&mut self) {
        if let Some((chunk, _)) = self.open.take() {
            self.usual = (chunk.bytes() + chunk.bytes() / 8, chunk.len() + chunk.len() / 8);
            self.full.push_back(chunk);
        }
    }

    /// Forgets what has not been handed on; chunks carry `fence` from now on.
    pub fn restart(&mut self, fence: u64) {
        self.discard();
        self.fence = fence;
    }

    /// Forgets what has not been handed on.
    pub fn discard(&mut self) {
        self.open = None;
        self.full.clear();
        self.waiting = None;
    }

    /// What was read up to now keeps its fence; chunks carry `fence` from now on.
    pub fn raise(&mut self, fence: u64) {
        self.close();
        self.fence = fence;
    }

    /// Hands on what is full, as far as channel and budget have room. `wake` is called when they have again.
    pub fn offer(&mut self, wake: &Waker) -> Offered {
        while let Some(chunk) = self.full.front() {
            let kib = permits(weight(chunk), self.budget_kib_max);
            let (budget, sender) = (Arc::clone(&self.budget), self.sender.clone());
            // The budget serves who waits in turn, so a small chunk can't starve a large one of another pipeline.
            let waiting = self.waiting.get_or_insert_with(|| Box::pin(place(budget, sender, kib)));
            match waiting.as_mut().poll(&mut Context::from_waker(wake)) {
                Poll::Pending => return Offered::Stalled,
                Poll::Ready(None) => {
                    self.discard();
                    return Offered::Unwanted;
                }
                Poll::Ready(Some((share, place))) => {
                    self.waiting = None;
                    if let Some(mut chunk) = self.full.pop_front() {
                        chunk.permit = Some(share);
                        place.send(chunk);
                    }
                }
            }
        }
        Offered::AllTaken
    }
}

async fn place(budget: Arc<Semaphore>, sender: mpsc::Sender<Chunk>, kib: u32) -> Place {
    let share = budget.acquire_many_owned(kib).await.ok()?;
    let place = sender.reserve_owned().await.ok()?;
    Some((share, place))
}

fn weight(chunk: &Chunk) -> usize {
    chunk.bytes() + chunk.len() * RECORD_OVERHEAD
}

/// KiB that a chunk holds; never more than the whole budget, or it could not pass.
fn permits(weight: usize, most: u32) -> u32 {
    u32::try_from(weight.div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::Kafka;

    fn filling(budget_kib: u32) -> (Filling, mpsc::Receiver<Chunk>) {
        let kafka = Kafka { brokers: String::new(), properties: BTreeMap::new() };
        let mut spec = SourceSpec::new(kafka, "t".into(), "g".into(), budget_kib);
        spec.chunk_records_max = 2;
        let (sender, receiver) = mpsc::channel(2);
        (Filling::new(&spec, Arc::new(Semaphore::new(budget_kib as usize)), sender), receiver)
    }

    fn push(filling: &mut Filling, offset: Offset, value: &[u8]) -> bool {
        let head = RecordHead { partition: 0, offset, leader_epoch: 0, timestamp_ms: None };
        filling.push(head, None, Some(value), std::iter::empty(), Instant::now())
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn offsets(chunk: &Chunk) -> Vec<Offset> {
        chunk.iter().map(|record| record.offset).collect()
    }

    #[test]
    fn a_chunk_closes_by_records_bytes_or_age() {
        let (mut filling, mut chunks) = filling(4096);
        assert!(!push(&mut filling, 0, b"a"));
        assert!(push(&mut filling, 1, b"b"));
        assert!(push(&mut filling, 2, &vec![0; 600_000]));
        assert_eq!(filling.offer(Waker::noop()), Offered::AllTaken);
        assert_eq!(offsets(&chunks.try_recv().expect("first")), [0, 1]);
        assert_eq!(offsets(&chunks.try_recv().expect("second")), [2]);

        push(&mut filling, 3, b"c");
        let due = filling.due().expect("a chunk is open");
        filling.close_if_due(due - Duration::from_millis(1));
        assert!(filling.due().is_some());
        filling.close_if_due(due);
        assert_eq!(filling.offer(Waker::noop()), Offered::AllTaken);
        assert_eq!(offsets(&chunks.try_recv().expect("third")), [3]);
    }

    #[test]
    fn a_full_channel_or_budget_stalls_without_losing_or_reordering() {
        let (mut filling, mut chunks) = filling(1);
        for offset in 0..6 {
            push(&mut filling, offset, b"x");
        }
        assert_eq!(filling.offer(Waker::noop()), Offered::Stalled);
        let first = chunks.try_recv().expect("first");
        assert!(chunks.try_recv().is_err(), "the budget holds one chunk");
        assert_eq!(filling.offer(Waker::noop()), Offered::Stalled);
        let woken = Arc::new(Woken::default());
        assert_eq!(filling.offer(&Waker::from(Arc::clone(&woken))), Offered::Stalled);
        drop(first);
        assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed), "room wakes");
        assert_eq!(filling.offer(Waker::noop()), Offered::Stalled);
        assert_eq!(offsets(&chunks.try_recv().expect("second")), [2, 3]);
    }

    #[test]
    fn a_chunk_larger_than_the_budget_passes() {
        let (mut filling, mut chunks) = filling(4);
        push(&mut filling, 0, &vec![0; 1 << 20]);
        assert_eq!(filling.offer(Waker::noop()), Offered::AllTaken);
        assert_eq!(chunks.try_recv().expect("passed").permit.expect("holds").num_permits(), 4);
    }

    #[test]
    fn a_later_record_makes_a_position_reached_void() {
        let (mut filling, mut chunks) = filling(64);
        filling.reached(0, 5, Instant::now());
        filling.reached(1, 9, Instant::now());
        push(&mut filling, 6, b"x");
        filling.raise(1);
        filling.offer(Waker::noop());
        assert_eq!(chunks.try_recv().expect("one").reached, BTreeMap::from([(1, 9)]));
    }

    #[test]
    fn a_restart_forgets_and_a_raise_keeps() {
        let (mut filling, mut chunks) = filling(64);
        push(&mut filling, 0, b"x");
        filling.restart(7);
        push(&mut filling, 1, b"y");
        filling.raise(8);
        push(&mut filling, 2, b"z");
        filling.raise(9);
        filling.offer(Waker::noop());
        let (first, second) = (chunks.try_recv().expect("first"), chunks.try_recv().expect("second"));
        assert_eq!((first.fence, offsets(&first)), (7, vec![1]));
        assert_eq!((second.fence, offsets(&second)), (8, vec![2]));
    }

    #[test]
    fn nobody_listens() {
        let (mut filling, chunks) = filling(64);
        drop(chunks);
        push(&mut filling, 0, b"x");
        filling.raise(1);
        assert_eq!(filling.offer(Waker::noop()), Offered::Unwanted);
    }
}
