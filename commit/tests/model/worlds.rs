//! The list of small worlds.

use crate::fault::Fault::*;
use crate::world::{PLAIN, World};

pub(crate) const ALL: &[World] = &[
    World { name: "nothing goes wrong", records: 2, tables: 2, ..PLAIN },
    World { name: "crash", records: 2, tables: 2, faults: &[(Crash, 1)], ..PLAIN },
    World { name: "crash twice", records: 1, tables: 1, faults: &[(Crash, 2)], ..PLAIN },
    World { name: "two members", members: 2, records: 1, tables: 1, owners: &[0, 0], faults: &[(Move, 1)], ..PLAIN },
];
