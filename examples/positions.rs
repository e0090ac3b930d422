//! Shows the stored positions of a consumer group beside the end of the log. `scripts/quickstart` ends with it.

#![expect(clippy::print_stdout, reason = "the positions are what the program is for")]

use std::error::Error;
use std::time::Duration;

use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const DEADLINE: Duration = Duration::from_secs(15);

/// Prints partition, position, end of the log and what lies between, one partition per line.
#[derive(Parser)]
struct Arguments {
    /// Bootstrap brokers.
    #[arg(long)]
    brokers: String,
    /// Topic.
    #[arg(long)]
    topic: String,
    /// Consumer group.
    #[arg(long)]
    group: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    // Never subscribes, never commits: it only reads what is stored.
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &arguments.brokers)
        .set("group.id", &arguments.group)
        .set("enable.auto.commit", "false")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(&arguments.topic), DEADLINE)?;
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        list.add_partition(&arguments.topic, partition.id());
    }
    let stored = consumer.committed_offsets(list, DEADLINE)?;

    println!("{:>9} {:>12} {:>12} {:>9}", "partition", "position", "end", "lag");
    let (mut positions, mut ends, mut lag) = (0, 0, 0);
    for element in stored.elements() {
        let (low, end) = consumer.fetch_watermarks(&arguments.topic, element.partition(), DEADLINE)?;
        let (position, shown) = if let Offset::Offset(position) = element.offset() {
            (position, position.to_string())
        } else {
            (low, "none".to_owned())
        };
        println!("{:>9} {shown:>12} {end:>12} {:>9}", element.partition(), end - position);
        positions += position;
        ends += end;
        lag += end - position;
    }
    println!("{:>9} {positions:>12} {ends:>12} {lag:>9}", "all");
    Ok(())
}
