//! What a member does to itself, where, and when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How a process is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// SIGKILL.
    Kill,
    /// SIGSTOP; somebody else sends SIGCONT.
    Stop,
}

impl Action {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// One blow. As text `point:nth:action:microseconds`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Name of the point.
    pub point: String,
    /// Which passing of the point, from 1.
    pub nth: u32,
    /// What is done.
    pub action: Action,
    /// How long after the point, while the process goes on.
    pub after: Duration,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { point, nth, action, after } = self;
        write!(f, "{point}:{nth}:{}:{}", action.word(), after.as_micros())
    }
}

impl FromStr for Strike {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not point:nth:kill|stop:microseconds");
        let parts: Vec<&str> = text.split(':').collect();
        let [point, nth, action, after] = parts.as_slice() else { return Err(wrong()) };
        let action = [Action::Kill, Action::Stop].into_iter().find(|known| known.word() == *action);
        Ok(Self {
            point: (*point).to_owned(),
            nth: nth.parse().map_err(|_| wrong())?,
            action: action.ok_or_else(wrong)?,
            after: Duration::from_micros(after.parse().map_err(|_| wrong())?),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_strike_is_read_as_it_is_written() {
        for text in ["effect.commit:1:kill:0", "load.rows:12:stop:1500"] {
            assert_eq!(text.parse::<Strike>().unwrap().to_string(), text);
        }
        for text in ["", "effect.commit", "a:b:kill:0", "a:1:hurt:0", "a:1:kill:0:0"] {
            assert!(text.parse::<Strike>().is_err(), "{text}");
        }
    }
}
