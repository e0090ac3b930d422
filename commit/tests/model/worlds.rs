//! The list of small worlds. Each is explored to the end; its comment says which order of events it has to contain.

use loadlock_commit::StartWish;

use crate::fault::Fault::{
    Crash, Deadline, Drain, EngineLate, EngineLost, Expel, Forget, Half, Impatient, Lapse, Move, PrepareFails,
    Recreate, Remap, Resend, Rewrite, Rise, SlowCommit, Stuck, TimeOut, Unclear,
};
use crate::world::{PLAIN, World};

pub(crate) const ALL: &[World] = &[
    // ---- one partition -----------------------------------------------------------------------------------------------
    World {
        name: "crashes",
        records: 2,
        tables: 2,
        faults: &[(Crash, 2), (PrepareFails, 1), (Drain, 1)],
        soak: &[(Crash, 3), (Drain, 2)],
        ..PLAIN
    },
    // An abort that lies: it is answered and does nothing. Commits that arrive after the process that sent them.
    World {
        name: "a bad engine",
        records: 2,
        ids: true,
        faults: &[(Crash, 1), (EngineLost, 2), (EngineLate, 1), (TimeOut, 1), (Lapse, 1)],
        soak: &[(Crash, 2), (EngineLate, 2), (TimeOut, 2)],
        ..PLAIN
    },
    // The first copy of an advance that was sent twice arrives after the next batch's intent, inside one generation;
    // the process dies after committing.
    World {
        name: "a bad broker",
        records: 2,
        faults: &[(Crash, 1), (Resend, 1), (SlowCommit, 1), (Unclear, 1), (Rise, 1)],
        soak: &[(Crash, 2), (Resend, 2), (Unclear, 2)],
        ..PLAIN
    },
    // The generation rises without a callback, while commits are under way.
    World {
        name: "generations rise",
        records: 2,
        faults: &[(Rise, 2), (SlowCommit, 1), (Impatient, 1), (Crash, 1)],
        soak: &[(Rise, 3), (SlowCommit, 2), (Crash, 2)],
        ..PLAIN
    },
    // Records that make no row: a batch without loads, and one of which only a part is loaded.
    World {
        name: "records without rows",
        records: 3,
        batch: 2,
        blank: &[(0, 0), (0, 1)],
        faults: &[(Crash, 2), (Unclear, 1), (Rise, 1)],
        ..PLAIN
    },
    World { name: "never committable", faults: &[(Stuck, 3), (Crash, 1), (TimeOut, 1)], ..PLAIN },
    // ---- two tables --------------------------------------------------------------------------------------------------
    // One table is visible, the other aborted; the rewritten intent is stored for half of the partitions, then cleared;
    // the successor may load the aborted table again, and not the visible one.
    World {
        name: "half of a rewritten intent",
        owners: &[0, 0],
        tables: 2,
        faults: &[(TimeOut, 1), (Half, 1), (Crash, 1)],
        soak: &[(TimeOut, 2)],
        ..PLAIN
    },
    // One table is aborted while the commit of the other is unclear; the intent may not call it done before it is, for
    // it may still expire.
    World {
        name: "aborted and unclear",
        tables: 2,
        faults: &[(TimeOut, 2), (EngineLost, 1), (EngineLate, 1), (Crash, 1)],
        soak: &[(Crash, 2)],
        ..PLAIN
    },
    // ---- who owns what -----------------------------------------------------------------------------------------------
    // An intent over two partitions is stored, the answer lost, the second copy refused; one partition moves to a member
    // that commits by rule.
    World {
        name: "split, sent twice",
        owners: &[0, 0],
        members: 2,
        faults: &[(Move, 1), (Resend, 1)],
        soak: &[(Crash, 1)],
        ..PLAIN
    },
    World {
        name: "split, unclear",
        owners: &[0, 0],
        members: 2,
        faults: &[(Move, 1), (Unclear, 1), (Deadline, 1)],
        soak: &[(Crash, 1)],
        ..PLAIN
    },
    // The load is aborted, one partition moves away; only the rows of the other may be loaded again.
    World {
        name: "aborted and moved",
        owners: &[0, 0],
        members: 2,
        apart: true,
        faults: &[(TimeOut, 1), (Move, 1)],
        soak: &[(TimeOut, 2)],
        ..PLAIN
    },
    // An intent is stored for one partition only; the other one is loaded under another nonce; then one member owns both.
    World {
        name: "half an intent, and moved",
        owners: &[0, 0],
        members: 2,
        faults: &[(Half, 1), (Move, 1)],
        soak: &[(Move, 2)],
        ..PLAIN
    },
    // The load was aborted, one member saw that, loaded its partition again and advanced; then the engine forgets. The
    // advance of the one partition proves nothing for the other.
    World {
        name: "forgotten",
        owners: &[0, 0],
        members: 2,
        faults: &[(TimeOut, 1), (Crash, 1), (Forget, 1)],
        soak: &[(Forget, 2)],
        ..PLAIN
    },
    // The successor aborts what its predecessor has committed meanwhile, and the engine answers with success.
    World {
        name: "abort after commit",
        members: 2,
        faults: &[(Move, 1), (EngineLate, 1), (Deadline, 1), (TimeOut, 1)],
        soak: &[(EngineLate, 2)],
        ..PLAIN
    },
    // The membership is lost without a callback, and its owner goes on for a while.
    World {
        name: "expelled",
        members: 2,
        faults: &[(Expel, 1), (EngineLate, 1), (SlowCommit, 1)],
        soak: &[(Expel, 2)],
        ..PLAIN
    },
    // An intent is refused by a passing rebalance; the partition goes to a member that records and commits, and comes
    // back before the read-back.
    World {
        name: "there and back",
        members: 2,
        faults: &[(Move, 2), (SlowCommit, 1), (Deadline, 1)],
        soak: &[(Resend, 1), (Crash, 1)],
        ..PLAIN
    },
    // Partitions are taken and given back to the same member, as eager rebalances do.
    World {
        name: "taken and given back",
        owners: &[0, 0],
        faults: &[(Move, 2), (Deadline, 1), (Unclear, 1)],
        soak: &[(Move, 3), (Crash, 1)],
        ..PLAIN
    },
    // A batch is visible and not advanced, the next one is dropped by a revocation; the partition that stays goes back to
    // the start of the dropped batch, not to its stored position.
    World {
        name: "two batches, one dropped",
        owners: &[0, 0],
        members: 2,
        records: 2,
        faults: &[(Move, 1), (PrepareFails, 1)],
        soak: &[(Crash, 1)],
        ..PLAIN
    },
    // ---- start and identity ------------------------------------------------------------------------------------------
    // Two members start together at the end of the log; records come meanwhile. No partition may be taken for a new one.
    World {
        name: "start at the end",
        owners: &[0, 1],
        members: 2,
        start: Some(StartWish::Latest),
        cold: true,
        records: 2,
        later: 1,
        faults: &[(Crash, 1)],
        ..PLAIN
    },
    // First positions are stored while others are settled.
    World {
        name: "first positions",
        owners: &[0, 0],
        start: Some(StartWish::Earliest),
        cold: true,
        faults: &[(Crash, 1), (Move, 1), (Half, 1)],
        soak: &[(Crash, 2), (Unclear, 1)],
        ..PLAIN
    },
    World { name: "another mapping", tables: 2, members: 2, faults: &[(TimeOut, 1), (Remap, 1), (Crash, 1)], ..PLAIN },
    // The topic is created again; a late commit of an old position is taken by the broker.
    World { name: "the topic again", records: 2, faults: &[(Recreate, 1), (SlowCommit, 1), (Crash, 1)], ..PLAIN },
    // The log is truncated and written again while a load of it is aborted.
    World { name: "the log rewritten", tables: 2, faults: &[(TimeOut, 1), (Rewrite, 1), (Crash, 1)], ..PLAIN },
];
