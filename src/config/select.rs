//! `--topic`: only some of the pipelines.

use super::reader::nearest;
use super::{Config, Pipeline};

/// A topic that no route reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no route reads the topic {topic}")]
pub struct UnknownTopic {
    /// The topic asked for.
    pub topic: String,
    /// The topic that was probably meant, if one is near.
    pub nearest: Option<String>,
}

impl Config {
    /// Keeps the pipelines of these topics; all of them if none is named.
    ///
    /// # Errors
    /// When no route reads one of the topics; nothing is changed then.
    pub fn select_topics(&mut self, topics: &[String]) -> Result<(), UnknownTopic> {
        for topic in topics {
            if self.pipelines_of(topic).next().is_none() {
                let known = self.pipelines.iter().map(|pipeline| &*pipeline.topic);
                let nearest = nearest(topic, known).map(str::to_owned);
                return Err(UnknownTopic { topic: topic.clone(), nearest });
            }
        }
        if !topics.is_empty() {
            self.pipelines.retain(|pipeline| topics.iter().any(|topic| **topic == *pipeline.topic));
        }
        Ok(())
    }

    /// The pipelines that read a topic: one per group.
    pub fn pipelines_of<'c>(&'c self, topic: &'c str) -> impl Iterator<Item = &'c Pipeline> {
        self.pipelines.iter().filter(move |pipeline| &*pipeline.topic == topic)
    }
}
