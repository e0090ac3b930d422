//! `loadlock offsets resolve`: an intent that the engine has forgotten is decided by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::table::{Side, aligned};
use super::{exit_of_engine, exit_of_kafka, loader, runtime, time};
use crate::cli::report::{Console, Failure};
use crate::cli::{Exit, Selection as Chosen, Stop};
use crate::commit::metadata::Metadata;
use crate::commit::resolve::{Outcome, Said, Verdict, Witness, Word};
use crate::commit::{Tag, ranges_text};
use crate::config::{Config, Pipeline, counted};
use crate::domain::{Nonce, Partition, PositionToStore};
use crate::offsets::{Decided, DecidedLoad, Names, ResolveError, Resolved, Resolver, Selection, state_name};

/// Longest wait for members to leave that can be asked for, in seconds.
const WAIT_MAX: u64 = 3600;

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("word").required(true).multiple(true).args(["committed", "aborted"])))]
#[command(after_help = ABOUT)]
pub(in crate::cli) struct Arguments {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Topic of the pipeline
    #[arg(long)]
    topic: String,
    /// Consumer group, where several read the topic
    #[arg(long)]
    group: Option<String>,
    /// The rows are in the table: move the positions behind them. Without a table: in all that the intent leaves open
    #[arg(long, value_name = "TABLE", num_args = 0..)]
    committed: Option<Vec<String>>,
    /// The rows are not in the table: have them loaded again. Without a table: in all that the intent leaves open
    #[arg(long, value_name = "TABLE", num_args = 0..)]
    aborted: Option<Vec<String>>,
    /// Only the intent with this nonce
    #[arg(long, value_parser = nonce, conflicts_with = "partition")]
    nonce: Option<Nonce>,
    /// Only the intent that this partition carries, with all its partitions
    #[arg(long, value_name = "N")]
    partition: Option<Partition>,
    /// Do it; without, only show what would be done
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Only show what would be done: the default
    #[arg(long)]
    dry_run: bool,
    /// Longest wait for members to leave [default: their session time-out and 15 s]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=WAIT_MAX))]
    wait: Option<u64>,
}

const ABOUT: &str = "\
Stop every member of the group first. The command joins the group itself, goes on only when it is
assigned every partition, asks the engine about every load, and refuses a word that the engine
contradicts. What is still prepared is aborted first. Look into the table before you decide: a wrong
word loses or doubles the rows of the range.";

fn nonce(text: &str) -> Result<Nonce, String> {
    text.parse().map_err(|()| "a nonce has 32 hexadecimal digits; `loadlock offsets show` names it".to_owned())
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<Exit, Stop> {
    let chosen = Chosen { config: arguments.config.clone(), topics: vec![arguments.topic.clone()] };
    let config = chosen.load_shown(console)?;
    let pipeline = pipeline(&config, arguments)?;
    let said = said(pipeline, arguments)?;
    let selection = match (arguments.nonce, arguments.partition) {
        (Some(nonce), _) => Selection::Nonce(nonce),
        (None, Some(partition)) => Selection::Partition(partition),
        (None, None) => Selection::All,
    };
    let resolver = Resolver::new(&config.kafka, pipeline, loader(&config.engine)?, selection, said);
    let resolver = resolver.map_err(|error| failure(&error))?;
    let runtime = runtime()?;
    let done = if arguments.yes {
        let wait = arguments.wait.map_or(resolver.usual_wait(), Duration::from_secs);
        runtime.block_on(resolver.act(wait, |step| console.note(step)))
    } else {
        runtime.block_on(resolver.look())
    };
    runtime.shutdown_background();
    let resolved = done.map_err(|error| failure(&error))?;
    show(&resolved, &Names::of(pipeline), arguments.yes, console);
    Ok(Exit::Drained)
}

/// The one pipeline that is meant.
fn pipeline<'c>(config: &'c Config, arguments: &Arguments) -> Result<&'c Pipeline, Failure> {
    let wanted = |pipeline: &&Pipeline| arguments.group.as_deref().is_none_or(|group| group == &*pipeline.group);
    let groups = || {
        let groups: Vec<_> = config.pipelines.iter().map(|pipeline| pipeline.group.to_string()).collect();
        format!("the groups that read it: {}", groups.join(", "))
    };
    let mut found = config.pipelines.iter().filter(wanted);
    let usage = |what: String| Failure::new(Exit::Usage, "usage", what).hint(groups());
    match (found.next(), found.next()) {
        (Some(pipeline), None) => Ok(pipeline),
        (None, _) => Err(usage(format!(
            "the group {} does not read the topic {}",
            arguments.group.as_deref().unwrap_or_default(),
            arguments.topic
        ))),
        (Some(_), Some(_)) => {
            Err(usage(format!("several groups read the topic {}; name one with --group", arguments.topic)))
        }
    }
}

