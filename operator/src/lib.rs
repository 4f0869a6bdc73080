//! The Hosttask operator: one `WindowsHostTask` becomes a DaemonSet or Jobs, node by node, within a budget.
//!
//! ```text
//!   watches ──▶ index ──▶ queue ──▶ reconcile one task
//!                                     │ observe    reads    index (+ a few live reads) ─▶ Observed
//!                                     │ validate   pure     task + inputs ─▶ Desired, or every problem
//!                                     │ plan       pure     Desired + Observed + now ─▶ Plan { actions, status, requeue }
//!                                     │ apply      writes   one `match` over Action
//!                                     ▼ report     writes   the status, when it changed
//! ```
//!
//! Decisions are pure functions over plain data; reading and writing at the edges decides nothing.

pub mod apply;
pub mod arbiter;
pub mod args;
pub mod build;
pub mod client;
pub mod desired;
pub mod error;
pub mod event;
pub mod index;
pub(crate) mod inputs;
pub mod leader;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod observe;
pub mod observed;
pub mod placement;
pub mod plan;
pub mod process;
pub mod queue;
pub mod reconcile;
pub mod report;
pub mod revision;
pub mod run;
pub mod schedule;
pub mod server;
pub mod simulate;
pub mod status;
pub mod stray;
pub mod validate;
pub mod watch;
