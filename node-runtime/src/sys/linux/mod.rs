//! Linux: processes in process groups. For tests and demonstrations only.

pub mod pipe;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

/// Sets a flag when this process is asked to end, which then no longer ends it.
pub fn on_interrupt(flag: Arc<AtomicBool>) -> io::Result<()> {
    signal_hook::flag::register(SIGTERM, Arc::clone(&flag))?;
    signal_hook::flag::register(SIGINT, flag)?;
    Ok(())
}