fn said(pipeline: &Pipeline, arguments: &Arguments) -> Result<Said, Failure> {
    let usage = |what: String| Failure::new(Exit::Usage, "usage", what);
    let mut said = Said { tables: BTreeMap::new(), others: None };
    for (word, named) in [(Word::Committed, &arguments.committed), (Word::Aborted, &arguments.aborted)] {
        let Some(named) = named else { continue };
        if named.is_empty() && said.others.replace(word).is_some() {
            return Err(usage("--committed and --aborted contradict each other".to_owned())
                .hint("name tables behind one of them: --committed db.a --aborted db.b"));
        }
        for name in named {
            let table = pipeline.routes.iter().map(|route| &route.table).find(|table| table.to_string() == *name);
            let Some(table) = table else {
                let tables: Vec<_> = pipeline.routes.iter().map(|route| route.table.to_string()).collect();
                return Err(usage(format!("no route of the topic {} loads the table {name}", pipeline.topic))
                    .hint(format!("its tables: {}", tables.join(", "))));
            };
            if said.tables.insert(Tag::of_table(table), word).is_some_and(|before| before != word) {
                return Err(usage(format!("{name} is said to be committed and aborted")));
            }
        }
    }
    Ok(said)
}

fn show(resolved: &Resolved, names: &Names, done: bool, console: &mut Console<'_>) {
    if resolved.decided.is_empty() {
        return console.line("no open intent: there is nothing to resolve");
    }
    for decided in &resolved.decided {
        for line in lines(decided, names) {
            console.line(&line);
        }
    }
    let changes = resolved.decided.iter().flat_map(|decided| changes(decided, names)).collect();
    for line in aligned([("partition", Side::Right), ("before", Side::Left), ("after", Side::Left)], changes) {
        console.line(&line);
    }
    console.line("");
    if resolved.others > 0 {
        console.line(&format!("not asked for: {}", counted(resolved.others, "other open intent")));
    }
    if done {
        return console.line("stored and read back; the next `loadlock run` goes on from there");
    }
    if !resolved.members.is_empty() {
        let hosts: Vec<_> = resolved.members.iter().map(|member| member.host.clone()).collect();
        let count = counted(resolved.members.len(), "member");
        console.line(&format!("the group has {count} ({}): all have to be stopped first", hosts.join(", ")));
    }
    console.line("dry run: nothing was stored; --yes does it");
}

