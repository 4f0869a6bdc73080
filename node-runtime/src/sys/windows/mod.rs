//! Windows: job objects. The only unsafe code of the project.
//!
//! ```text
//!   host ── job ── spawn ── attributes            handle   who owns a handle, what is an error
//!    │       ├── job_info: limits, usage          library  what not every Windows has
//!    │       ├── process_list, suspend            abi      what windows-sys lacks
//!    │       ├── completion_port ── notices
//!    │       ├── launcher, order ── inside
//!    │       └── interrupt ── helper              token ── logon ── account ── profile
//!    ├── server, pipe ── overlapped, named_pipe
//!    └── storage ── reparse, volume, folder, silo ── bind
//! ```

mod abi;
mod account;
mod attributes;
mod bind;
mod boot;
#[cfg(test)]
mod command_line;
mod completion_port;
mod deadline;
mod environment;
mod features;
mod folder;
mod handle;
mod held;
mod helper;
mod host;
mod inside;
mod interrupt;
mod job;
mod job_info;
mod launcher;
mod library;
mod limits;
pub(super) mod log_driver;
mod logon;
mod named_pipe;
mod native;
mod notices;
mod order;
mod overlapped;
pub mod pipe;
mod process;
mod process_list;
mod processors;
mod profile;
mod pseudo_console;
mod reparse;
mod security;
mod server;
mod services;
mod silo;
mod spawn;
mod storage;
mod suspend;
mod text;
mod token;
mod usage;
mod volume;
mod windows_of;
mod written;

pub use folder::access_of;
pub use handle::live_handles;
pub use helper::{helper_main, on_interrupt};
pub(super) use host::WindowsHost;
pub use host::native_from_inside;
pub use process::own_process;
pub(super) use services::WindowsServices;
pub use spawn::spawn_retries;
