//! Which addresses are taken, and what is said about the others.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::sys::fake::FakeHost;

const WINDOWS: Rules = Rules::Windows;
const POSIX: Rules = Rules::Posix;

fn pipe(name: &str) -> Uri {
    Uri::Pipe(name.to_owned())
}

fn file(path: &str) -> Uri {
    Uri::File(PathBuf::from(path))
}

#[test]
fn pipes_of_containerd_are_taken_in_every_spelling() {
    let name = r"\\.\pipe\ctr-web-stdout";
    let spellings = [
        name,
        "//./pipe/ctr-web-stdout",
        r"\\.\PIPE\ctr-web-stdout",
        "npipe:////./pipe/ctr-web-stdout",
        "npipe://./pipe/ctr-web-stdout",
        r"npipe:\\.\pipe\ctr-web-stdout",
        "npipe:////./pipe/ctr%2Dweb-stdout",
    ];
    for spelling in spellings {
        assert_eq!(uri::parse(WINDOWS, spelling), Ok(pipe(name)), "{spelling}");
    }
    let fifo = "/run/containerd/fifo/1/web-stdout";
    assert_eq!(uri::parse(POSIX, fifo), Ok(pipe(fifo)));
    assert_eq!(uri::parse(POSIX, &format!("fifo://{fifo}")), Ok(pipe(fifo)));
}

#[test]
fn files_are_taken_by_the_rules_of_the_host() {
    let cases = [
        (WINDOWS, "file:///C:/logs/web.log", r"C:\logs\web.log"),
        (WINDOWS, "file:///c:/my%20logs/web", r"C:\my logs\web"),
        (WINDOWS, "file://localhost/C:/logs/web", r"C:\logs\web"),
        (POSIX, "file:///var/log/web", "/var/log/web"),
        (POSIX, "file:///var/log/a%3Fb", "/var/log/a?b"),
    ];
    for (rules, address, path) in cases {
        assert_eq!(uri::parse(rules, address), Ok(file(path)), "{address}");
    }
}

#[test]
fn a_log_driver_gets_names_and_values_in_their_order() {
    let address = "binary:///C:/drivers/log.exe?level=a+b&flag&level=c&%41=%26";
    let expected = Uri::Binary {
        program: PathBuf::from(r"C:\drivers\log.exe"),
        arguments: ["level", "a b", "flag", "", "A", "&"]
            .map(str::to_owned)
            .to_vec(),
    };
    assert_eq!(uri::parse(WINDOWS, address), Ok(expected));
}

