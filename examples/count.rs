//! A consumer that only counts: what reading a topic costs before anything is done with its records.
//! `scripts/bench` runs it beside the loader.

#![expect(clippy::print_stdout, reason = "the count is what the program is for")]

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Silence after which the topic is taken to hold fewer records than asked for.
const SILENCE: Duration = Duration::from_secs(30);
const METADATA: Duration = Duration::from_secs(10);

/// Reads a topic from its start and counts.
#[derive(Parser)]
struct Arguments {
    /// Bootstrap brokers.
    #[arg(long)]
    brokers: String,
    /// Topic to read.
    #[arg(long)]
    topic: String,
    /// Ends after this many records.
    #[arg(long)]
    records: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", "count")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        // The default of a second makes a fast reader wait.
        .set("fetch.queue.backoff.ms", "10")
        .create()?;
    consumer.assign(&whole_topic(&consumer, &arguments.topic)?)?;

    let began = Instant::now();
    let (mut records, mut bytes) = (0_u64, 0_u64);
    let mut heard = began;
    while records < arguments.records {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                records += 1;
                bytes += message?.payload_len() as u64;
            }
            None if heard.elapsed() > SILENCE => {
                return Err(format!("only {records} of {} records came", arguments.records).into());
            }
            None => continue,
        }
        // Looking at the clock for each record would be measured, too.
        if records % 1024 == 0 {
            heard = Instant::now();
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("records={records} bytes={bytes} seconds={seconds:.3} peak_kib={}", peak_kib());
    Ok(())
}

fn whole_topic(consumer: &BaseConsumer, topic: &str) -> Result<TopicPartitionList, Box<dyn Error>> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|found| found.partitions()) {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    if list.count() == 0 {
        return Err(format!("topic {topic} has no partitions").into());
    }
    Ok(list)
}

/// Largest resident memory of this process so far, KiB; 0 where the system does not say.
fn peak_kib() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
