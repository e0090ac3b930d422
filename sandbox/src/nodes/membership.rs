//! Which nodes run, and what the frontends know of that: heartbeats, the leader, the next backend. Pure: it is told
//! the time.
//!
//! A node that dies is missed when enough heartbeats have failed; until then frontends send clients to it. A leader
//! that dies is followed by another frontend after an election, if most of them run.

/// How an engine watches its nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Pause between two heartbeats, ms.
    pub(crate) heartbeat_ms: i64,
    /// Failed heartbeats in a row that make a node dead.
    pub(crate) misses_max: i64,
    /// How long after the last good heartbeat of a dead backend its transactions are aborted, ms.
    pub(crate) abort_after_ms: i64,
    /// How long the frontends have no leader after the old one died, ms.
    pub(crate) election_ms: i64,
}

/// A node, from both sides.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its process runs.
    pub(crate) is_up: bool,
    /// When its process began.
    pub(crate) started_ms: i64,
    /// The frontends believe that it runs.
    pub(crate) is_alive: bool,
    /// When its process began, as far as the frontends know.
    pub(crate) known_start_ms: i64,
    /// Its last good heartbeat.
    pub(crate) seen_ms: i64,
    /// Heartbeats that failed since.
    pub(crate) misses: i64,
}

/// What a look at the nodes has brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A frontend has become the leader.
    Elected(usize),
    /// The transactions of this backend are to be aborted: it is dead.
    BackendLost(usize),
    /// This backend's process is another than before.
    BackendRestarted(usize),
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Membership {
    rules: Rules,
    pub(crate) frontends: Vec<Member>,
    pub(crate) backends: Vec<Member>,
    leader: Option<usize>,
    last_leader: usize,
    leaderless_since_ms: i64,
    /// The last round of heartbeats.
    round_ms: i64,
    next_backend: usize,
}

impl Member {
    fn new(now_ms: i64) -> Self {
        Self { is_up: true, started_ms: now_ms, is_alive: true, known_start_ms: now_ms, seen_ms: now_ms, misses: 0 }
    }

    fn start(&mut self, now_ms: i64) {
        self.is_up = true;
        // Two starts within a millisecond are two starts.
        self.started_ms = now_ms.max(self.started_ms + 1);
    }

    /// Some rounds of heartbeats, the last one at `round_ms`; true if another process answers than before.
    fn beat(&mut self, round_ms: i64, rounds: i64, misses_max: i64) -> bool {
        if !self.is_up {
            self.misses += rounds;
            self.is_alive &= self.misses < misses_max;
            return false;
        }
        let is_another = self.known_start_ms != self.started_ms;
        (self.is_alive, self.misses, self.seen_ms, self.known_start_ms) = (true, 0, round_ms, self.started_ms);
        is_another
    }
}

impl Membership {
    /// Nodes that have just begun; the first frontend leads.
    pub(crate) fn new(rules: Rules, frontends: usize, backends: usize, now_ms: i64) -> Self {
        Self {
            rules,
            frontends: vec![Member::new(now_ms); frontends],
            backends: vec![Member::new(now_ms); backends],
            leader: Some(0),
            last_leader: 0,
            leaderless_since_ms: now_ms,
            round_ms: now_ms,
            next_backend: 0,
        }
    }

