//! Laws of the launch plan, for inputs that nobody thought of. The fuzz targets in `fuzz/` call the same functions.
//! In one file, longer than others: the laws share the ways to make up a config.
#![expect(clippy::unwrap_used, reason = "a law fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hosttask_node_runtime::id::Id;
use hosttask_node_runtime::launch::{
    self, Command, Context, Plan, Problems, ProcessPlan, Surroundings, path, quote, split,
};
use hosttask_node_runtime::sys::fake::places_of;
use hosttask_node_runtime::sys::{Features, LimitKind, Rules, User};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed};

/// The same inputs in every run, and on every machine.
fn runs(cases: u32) -> Config {
    Config {
        cases,
        rng_algorithm: RngAlgorithm::ChaCha,
        rng_seed: RngSeed::Fixed(0x5eed),
        failure_persistence: None,
        ..Config::default()
    }
}

fn features() -> Features {
    let limits = [
        LimitKind::JobMemory,
        LimitKind::CpuCap,
        LimitKind::CpuWeight,
        LimitKind::Affinity,
    ];
    Features {
        limits: BTreeSet::from(limits),
        pseudo_console: true,
        service_accounts: true,
        group_accounts: true,
        ..Features::default()
    }
}

fn plan(config: &[u8]) -> Result<Plan, Problems> {
    let context = Context {
        places: &places_of(Rules::Windows),
        features: &features(),
        id: &Id::parse("web").unwrap(),
        bundle: r"C:\bundle",
    };
    launch::plan(config, &context)
}

/// Texts with many of the characters that mean something to somebody.
fn hostile() -> impl Strategy<Value = String> {
    let letters = prop::sample::select(vec![
        "a",
        "b",
        "C",
        " ",
        "\t",
        "\"",
        "\\",
        "/",
        "'",
        "`",
        "$",
        "(",
        ")",
        ";",
        "&",
        "|",
        "<",
        ">",
        "^",
        "%",
        "!",
        "*",
        "?",
        "=",
        ",",
        ":",
        ".",
        "~",
        "{",
        "}",
        "[",
        "]",
        "@",
        "#",
        "\n",
        "\r",
        "\u{b}",
        "\u{1}",
        "ä",
        "日",
        "𝄞",
        "\u{202e}",
        "-",
        "1",
        "exe",
        "C:\\",
        "..",
        "NUL",
        "%CONTAINER_SANDBOX_MOUNT_POINT%",
        "$env:CONTAINER_SANDBOX_MOUNT_POINT",
    ]);
    prop::collection::vec(letters, 0..12).prop_map(|parts| parts.concat())
}

/// A first argument: every text but one with a quote, which no name of a file has.
fn name() -> impl Strategy<Value = String> {
    hostile().prop_map(|text| text.replace('"', ""))
}

proptest! {
    #![proptest_config(runs(100_000))]

    #[test]
    fn a_program_gets_the_arguments_that_the_config_has(
        name in name(),
        rest in prop::collection::vec(hostile(), 0..6),
    ) {
        let mut arguments = vec![name];
        arguments.extend(rest);
        let line = quote(&arguments);
        prop_assert_eq!(split(&line), arguments, "{}", line);
    }
}

