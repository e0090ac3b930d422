//! A Kafka source in virtual time. It serves the commands of [`loadlock::source::Control`] and keeps the contract of the
//! consumer thread in `src/source/worker`; who owns what, what flows, and how chunks are packed is the thread's own code.
//!
//! | file | stands for |
//! |---|---|
//! | `client` | librdkafka: heartbeats, joins and generations, which go on while the thread is busy |
//! | `thread` | the consumer thread: commands, rebalances, records |
//! | `record` | its OffsetCommits: the guard, the answer, the wait for what passes, the read-back |

mod client;
mod record;
mod thread;

use std::sync::{Arc, Mutex};

use loadlock::record::Chunk;
use loadlock::source::{Source, SourceSpec};
use tokio::sync::{Semaphore, mpsc};

use crate::mutant::Mutant;
use crate::world::{Life, Sim};

/// Starts a source whose tasks end with the process.
pub(crate) fn start(sim: &Sim, life: &Arc<Life>, mut spec: SourceSpec, budget: Arc<Semaphore>) -> Source {
    spec.chunk_records_max = 4;
    spec.chunks_ahead = 2;
    spec.release_deadline = std::time::Duration::from_secs(5);
    let (source, mut ends) = Source::served(Arc::clone(&spec.topic), spec.chunks_ahead);
    if sim.lock().mutant == Some(Mutant::OldChunksAreFresh) {
        ends.chunks = restamped(life, ends.chunks);
    }
    let seat = Arc::new(Mutex::default());
    let heart = tokio::spawn(client::beat(Arc::clone(sim), Arc::clone(life), Arc::clone(&seat), life.dice()));
    life.add(heart.abort_handle());
    let thread = thread::Thread::new(Arc::clone(sim), Arc::clone(life), seat, spec, budget, ends, heart.abort_handle());
    life.add(tokio::spawn(thread.run()).abort_handle());
    source
}

/// A mistake: every chunk carries the newest fence that was seen.
fn restamped(life: &Arc<Life>, chunks: mpsc::Sender<Chunk>) -> mpsc::Sender<Chunk> {
    let (sender, mut receiver) = mpsc::channel::<Chunk>(8);
    let forward = tokio::spawn(async move {
        let mut waiting = Vec::new();
        while receiver.recv_many(&mut waiting, 8).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            while let Ok(more) = receiver.try_recv() {
                waiting.push(more);
            }
            let newest = waiting.iter().map(|chunk| chunk.fence).max().unwrap_or(0);
            for mut chunk in waiting.drain(..) {
                chunk.fence = newest;
                if chunks.send(chunk).await.is_err() {
                    return;
                }
            }
        }
    });
    life.add(forward.abort_handle());
    sender
}
