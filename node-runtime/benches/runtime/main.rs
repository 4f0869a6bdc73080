//! What a container costs beside a bare process, measured in turns in the same run.
//!
//! `cargo bench -p hosttask-node-runtime --bench runtime [-- start exec rate tree memory soak kills]`, and the same with
//! `--target x86_64-pc-windows-gnu` and Wine as runner. Times on a shared machine are noise: the ratios are the result.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench prints, and a failed step fails it"
)]

mod figures;
mod host;
mod kills;
mod leak;
mod many;
mod single;

use host::Bench;

/// The sections, in the order they run: the name, what it prints, and what does it.
const SECTIONS: [Section; 7] = [
    Section {
        name: "start",
        run: single::start,
    },
    Section {
        name: "exec",
        run: single::exec,
    },
    Section {
        name: "rate",
        run: many::rate,
    },
    Section {
        name: "tree",
        run: many::tree,
    },
    Section {
        name: "memory",
        run: leak::memory,
    },
    Section {
        name: "soak",
        run: leak::soak,
    },
    Section {
        name: "kills",
        run: kills::kills,
    },
];

struct Section {
    name: &'static str,
    run: fn(&Bench),
}

fn main() {
    if let Some(code) = hosttask_node_runtime::sys::helper_main(std::env::args_os().skip(1)) {
        std::process::exit(code);
    }
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| !it.starts_with("--"))
        .collect();
    let unknown = wanted
        .iter()
        .find(|name| SECTIONS.iter().all(|section| section.name != **name));
    if let Some(name) = unknown {
        println!(
            "no section {name}; there are: {}",
            SECTIONS.map(|section| section.name).join(" ")
        );
        return;
    }
    let bench = Bench::open();
    println!("{}", bench.title());
    for section in &SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|name| name == section.name) {
            (section.run)(&bench);
        }
    }
}
