//! Where a task stands, from what was counted: the same for both modes.

use hosttask_crds::Reason;

use super::budget;
use super::tally::Tally;
use crate::desired::Desired;
use crate::status::Phase;

/// Where the task stands. `finished`: the update revision was completed before; `over`: nothing is left to start and
/// nothing is under way; `complete`: what a completed task of this mode reports.
pub(super) fn phase(
    desired: &Desired,
    tally: &Tally,
    finished: bool,
    over: bool,
    complete: Reason,
) -> Phase {
    let needed = budget::needed(desired.min_healthy, tally.base);
    let done = || {
        Phase::Complete(if tally.desired == 0 {
            Reason::NoMatchingNodes
        } else {
            complete
        })
    };
    if finished {
        return if tally.base - tally.lost >= needed {
            done()
        } else {
            Phase::Degraded
        };
    }
    if desired.paused {
        return Phase::Paused;
    }
    // With every node away nothing was proved: that is no end.
    if !over || (tally.base == 0 && tally.desired > 0) {
        return Phase::Rolling;
    }
    if tally.good >= needed {
        done()
    } else {
        Phase::Degraded
    }
}
