//! `docs/commands.md` is what the command line says about itself. `UPDATE_GOLDEN=1` writes it anew.
#![expect(
    clippy::unwrap_used,
    reason = "a test that fails by a panic is the normal way a test fails"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Command, CommandFactory as _};
use hosttask_node_runtime::cli::arguments::Arguments;

/// The page.
fn page() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut page = format!(
        "# Commands of `hosttask-node`\n\n{}.\n\n{}\n\n## Options of every command\n\n",
        command.get_about().unwrap(),
        command.get_after_help().unwrap(),
    );
    let global: Vec<&Arg> = command
        .get_arguments()
        .filter(|it| it.is_global_set())
        .collect();
    page.push_str(&table(&global));
    for command in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        if command.get_name() != "help" {
            page.push_str(&section(command));
        }
    }
    page
}

/// One command: how it is written, and what its own options mean.
fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let about = command.get_about().unwrap();
    let mut section = format!("\n## {}\n\n{about}.\n\n    {usage}\n", command.get_name());
    let own = command.get_arguments().filter(|it| !it.is_global_set());
    let own: Vec<&Arg> = own
        .filter(|it| !it.is_hide_set() && it.get_id() != "help")
        .collect();
    if !own.is_empty() {
        section.push('\n');
        section.push_str(&table(&own));
    }
    section
}

fn table(arguments: &[&Arg]) -> String {
    let mut table = "| option | what it means |\n|---|---|\n".to_owned();
    for argument in arguments {
        let help = argument.get_help().unwrap().to_string().replace('|', "\\|");
        let defaults = argument.get_default_values().iter();
        let defaults: Vec<_> = defaults.map(|it| it.to_string_lossy()).collect();
        let is_flag = argument
            .get_num_args()
            .is_some_and(|it| it.max_values() == 0);
        let values: Vec<String> = argument
            .get_possible_values()
            .iter()
            .filter(|_| !is_flag)
            .map(|it| format!("`{}`", it.get_name()))
            .collect();
        let values = match values.as_slice() {
            [] => String::new(),
            values => format!(": {}", values.join(", ")),
        };
        let default = match defaults.first() {
            Some(default) if !is_flag => format!(" [default: {default}]"),
            _ => String::new(),
        };
        writeln!(
            table,
            "| {} | {help}{values}{default} |",
            spelling(argument)
        )
        .unwrap();
    }
    table
}

/// `-d, --detach`, `--root <DIR>`, `[ID]`.
fn spelling(argument: &Arg) -> String {
    let text = argument.to_string();
    match argument
        .get_short()
        .filter(|_| argument.get_long().is_some())
    {
        Some(short) => format!("`-{short}`, `{text}`"),
        None => format!("`{text}`"),
    }
}

#[test]
fn the_page_says_what_the_command_line_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap().replace("\r\n", "\n");
    let lines = kept.lines().zip(page.lines()).enumerate();
    for (number, (kept, said)) in lines {
        assert_eq!(
            kept,
            said,
            "line {}: run this with UPDATE_GOLDEN=1",
            number + 1
        );
    }
    assert_eq!(kept.len(), page.len(), "run this with UPDATE_GOLDEN=1");
}

#[test]
fn every_command_and_every_option_says_what_it_is() {
    let mut command = Arguments::command();
    command.build();
    for command in command.get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {argument}",
                command.get_name()
            );
        }
    }
}