#[test]
fn each_wrong_address_is_told_why() {
    let scheme = |it: &str| Fault::Scheme(it.to_owned());
    let cases = [
        (WINDOWS, "http://host/x", scheme("http")),
        (WINDOWS, "fifo:///run/x", scheme("fifo")),
        (POSIX, "npipe:////./pipe/x", scheme("npipe")),
        (WINDOWS, r"C:\logs\web.log", Fault::BareFile),
        (WINDOWS, "web.log", Fault::Relative),
        (POSIX, "web.log", Fault::Relative),
        (POSIX, r"\\.\pipe\x", Fault::Relative),
        (WINDOWS, "file:C:/logs", Fault::Relative),
        (WINDOWS, "file://server/share/x", Fault::Machine),
        (WINDOWS, r"\\server\pipe\x", Fault::Machine),
        (WINDOWS, r"\\.\mailslot\x", Fault::NoPipe),
        (WINDOWS, r"\\.\pipe\", Fault::NoPipe),
        (WINDOWS, r"\\.\pipe\a\..\b", Fault::NoPipe),
        (WINDOWS, r"\pipe\x", Fault::NoPipe),
        (WINDOWS, "file:///C:/a%2", Fault::Percent),
        (WINDOWS, "file:///C:/a%zz", Fault::Percent),
        (WINDOWS, "file:///C:/a%ff", Fault::Percent),
        (WINDOWS, "file:///C:/a%00", Fault::Control),
        (WINDOWS, "file:///C:/a\n", Fault::Control),
        (WINDOWS, "file:///C:/a?max=5", Fault::Query),
    ];
    for (rules, address, fault) in cases {
        assert_eq!(uri::parse(rules, address), Err(fault), "{address}");
    }
    for path in [
        "file:///C:/../x",
        "file:///C:/NUL",
        "file:///x",
        "binary:///C:/a:b",
    ] {
        let refused = uri::parse(WINDOWS, path);
        assert!(
            matches!(refused, Err(Fault::Path(_))),
            "{path}: {refused:?}"
        );
    }
}

fn request<'a>(host: &'a dyn Host, [stdin, stdout, stderr]: [&'a str; 3]) -> StreamsRequest<'a> {
    StreamsRequest {
        host,
        namespace: "k8s.io",
        id: "web",
        exec: None,
        stdin,
        stdout,
        stderr,
        terminal: false,
        retry: None,
    }
}

#[test]
fn a_terminal_with_a_second_output_is_a_failed_precondition() {
    let host = FakeHost::new();
    let mut request = request(&host, ["", "", "anything"]);
    request.terminal = true;
    let error = stdio(&request).unwrap_err();
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    assert!(error.to_string().contains("leave stderr empty"), "{error}");
}

#[test]
fn a_stream_is_waited_for_as_long_as_the_options_say() {
    let host: Arc<dyn Host> = Arc::new(FakeHost::new());
    let address = match host.places().rules {
        WINDOWS => r"\\.\pipe\out",
        POSIX => "/run/out",
    };
    let retry_of = |retry| {
        let mut request = request(host.as_ref(), [address, address, ""]);
        request.retry = retry;
        stdio(&request).unwrap()
    };
    let ten = Duration::from_secs(10);
    for (given, taken) in [
        (None, None),
        (Some(Duration::ZERO), None),
        (Some(ten), Some(ten)),
    ] {
        let expected = Stdio {
            stdin: Source::Stream(address.to_owned()),
            stdout: Sink::Stream {
                address: address.to_owned(),
                retry: taken,
            },
            stderr: Sink::Null,
        };
        assert_eq!(retry_of(given), expected);
    }
}

/// An address with a path that the fake host takes.
fn of_path(scheme: &str, path: &str) -> String {
    match FakeHost::new().places().rules {
        WINDOWS => format!("{scheme}:///C:{path}"),
        POSIX => format!("{scheme}://{path}"),
    }
}

#[test]
fn one_log_driver_reads_both_outputs_and_none_reads_one_of_two() {
    let host = FakeHost::new();
    let (first, second) = (of_path("binary", "/a?x=1"), of_path("binary", "/b"));
    let both = stdio(&request(&host, ["", &first, &first])).unwrap();
    assert_eq!(both.stdout, both.stderr);
    assert!(matches!(both.stdout, Sink::Driver(_)));
    for outputs in [["", &first, &second], ["", "", &first]] {
        let error = stdio(&request(&host, outputs)).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{error}");
    }
}

#[test]
fn nothing_is_read_from_a_file_or_a_log_driver() {
    let host = FakeHost::new();
    for address in [of_path("file", "/a"), of_path("binary", "/a")] {
        let error = stdio(&request(&host, [&address, "", ""])).unwrap_err();
        assert!(error.to_string().contains("nothing can be read"), "{error}");
    }
}

#[test]
fn arguments_of_a_log_driver_are_never_shown() {
    let host = FakeHost::new();
    let secret = of_path("binary", "/log?token=hunter2");
    let good = request(&host, ["", &secret, &secret]);
    assert!(!format!("{good:?}").contains("hunter2"));
    assert!(!format!("{:?}", stdio(&good).unwrap()).contains("hunter2"));
    let error = stdio(&request(&host, [&secret, "", ""])).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

proptest! {
    /// Whatever is sent, there is an answer, and what is taken is a full path of this machine.
    #[test]
    fn no_address_does_harm(
        address in r"((npipe|file|binary|fifo|[a-z]{1,5}):)?[/\\]{0,4}(\.|localhost|[a-z]{0,3})[/\\]?(pipe|C:)?([/\\.%?&=a-zC:~ ]|%[0-9a-f]{2}|\PC){0,24}",
        is_windows: bool,
    ) {
        let rules = if is_windows { WINDOWS } else { POSIX };
        let separator = if is_windows { '\\' } else { '/' };
        let is_full = |path: &str| match rules {
            WINDOWS => path.get(1..3) == Some(":\\") || path.starts_with(r"\\?\Volume{"),
            POSIX => path.starts_with('/'),
        };
        match uri::parse(rules, &address) {
            Ok(Uri::Pipe(name)) if is_windows => prop_assert!(name.starts_with(r"\\.\pipe\")),
            Ok(Uri::Pipe(path)) => prop_assert!(is_full(&path)),
            Ok(Uri::File(path) | Uri::Binary { program: path, .. }) => {
                let path = path.to_str().unwrap();
                prop_assert!(is_full(path), "{}", path);
                prop_assert!(path.split(separator).all(|part| part != ".."));
            }
            Err(fault) => prop_assert!(!fault.to_string().is_empty()),
        }
    }
}
