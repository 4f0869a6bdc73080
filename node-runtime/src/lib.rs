//! The node runtime: HostProcess containers as Windows job objects. **Nothing of it is implemented yet.**
//!
//! Today Hosttask's pods are run by what the nodes already have: the kubelet, containerd and its runhcs shim. This crate will
//! replace the last of these where somebody chooses it, with two faces over one library:
//!
//! - `hosttask-node`, a command line in the style of OCI runtimes (create, start, exec, kill, delete, …);
//! - `containerd-shim-hosttask-v1`, a shim for containerd's runtime v2, one process for a whole pod.
//!
//! ```text
//!   command line          shim
//!         └───────┬────────┘
//!             container         runs effects, owns the locks
//!                 │
//!            pure logic         command lines, PATH, environment, limits, the states of a container, the OCI spec
//!                 │
//!          sys: small traits    a fake in memory, and Windows: the only place with unsafe code
//! ```
//!
//! The crate exists so that the workspace has its final shape and lints, and so that the operator cannot come to depend on
//! a runtime by accident: the dependency between the two stays none.
