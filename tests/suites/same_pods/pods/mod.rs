//! The pods of the comparison.

mod checks;
mod ends;
mod order;
mod refusals;

use super::case::Case;

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let all = [ends::all(), order::all(), checks::all(), refusals::all()];
    all.into_iter().flatten().collect()
}