    /// The frontend that leads.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.leader
    }

    /// The frontend that leads, or the one that led last.
    pub(crate) fn last_leader(&self) -> usize {
        self.last_leader
    }

    /// The next backend in turn that is believed to run.
    pub(crate) fn choose_backend(&mut self) -> Option<usize> {
        let count = self.backends.len();
        let chosen = (0..count).map(|i| (self.next_backend + i) % count).find(|i| self.backends[*i].is_alive)?;
        self.next_backend = (chosen + 1) % count;
        Some(chosen)
    }

    /// Holds an election if one is due, and the heartbeats that are due.
    pub(crate) fn tick(&mut self, now_ms: i64) -> Vec<Event> {
        let mut events = Vec::new();
        if self.leader.is_none() && now_ms - self.leaderless_since_ms >= self.rules.election_ms {
            events.extend(self.elect(now_ms));
        }
        let rounds = (now_ms - self.round_ms) / self.rules.heartbeat_ms.max(1);
        if self.leader.is_none() || rounds <= 0 {
            return events;
        }
        self.round_ms += rounds * self.rules.heartbeat_ms.max(1);
        let Rules { misses_max, abort_after_ms, .. } = self.rules;
        for frontend in &mut self.frontends {
            frontend.beat(self.round_ms, rounds, misses_max);
        }
        for (index, backend) in self.backends.iter_mut().enumerate() {
            if backend.beat(self.round_ms, rounds, misses_max) {
                events.push(Event::BackendRestarted(index));
            }
            if !backend.is_alive && self.round_ms - backend.seen_ms >= abort_after_ms {
                events.push(Event::BackendLost(index));
            }
        }
        events
    }

    /// A frontend's process ends.
    pub(crate) fn kill_frontend(&mut self, index: usize, now_ms: i64) {
        if let Some(frontend) = self.frontends.get_mut(index) {
            frontend.is_up = false;
        }
        if self.leader == Some(index) {
            self.leader = None;
            self.leaderless_since_ms = now_ms;
        }
    }

    /// A frontend's process begins. It opens its ports when it knows a leader, so an election that it makes possible
    /// takes no further time.
    pub(crate) fn start_frontend(&mut self, index: usize, now_ms: i64) -> Option<Event> {
        if let Some(frontend) = self.frontends.get_mut(index) {
            frontend.start(now_ms);
        }
        if self.leader.is_none() { self.elect(now_ms) } else { None }
    }

    /// A frontend's process ends and another begins at once; if it led it leads again.
    pub(crate) fn restart_frontend(&mut self, index: usize, now_ms: i64) {
        if let Some(frontend) = self.frontends.get_mut(index).filter(|f| f.is_up) {
            frontend.start(now_ms);
        }
    }

    /// A backend's process ends.
    pub(crate) fn kill_backend(&mut self, index: usize) {
        if let Some(backend) = self.backends.get_mut(index) {
            backend.is_up = false;
        }
    }

    /// A backend's process begins.
    pub(crate) fn start_backend(&mut self, index: usize, now_ms: i64) {
        if let Some(backend) = self.backends.get_mut(index) {
            backend.start(now_ms);
        }
    }

    /// Hands leadership over; nothing happens if that frontend doesn't run or leads already.
    pub(crate) fn lead(&mut self, index: usize, now_ms: i64) -> Option<Event> {
        let runs = self.frontends.get(index).is_some_and(|f| f.is_up);
        if !runs || self.leader == Some(index) {
            return None;
        }
        // It counts heartbeats for itself.
        (self.leader, self.last_leader, self.round_ms) = (Some(index), index, now_ms);
        Some(Event::Elected(index))
    }

    /// The first frontend that runs leads, if most of them run.
    fn elect(&mut self, now_ms: i64) -> Option<Event> {
        let running = self.frontends.iter().filter(|f| f.is_up).count();
        if running * 2 <= self.frontends.len() {
            return None;
        }
        self.lead(self.frontends.iter().position(|f| f.is_up)?, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { heartbeat_ms: 5000, misses_max: 4, abort_after_ms: 0, election_ms: 2000 };

    #[test]
    fn a_dead_backend_is_chosen_until_it_is_missed() {
        let mut nodes = Membership::new(RULES, 1, 3, 0);
        let chosen = |nodes: &mut Membership| -> Vec<_> { (0..4).map(|_| nodes.choose_backend()).collect() };
        assert_eq!(chosen(&mut nodes), [Some(0), Some(1), Some(2), Some(0)]);
        nodes.kill_backend(1);
        assert_eq!(nodes.tick(19_999), []);
        assert_eq!(chosen(&mut nodes), [Some(1), Some(2), Some(0), Some(1)]);
        assert_eq!(nodes.tick(20_000), [Event::BackendLost(1)]);
        assert_eq!(chosen(&mut nodes), [Some(2), Some(0), Some(2), Some(0)]);
        // What begins there while it is believed to run is lost at the next heartbeat.
        assert_eq!(nodes.tick(25_000), [Event::BackendLost(1)]);
        nodes.start_backend(1, 26_000);
        assert_eq!(nodes.tick(30_000), [Event::BackendRestarted(1)]);
        assert!(nodes.backends[1].is_alive);
        for backend in 0..3 {
            nodes.kill_backend(backend);
        }
        nodes.tick(60_000);
        assert_eq!(nodes.choose_backend(), None);
    }

    #[test]
    fn transactions_of_a_dead_backend_may_live_on_for_a_while() {
        let rules = Rules { heartbeat_ms: 10_000, misses_max: 1, abort_after_ms: 300_000, ..RULES };
        let mut nodes = Membership::new(rules, 1, 1, 0);
        nodes.kill_backend(0);
        assert_eq!(nodes.tick(290_000), []);
        assert_eq!(nodes.choose_backend(), None);
        assert_eq!(nodes.tick(300_000), [Event::BackendLost(0)]);
    }

    #[test]
    fn a_backend_that_comes_back_in_time_is_not_missed() {
        let mut nodes = Membership::new(RULES, 1, 1, 0);
        nodes.kill_backend(0);
        assert_eq!(nodes.tick(15_000), []);
        nodes.start_backend(0, 16_000);
        assert_eq!(nodes.tick(20_000), [Event::BackendRestarted(0)]);
        nodes.kill_backend(0);
        // It is counted from the start again.
        assert_eq!(nodes.tick(35_000), []);
    }

    #[test]
    fn most_frontends_elect_a_leader() {
        let mut nodes = Membership::new(RULES, 3, 1, 0);
        nodes.kill_frontend(0, 1000);
        assert_eq!((nodes.leader(), nodes.last_leader()), (None, 0));
        assert_eq!(nodes.tick(2999), []);
        assert_eq!(nodes.tick(3000), [Event::Elected(1)]);
        nodes.kill_frontend(1, 4000);
        assert_eq!(nodes.tick(60_000), [], "one of three is no majority");
        assert_eq!(nodes.start_frontend(0, 60_000), Some(Event::Elected(0)));
        assert_eq!(nodes.start_frontend(1, 60_000), None);
        assert_eq!((nodes.lead(1, 60_000), nodes.lead(1, 60_000)), (Some(Event::Elected(1)), None));
    }

    #[test]
    fn without_a_leader_nobody_is_missed() {
        let mut nodes = Membership::new(RULES, 2, 1, 0);
        nodes.kill_frontend(0, 0);
        nodes.kill_backend(0);
        assert_eq!(nodes.tick(60_000), []);
        assert!(nodes.backends[0].is_alive);
        assert_eq!(nodes.start_frontend(0, 60_000), Some(Event::Elected(0)));
        assert_eq!(nodes.tick(79_999), []);
        assert_eq!(nodes.tick(80_000), [Event::BackendLost(0)]);
    }
}