fn lines(decided: &Decided, names: &Names) -> Vec<String> {
    let intent = &decided.intent;
    let mut lines = vec![
        format!("intent {}", intent.nonce),
        format!("  records {}", ranges_text(&intent.ranges())),
        format!("  written {}", time(intent.written_ms)),
    ];
    let head = [("  table", Side::Left), ("engine", Side::Left), ("", Side::Left)];
    let row = |load: &DecidedLoad| {
        let state = load.state.as_ref().map_or("not asked", state_name).to_owned();
        [format!("  {}", load.table), state, verdict(load.verdict).to_owned()]
    };
    lines.extend(aligned(head, decided.loads.iter().map(row).collect()));
    if matches!(decided.outcome, Some(Outcome::Reloads(_))) && intent.mapping != names.mapping {
        lines.push(format!(
            "  its rows were made by the mapping {}, the configured one is {}: load them again with the former first",
            intent.mapping, names.mapping
        ));
    }
    lines.push(String::new());
    lines
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Known(Word::Committed, Witness::Intent) => "committed, as the intent lists",
        Verdict::Known(Word::Aborted, Witness::Intent) => "aborted, as the intent lists",
        Verdict::Known(Word::Committed, Witness::Engine) => "committed, as the engine says",
        Verdict::Known(Word::Aborted, Witness::Engine) => "aborted, as the engine says",
        Verdict::Known(Word::Committed, Witness::Trail) => "committed: another partition was advanced by it",
        Verdict::Known(Word::Aborted, Witness::Trail) => "aborted",
        Verdict::Known(Word::Committed, Witness::Person) => "committed, as you say",
        Verdict::Known(Word::Aborted, Witness::Person) => "aborted, as you say",
        Verdict::Unfinished => "to be aborted first; what the engine says then counts",
        Verdict::Unsaid => "nothing is said about it",
        Verdict::Unasked => "can't be asked about",
        Verdict::Contradicted(..) => "contradicted",
    }
}

fn changes(decided: &Decided, names: &Names) -> Vec<[String; 3]> {
    let after: BTreeMap<Partition, PositionToStore> =
        decided.positions().into_iter().map(|position| (position.partition, position)).collect();
    let row = |(partition, holder): (&Partition, &crate::commit::resolve::Holder)| {
        let after = after.get(partition).map(|after| match &decided.outcome {
            Some(Outcome::Reloads(aborted)) => {
                let tables: Vec<_> = aborted.iter().map(|tag| names.shown(*tag)).collect();
                format!("{} with the intent, to be loaded again into {}", after.offset, tables.join(" "))
            }
            Some(Outcome::Withdrawn) => format!("{} without intent: the records are read again", after.offset),
            Some(Outcome::Advances) | None => {
                let trail = Metadata::parse(&after.metadata).ok().and_then(|metadata| metadata.trail);
                let trail = trail.map(|trail| format!(" with trail {trail}")).unwrap_or_default();
                format!("{}{trail}", after.offset)
            }
        });
        let before = format!("{} with the intent up to {}", holder.range.start, holder.range.end);
        [partition.to_string(), before, after.unwrap_or_default()]
    };
    decided.intent.holders.iter().map(row).collect()
}

fn failure(error: &ResolveError) -> Failure {
    const STOP: &str = "stop every process of this group; one that was killed is gone when its session ends (--wait)";
    let (exit, kind, hint) = match error {
        ResolveError::Kafka(error) => (exit_of_kafka(error), error.code(), None),
        ResolveError::Away(_) => (Exit::Unreachable, "kafka-away", None),
        ResolveError::Engine(failure) => {
            let hint = "without the engine's own word nothing is decided; try again when it answers";
            (exit_of_engine(failure.class), "engine-unanswered", Some(hint))
        }
        ResolveError::NoSuchIntent(_) => {
            (Exit::Usage, "no-such-intent", Some("`loadlock offsets show` lists the open intents"))
        }
        ResolveError::Contradicted(_) => (
            Exit::NeedsPerson,
            "contradicted",
            Some(
                "`loadlock run` settles by itself what the engine remembers; name the tables that it has forgotten: \
                 --committed db.a, --aborted db.b",
            ),
        ),
        ResolveError::Unsaid(_) => {
            let hint = "say --committed TABLE or --aborted TABLE for each; --nonce or --partition chooses an intent";
            (Exit::Usage, "usage", Some(hint))
        }
        ResolveError::Impossible(_) => (Exit::NeedsPerson, "not-resolvable", None),
        ResolveError::Members { .. } | ResolveError::NotAlone { .. } => {
            (Exit::NeedsPerson, "members-running", Some(STOP))
        }
        ResolveError::Membership(_) | ResolveError::NotStored(_) => (Exit::NeedsPerson, "not-stored", None),
        ResolveError::NotKnown(_) => {
            (Exit::NeedsPerson, "not-known", Some("give the same command again: it reads first what is stored"))
        }
    };
    let failure = Failure::new(exit, kind, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
