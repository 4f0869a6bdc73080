//! `hosttask-node`: runs HostProcess containers from the command line.

use hosttask_node_runtime::{cli, sys};

/// Ends with the whole 32-bit code where the system has that many bits: `ExitCode` has eight.
fn main() -> ! {
    // Backends start this program for duties that need a process of their own.
    if let Some(code) = sys::helper_main(std::env::args_os().skip(1)) {
        std::process::exit(code);
    }
    std::process::exit(cli::main().cast_signed())
}
