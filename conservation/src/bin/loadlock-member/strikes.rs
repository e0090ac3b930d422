//! Watches the points that the loader passes, and strikes.

use std::fs::File;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use loadlock_conservation::strike::{Action, Strike};
use rustix::process::{Signal, getpid, kill_process};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// Longer than a signal takes to reach every thread.
const STANDSTILL: Duration = Duration::from_millis(2);

/// Strikes the process in the thread that passes the point, or a little later from another.
pub(crate) struct Striker {
    left: Mutex<Vec<Strike>>,
    struck: Arc<Mutex<File>>,
}

impl Striker {
    /// `struck` gets a line for each strike before it happens.
    pub(crate) fn new(strikes: Vec<Strike>, struck: File) -> Self {
        Self { left: Mutex::new(strikes), struck: Arc::new(Mutex::new(struck)) }
    }

    /// The strike that is due at this passing of the point.
    fn due(&self, point: &str) -> Option<Strike> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = None;
        for (index, strike) in left.iter_mut().enumerate().filter(|(_, strike)| strike.point == point) {
            strike.nth = strike.nth.saturating_sub(1);
            if strike.nth == 0 && due.is_none() {
                due = Some(index);
            }
        }
        due.map(|index| left.swap_remove(index))
    }
}

fn strike(strike: &Strike, struck: &Mutex<File>) {
    {
        let mut file = struck.lock().unwrap_or_else(PoisonError::into_inner);
        let written = writeln!(file, "{} {}", strike.point, strike.action.word()).and_then(|()| file.sync_data());
        if let Err(error) = written {
            tracing::error!("a strike could not be written down: {error}");
        }
    }
    let signal = match strike.action {
        Action::Kill => Signal::KILL,
        Action::Stop => Signal::STOP,
    };
    match kill_process(getpid(), signal) {
        // All threads stop, each when it next leaves the kernel: this one now.
        Ok(()) => thread::sleep(STANDSTILL),
        Err(error) => tracing::error!("{signal:?} could not be sent: {error}"),
    }
}

impl<S: Subscriber> Layer<S> for Striker {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut point = Point(None);
        event.record(&mut point);
        let Some(due) = point.0.and_then(|point| self.due(&point)) else { return };
        if due.after.is_zero() {
            return strike(&due, &self.struck);
        }
        let struck = Arc::clone(&self.struck);
        thread::spawn(move || {
            thread::sleep(due.after);
            strike(&due, &struck);
        });
    }
}

struct Point(Option<String>);

impl Visit for Point {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "point" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
