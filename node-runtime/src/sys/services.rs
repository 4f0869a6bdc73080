//! Services of the system: programs that it starts and watches.

use std::fmt;
use std::io;
use std::time::Duration;

/// Asks the system about its services, and starts and stops them.
pub trait Services: fmt::Debug {
    /// The line by which a service is started; `NotFound` where there is no such service.
    fn command_line(&self, name: &str) -> io::Result<String>;

    /// The services that run and need this one, each before those that it needs itself.
    fn dependents(&self, name: &str) -> io::Result<Vec<String>>;

    /// Stops a service and waits until it has; one that does not run is no error. `TimedOut` where it takes longer.
    fn stop(&self, name: &str, timeout: Duration) -> io::Result<()>;

    /// Starts a service and waits until it runs; one that runs is no error. `TimedOut` where it takes longer, another error
    /// where it ended again.
    fn start(&self, name: &str, timeout: Duration) -> io::Result<()>;
}

/// The services of this system; none where it has none that this program knows.
#[cfg(unix)]
pub fn native() -> Option<Box<dyn Services>> {
    None
}

/// The services of this system.
#[cfg(windows)]
pub fn native() -> Option<Box<dyn Services>> {
    Some(Box::new(super::windows::WindowsServices))
}
