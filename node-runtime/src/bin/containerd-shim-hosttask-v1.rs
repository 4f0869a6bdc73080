//! `containerd-shim-hosttask-v1`: runs HostProcess containers for containerd.

use hosttask_node_runtime::{shim, sys};

fn main() -> ! {
    // It is installed alone: it does the duties of a helper process itself.
    if let Some(code) = sys::helper_main(std::env::args_os().skip(1)) {
        std::process::exit(code);
    }
    std::process::exit(shim::boot::main())
}
