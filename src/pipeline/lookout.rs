//! Preflight beside the pipelines: it delays no start, and stops a pipeline only for what it has really found.

use std::sync::Arc;

use tokio::sync::watch;

use crate::commit::{Event, Stop, StopCode};
use crate::config::Config;
use crate::load::Loader;
use crate::preflight::{self, Finding, Severity};

/// The findings, once they are there.
pub(super) type Findings = watch::Receiver<Option<Arc<[Finding]>>>;

/// Begins to ask; says each finding once when the answers have come.
pub(super) fn begin(config: &Config, loader: &Loader) -> Findings {
    let (tell, told) = watch::channel(None);
    let (config, loader) = (config.clone(), loader.clone());
    tokio::spawn(async move {
        let look = preflight::look(&config, &loader).await;
        look.findings.iter().for_each(say);
        tell.send_replace(Some(look.findings.into()));
    });
    told
}

fn say(finding: &Finding) {
    let Finding { name, remedy, .. } = finding;
    match finding.severity {
        Severity::Refuse | Severity::Warn => tracing::warn!(finding = name, hint = remedy, "preflight: {finding}"),
        Severity::Note => tracing::info!(finding = name, hint = remedy, "preflight: {finding}"),
    }
}

/// The stop for the pipeline of this topic, if it is refused.
pub(super) async fn refusal(mut findings: Findings, topic: Arc<str>) -> Option<Event> {
    let findings = findings.wait_for(Option::is_some).await.ok()?.clone()?;
    let finding = findings.iter().find(|finding| finding.refuses(&topic))?;
    let what = format!("{finding}; {}", finding.remedy);
    Some(Event::Halt(Stop { code: StopCode::Preflight, what }))
}
