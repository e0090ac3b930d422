//! Effects as short lines.
//!
//! `0@5+2..10(a,!b)~1` is partition 0 at position 5 with an intent of nonce 2 that ends at 10, over table a and a table
//! b that is done (`-b`: that a person declared aborted), behind a trail of nonce 1.

use super::{Effect, Metadata, PositionToStore, table, tag};
use crate::domain::{Offset, Partition};
use crate::event::{Notice, Txn};
use crate::label::Tag;
use crate::metadata::{Fate, IntentTable, OriginStart};

fn name(wanted: Tag) -> &'static str {
    ["a", "b"].into_iter().find(|name| tag(name) == wanted).unwrap_or("?")
}

fn txn(txn: &Txn) -> String {
    let nonce = txn.label.0.rsplit('-').next().and_then(|hex| u128::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let known = ["a", "b"].into_iter().find(|name| table(name) == txn.table).unwrap_or("?");
    format!("{nonce}:{known}")
}

fn list<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> String) -> String {
    items.into_iter().map(|item| format!(" {}", show(item))).collect()
}

fn at((partition, offset): (&Partition, &Offset)) -> String {
    format!("{partition}@{offset}")
}

pub(super) fn position(PositionToStore { partition, offset, metadata }: &PositionToStore) -> String {
    let Ok(metadata) = Metadata::parse(metadata) else { return format!("{partition}@{offset}?") };
    let mut text = format!("{partition}@{offset}");
    if let Some(intent) = &metadata.intent {
        let shown = |(tag, table): (&Tag, &IntentTable)| {
            let fate = match table.fate {
                Fate::Open => "",
                Fate::Done => "!",
                Fate::Aborted => "-",
            };
            format!("{fate}{}", name(*tag))
        };
        let mut tables: Vec<_> = intent.tables.iter().map(shown).collect();
        tables.sort_by_key(|name| name.trim_start_matches(['!', '-']).to_owned());
        text.push_str(&format!("+{}..{}({})", intent.nonce.0, intent.end, tables.join(",")));
    }
    if let Some(trail) = metadata.trail {
        text.push_str(&format!("~{}", trail.0));
    }
    text
}

fn start(start: OriginStart) -> String {
    match start {
        OriginStart::Earliest => "earliest".to_owned(),
        OriginStart::Latest(ms) => format!("latest {ms}"),
        OriginStart::Timestamp(ms) => format!("timestamp {ms}"),
        OriginStart::Offsets => "offsets".to_owned(),
    }
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Advanced { .. } => "(advanced)".to_owned(),
        Notice::Dropped { why, .. } => format!("(dropped: {why})"),
        Notice::Settled { nonce, reloads, .. } => {
            format!("(settled {}: {})", nonce.0, if *reloads { "load again" } else { "visible" })
        }
        Notice::Started { starts } => format!("(started{})", list(starts, at)),
        Notice::ForeignPosition { partition, offset } => format!("(foreign {partition}@{offset})"),
        Notice::DoubtfulCommit => "(doubtful)".to_owned(),
    }
}

pub(super) fn brief(effect: &Effect) -> String {
    match effect {
        Effect::ReadPositions { partitions, .. } => format!("read{}", list(partitions, ToString::to_string)),
        Effect::Resolve { start: wanted, fresh, partitions, .. } => {
            let fresh = if *fresh { " now" } else { "" };
            format!("resolve {}{fresh}{}", start(*wanted), list(partitions, |p| format!("{p}")))
        }
        Effect::Record { positions, .. } => format!("record{}", list(positions, position)),
        Effect::Fill(fill) => match &fill.reload {
            None => format!("fill{}", list(&fill.starts, at)),
            Some(reload) => {
                let until = |(partition, from)| format!("{partition}@{from}..{}", reload.ends[partition]);
                format!("reload{} for{}", list(&fill.starts, until), list(&reload.tables, |tag| name(*tag).to_owned()))
            }
        },
        Effect::NextFill { .. } => "next fill".to_owned(),
        Effect::Join { starts } => format!("join{}", list(starts, at)),
        Effect::Hold => "hold".to_owned(),
        Effect::Seal { .. } => "seal".to_owned(),
        Effect::Prepare { .. } => "prepare".to_owned(),
        Effect::Abandon { loads, .. } => format!("abandon{}", list(loads, txn)),
        Effect::Commit { txn: load, .. } => format!("commit {}", txn(load)),
        Effect::Abort { txn: load, .. } => format!("abort {}", txn(load)),
        Effect::Ask { txn: load, .. } => format!("ask {}", txn(load)),
        Effect::LookForEvidence { txn: load, ranges, .. } => {
            let held = list(ranges, |(partition, range)| format!("{partition}:{range}"));
            format!("look for rows of {} in{held}", txn(load))
        }
        Effect::LookForLabels { .. } => "look for labels".to_owned(),
        Effect::Release(partitions) => format!("release{}", list(partitions, ToString::to_string)),
        Effect::Rejoin => "rejoin".to_owned(),
        Effect::Report(said) => notice(said),
        Effect::Drained => "drained".to_owned(),
        Effect::Stop(stop) => format!("stop {}", stop.code),
    }
}
