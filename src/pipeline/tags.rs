//! What a pipeline is called in its intents and labels. A change of it makes open intents unreadable.

use crate::commit::Tag;
use crate::config;

/// Tag of the pipeline itself: group and topic.
pub fn pipeline_tag(pipeline: &config::Pipeline) -> Tag {
    Tag::of(&format!("{}\0{}", pipeline.group, pipeline.topic))
}

/// Digest of the mapping of all its routes.
pub fn mapping_tag(pipeline: &config::Pipeline) -> Tag {
    let digests: Vec<&str> = pipeline.routes.iter().map(|route| route.digest.as_str()).collect();
    Tag::of(&digests.join("+"))
}