proptest! {
    #![proptest_config(runs(20_000))]

    #[test]
    fn a_path_has_one_spelling_and_leads_to_no_device(text in hostile(), posix in any::<bool>()) {
        let rules = if posix { Rules::Posix } else { Rules::Windows };
        if let Ok(full) = path::canonical(rules, &text) {
            prop_assert_eq!(path::canonical(rules, &full), Ok(full.clone()));
            let (separator, root) = match rules {
                Rules::Windows => ('\\', r"C:\hpc\web\"),
                Rules::Posix => ('/', "/run/hpc/web/"),
            };
            let bad = |name: &str| matches!(name, "." | "..");
            prop_assert!(!full.split(separator).any(bad), "{}", full);
            // What is put below a root stays there, and is again a path in its one spelling.
            let inside = path::in_root(rules, root, &full);
            let bare = inside.strip_suffix(separator).unwrap_or(&inside);
            prop_assert_eq!(path::canonical(rules, bare), Ok(bare.to_owned()));
            prop_assert!(inside.starts_with(root));
        }
    }
}

proptest! {
    #![proptest_config(runs(5_000))]

    #[test]
    fn any_line_can_be_split_and_the_words_written_again(line in hostile()) {
        let words = split(&line);
        prop_assert!(!words.is_empty());
        if !words.first().unwrap().contains('"') {
            prop_assert_eq!(split(&quote(&words)), words);
        }
    }

    #[test]
    fn a_path_is_the_same_however_it_is_spelled(
        names in prop::collection::vec("[a-zA-Z0-9_ä日][a-zA-Z0-9_.ä日-]{0,8}[a-zA-Z0-9]", 1..6),
        slashes in any::<u64>(),
        verbatim in any::<bool>(),
    ) {
        let plain = format!("C:\\{}", names.join("\\"));
        let expected = path::canonical(Rules::Windows, &plain);
        let mut other = if verbatim { r"\\?\c:".to_owned() } else { "c:".to_owned() };
        for (number, name) in names.iter().enumerate() {
            let separator = match (slashes >> (2 * (number % 32))) & 3 {
                0 => "\\",
                1 => "/",
                2 => "\\.\\",
                _ => "//",
            };
            other.push_str(separator);
            other.push_str(name);
        }
        prop_assert_eq!(path::canonical(Rules::Windows, &other), expected);
    }

    #[test]
    fn an_environment_has_every_name_once_and_keeps_every_value(
        user in prop::collection::vec((hostile(), hostile()), 0..6),
        config in prop::collection::vec((hostile(), hostile()), 0..6),
    ) {
        let is_name = |name: &str| !name.is_empty() && !name.contains('=');
        let map = |entries: &[(String, String)]| -> BTreeMap<String, String> {
            entries.iter().filter(|(name, _)| is_name(name)).cloned().collect()
        };
        let (user, config) = (map(&user), map(&config));
        let process = process(Command::Arguments(vec!["x".to_owned()]), "", config.clone());
        let launch = resolve(&process, &user, &|_| true).unwrap();
        let all = &launch.environment;
        let folded: BTreeSet<_> = all.keys().map(|name| name.to_uppercase()).collect();
        prop_assert_eq!(folded.len(), all.len());
        let is_ours = |name: &str| {
            let name = name.to_uppercase();
            matches!(name.as_str(), "PATH" | "CONTAINER_SANDBOX_MOUNT_POINT")
        };
        for (name, value) in &config {
            if is_ours(name) || config.keys().filter(|it| it.to_uppercase() == name.to_uppercase()).count() > 1 {
                continue;
            }
            let got = all.get(name);
            prop_assert!(got.is_some(), "{}", name);
            if !value.contains("MOUNT_POINT") {
                prop_assert_eq!(got, Some(value));
            }
        }
        for name in user.keys() {
            prop_assert!(all.keys().any(|it| it.to_uppercase() == name.to_uppercase()));
        }
    }

    #[test]
    fn whatever_is_started_is_a_full_path_and_an_error_stays_on_its_line(
        arguments in prop::collection::vec(hostile(), 0..4),
        line in hostile(),
        is_line in any::<bool>(),
        directory in hostile(),
        search in hostile(),
        all_exist in any::<bool>(),
    ) {
        let command = if is_line { Command::Line(line) } else { Command::Arguments(arguments.clone()) };
        let process = process(command, &directory, BTreeMap::from([("PATH".to_owned(), search)]));
        match resolve(&process, &BTreeMap::new(), &|_| all_exist) {
            Ok(launch) => {
                prop_assert!(is_full(&launch.program), "{:?}", launch.program);
                prop_assert!(is_full(&launch.directory), "{:?}", launch.directory);
                let ending = launch.program.rsplit('.').next().unwrap().to_lowercase();
                prop_assert!(!matches!(ending.as_str(), "bat" | "cmd"), "{}", launch.program);
                prop_assert_eq!(split(&launch.command_line), launch.arguments.clone());
                if !is_line {
                    prop_assert_eq!(launch.arguments.len(), arguments.len());
                }
            }
            Err(error) => {
                let text = error.to_string();
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
                prop_assert!(text.len() < 40_000);
            }
        }
    }
}

fn is_full(path: &str) -> bool {
    let mut letters = path.chars();
    letters.next().is_some_and(|it| it.is_ascii_uppercase())
        && letters.as_str().starts_with(":\\")
        && !path.contains(['/', '"', '\0'])
        && !path.split('\\').any(|name| name == "..")
}

fn process(
    command: Command,
    directory: &str,
    environment: BTreeMap<String, String>,
) -> ProcessPlan {
    ProcessPlan {
        user: User::System,
        command,
        directory: directory.to_owned(),
        expected_root: r"C:\hpc\".to_owned(),
        environment,
        console: None,
        drop_privileges: BTreeSet::new(),
        allow_batch: false,
    }
}

fn resolve(
    process: &ProcessPlan,
    user_environment: &BTreeMap<String, String>,
    exists: &dyn Fn(&str) -> bool,
) -> Result<hosttask_node_runtime::sys::Launch, launch::ResolveError> {
    let surroundings = Surroundings {
        places: &places_of(Rules::Windows),
        root: r"C:\hpc\web\",
        user_environment,
        is_file: exists,
        is_folder: exists,
    };
    launch::resolve(process, &surroundings)
}

/// A good text most of the time, and else one that nobody expects.
fn mostly(good: &'static str) -> BoxedStrategy<String> {
    prop_oneof![9 => Just(good.to_owned()), 1 => hostile()].boxed()
}

/// A config with such texts everywhere.
fn config() -> impl Strategy<Value = Vec<u8>> {
    let texts = vec![
        mostly("x.exe"),
        mostly("-a"),
        mostly("bin"),
        mostly("NAME=value"),
        mostly(r"NT AUTHORITY\SYSTEM"),
        mostly("rootfs"),
        mostly(r"C:\data"),
        mostly(r"C:\etc\data"),
        mostly("ro"),
        mostly("example.com/team"),
        mostly("a"),
        mostly(r"C:\roots"),
    ];
    texts.prop_map(|texts| {
        let mut texts = texts.iter().map(|text| serde_json::to_string(text).unwrap());
        let mut next = || texts.next().unwrap();
        format!(
            r#"{{"ociVersion":"1.1.0","process":{{"args":[{},{}],"cwd":{},"env":[{}],"user":{{"username":{}}}}},
            "root":{{"path":{}}},"mounts":[{{"source":{},"destination":{},"options":[{}]}}],
            "annotations":{{{}:{},"microsoft.com/hostprocess-rootfs-location":{}}}}}"#,
            next(), next(), next(), next(), next(), next(), next(), next(), next(), next(), next(), next()
        )
        .into_bytes()
    })
}

