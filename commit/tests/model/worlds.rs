//! The list of small worlds.

use crate::fault::Fault::*;
use crate::world::{PLAIN, World};

pub(crate) const ALL: &[World] = &[
    World { name: "one partition, crash", records: 2, tables: 2, faults: &[(Crash, 2), (PrepareFails, 1), (Drain, 1)], ..PLAIN },
    World { name: "one partition, engine", records: 2, tables: 1, faults: &[(Crash, 1), (EngineLost, 1), (EngineLate, 1), (TimeOut, 1)], ..PLAIN },
    World { name: "one partition, broker", records: 2, tables: 1, faults: &[(Crash, 1), (Resend, 1), (SlowCommit, 1), (Unclear, 1), (Rise, 1)], ..PLAIN },
    World { name: "split", owners: &[0, 0], members: 2, faults: &[(Move, 1), (Resend, 1)], ..PLAIN },
    World { name: "split slow", owners: &[0, 0], members: 2, faults: &[(Move, 1), (SlowCommit, 1)], ..PLAIN },
    World { name: "split unclear", owners: &[0, 0], members: 2, faults: &[(Move, 1), (Unclear, 1)], ..PLAIN },
    World { name: "two tables half", owners: &[0, 0], members: 1, tables: 2, faults: &[(TimeOut, 1), (Half, 1), (Crash, 1)], ..PLAIN },
    World { name: "two tables half move", owners: &[0, 0], members: 2, tables: 2, faults: &[(TimeOut, 1), (Half, 1), (Move, 1)], ..PLAIN },
    World { name: "aborted and unclear", tables: 2, faults: &[(TimeOut, 2), (EngineLost, 1), (EngineLate, 1), (Crash, 1)], ..PLAIN },
    World { name: "aborted moves", owners: &[0, 0], members: 2, faults: &[(TimeOut, 1), (Move, 1)], ..PLAIN },
    World { name: "forgotten", owners: &[0, 0], members: 2, faults: &[(TimeOut, 1), (Crash, 1), (Forget, 1)], ..PLAIN },
    World { name: "abort after commit", members: 2, faults: &[(Move, 1), (EngineLate, 1), (Deadline, 1)], ..PLAIN },
    World { name: "expelled", members: 2, faults: &[(Expel, 1), (EngineLate, 1)], ..PLAIN },
    World { name: "comes back", members: 2, faults: &[(Move, 2), (SlowCommit, 1)], ..PLAIN },
    World { name: "pipelined", owners: &[0, 0], members: 2, records: 2, faults: &[(Move, 1)], ..PLAIN },
    World { name: "half moves", owners: &[0, 0], members: 2, faults: &[(Half, 1), (Move, 1)], ..PLAIN },
    World { name: "rises", faults: &[(Rise, 2), (SlowCommit, 1), (Impatient, 1)], records: 2, ..PLAIN },
    World { name: "stuck", faults: &[(Stuck, 2), (Crash, 1)], records: 1, ..PLAIN },
];
