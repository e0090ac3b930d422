//! `kafka`: a Kafka alone.

use std::io::Write;

use loadlock_sandbox::{Kafka as Cluster, Topic};
use serde_json::json;

use super::{Failure, Ready, until_stopped};

#[derive(Debug, clap::Args)]
pub(crate) struct Kafka {
    /// Topic to make; may be given several times
    #[arg(long, value_name = "NAME:PARTITIONS", required = true)]
    topic: Vec<Topic>,
    #[command(flatten)]
    ready: Ready,
}

impl Kafka {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let cluster = Cluster::start(&self.topic)?;
        writeln!(out, "kafka is up at {} (in memory, plaintext)", cluster.brokers())?;
        out.flush()?;
        self.ready.write(&json!({"kafka": cluster.brokers(), "pid": std::process::id()}))?;
        until_stopped().await?;
        writeln!(out, "stopped")?;
        Ok(())
    }
}