proptest! {
    #![proptest_config(runs(5_000))]

    #[test]
    fn any_bytes_are_a_plan_or_problems(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let problems = plan(&bytes).unwrap_err();
        prop_assert!(!problems.is_empty());
    }

    #[test]
    fn a_config_with_any_texts_is_a_plan_or_problems_each_on_a_line(
        config in config(),
    ) {
        match plan(&config) {
            Ok(plan) => {
                for mount in &plan.mounts {
                    prop_assert_eq!(path::canonical(Rules::Windows, &mount.source), Ok(mount.source.clone()));
                    prop_assert_eq!(
                        path::canonical(Rules::Windows, &mount.destination),
                        Ok(mount.destination.clone())
                    );
                }
            }
            Err(problems) => {
                let text = problems.to_string();
                prop_assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{:?}", text);
                prop_assert_eq!(text.lines().count(), problems.list().len());
            }
        }
    }

    #[test]
    fn a_config_that_was_damaged_anywhere_is_a_plan_or_problems(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let situation = include_str!("fixtures/spec/kube_proxy.json");
        let situation: serde_json::Value = serde_json::from_str(situation).unwrap();
        let mut bytes = serde_json::to_vec(&situation["config"]).unwrap();
        prop_assert!(plan(&bytes).is_ok());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        match plan(&bytes) {
            Ok(_) => prop_assert!(!cut),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}

/// The generator of configs makes good ones too: without them its law says little.
#[test]
fn a_third_of_the_configs_of_the_laws_is_good() {
    let mut runner = proptest::test_runner::TestRunner::new(runs(1));
    let configs = config();
    let good = (0..300)
        .filter(|_| plan(&configs.new_tree(&mut runner).unwrap().current()).is_ok())
        .count();
    assert!(good > 100, "{good} of 300");
}

#[test]
fn a_hostile_document_is_refused_quickly() {
    let large = vec![b' '; 100 * 1024 * 1024];
    let deep = [b"{\"a\":".as_slice(), &b"[".repeat(10_000)].concat();
    let wide = {
        let mut wide = b"{\"mounts\":[".to_vec();
        wide.extend(b"{\"source\":\"C:\\\\a\",\"destination\":\"C:\\\\b\"},".repeat(20_000));
        wide.extend(b"{}]}");
        wide
    };
    let many = [b"{\"a\":[".as_slice(), &b"1,".repeat(5_000_000)].concat();
    let long = [
        b"{\"ociVersion\":\"".as_slice(),
        &b"x".repeat(9_000_000),
        b"\"}",
    ]
    .concat();
    for bytes in [large, deep, wide, many, long] {
        let started = Instant::now();
        let text = plan(&bytes).unwrap_err().to_string();
        assert!(text.len() < 50_000, "{} bytes of problems", text.len());
        // A second is the promise; this may be a build without optimization on a machine that does other things too.
        assert!(started.elapsed() < Duration::from_secs(10), "{text:.200}");
    }
}

/// Dollar-paren, semicolon, ampersand, pipe and the rest of CVE-2023-3676: no text of a config is ever read by a shell, so that
/// each arrives as it was.
#[test]
fn metacharacters_of_shells_are_letters() {
    let texts = [
        "$(calc)", ";calc", "&calc", "|calc", "^", "%PATH%", "`calc`", "'", "\"", "a\nb",
    ];
    for text in texts {
        let arguments = vec![
            r"C:\x.exe".to_owned(),
            text.to_owned(),
            format!("--a={text}"),
        ];
        let process = process(Command::Arguments(arguments.clone()), "", BTreeMap::new());
        let launch = resolve(&process, &BTreeMap::new(), &|_| true).unwrap();
        assert_eq!(launch.arguments, arguments);
        assert_eq!(split(&launch.command_line), arguments);
    }
}
