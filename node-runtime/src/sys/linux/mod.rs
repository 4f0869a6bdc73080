//! Linux: processes in process groups. For tests and demonstrations only.
