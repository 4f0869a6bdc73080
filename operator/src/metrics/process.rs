//! What the process costs, read from `/proc` at each scrape. Where there is no `/proc`, these metrics stay at zero.

use std::fs;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;

/// The gauges of the process.
#[derive(Clone, Debug)]
pub struct Process {
    resident: Gauge<f64, AtomicU64>,
    cpu: Gauge<f64, AtomicU64>,
    descriptors: Gauge<f64, AtomicU64>,
    threads: Gauge<f64, AtomicU64>,
}

/// Memory pages are 4 KiB on every Linux the operator is built for.
const PAGE: f64 = 4_096.0;
/// The unit of CPU time in `/proc`, fixed at a hundredth of a second.
const TICKS: f64 = 100.0;

impl Process {
    /// Makes the gauges and hands each to `add` with its name and help.
    pub(super) fn register(
        add: &mut dyn FnMut(&'static str, &'static str, Gauge<f64, AtomicU64>),
    ) -> Self {
        let process = Self {
            resident: Gauge::default(),
            cpu: Gauge::default(),
            descriptors: Gauge::default(),
            threads: Gauge::default(),
        };
        add(
            "process_resident_memory_bytes",
            "Resident memory of the process, in bytes",
            process.resident.clone(),
        );
        add(
            "process_cpu_seconds",
            "CPU time the process has used, in seconds",
            process.cpu.clone(),
        );
        add(
            "process_open_fds",
            "Open file descriptors of the process",
            process.descriptors.clone(),
        );
        add(
            "process_threads",
            "Threads of the process",
            process.threads.clone(),
        );
        process
    }

    /// Reads the present values.
    pub(super) fn update(&self) {
        if let Ok(text) = fs::read_to_string("/proc/self/statm")
            && let Some(pages) = number(&text, 1)
        {
            self.resident.set(pages * PAGE);
        }
        if let Ok(text) = fs::read_to_string("/proc/self/stat") {
            // the second field is the program's name and may contain blanks: count from its closing parenthesis
            let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
            if let (Some(user), Some(system), Some(threads)) =
                (number(rest, 11), number(rest, 12), number(rest, 17))
            {
                self.cpu.set((user + system) / TICKS);
                self.threads.set(threads);
            }
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            self.descriptors.set(f64::from(
                u32::try_from(entries.count()).unwrap_or(u32::MAX),
            ));
        }
    }
}

fn number(text: &str, field: usize) -> Option<f64> {
    text.split_whitespace().nth(field)?.parse().ok()
}
