//! `batch`: the line with which `cmd.exe` runs a batch file, and nothing else.
//!
//! `cmd.exe` reads a line by rules of its own, so that what is one argument for the caller can be a command for it
//! (CVE-2024-24576). Every argument is put in quotes, where only few characters mean something; those are refused.

use super::resolve::ResolveError;

/// What `cmd.exe` reads even in quotes: the end of the quotes, variables, and the end of the line.
const REFUSED: [char; 5] = ['"', '%', '\r', '\n', '\0'];

/// Without autorun commands of the registry (`/d`), with extensions (`/e:on`), without `!variables!` (`/v:off`), and with the
/// first and last quote of the rest taken away, and no others (`/s`).
const SWITCHES: [&str; 5] = ["/d", "/e:on", "/v:off", "/s", "/c"];

/// The arguments of `cmd.exe`, the first its name, and the whole line.
pub(super) fn line(
    path: &str,
    arguments: &[String],
) -> Result<(Vec<String>, String), ResolveError> {
    let mut words = String::new();
    let all = std::iter::once(path).chain(arguments.iter().map(String::as_str));
    for (number, word) in all.enumerate() {
        if word.contains(REFUSED) {
            let path = path.to_owned();
            return Err(ResolveError::BatchArgument { path, number });
        }
        if number > 0 {
            words.push(' ');
        }
        words.push('"');
        words.push_str(word);
        words.push('"');
    }
    let rest = format!("\"{words}\"");
    let line = format!("cmd.exe {} {rest}", SWITCHES.join(" "));
    let mut all = vec!["cmd.exe".to_owned()];
    all.extend(SWITCHES.map(str::to_owned));
    all.push(rest);
    Ok((all, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cmd_would_read_as_a_command_stays_an_argument_or_is_refused() {
        let path = r"C:\a b\x.bat";
        let arguments = ["a&calc", "b|c>d<e^f", "", r"t\", "!x!", "(y)"].map(str::to_owned);
        let (words, line) = line(path, &arguments).unwrap();
        let expected = r#"cmd.exe /d /e:on /v:off /s /c ""C:\a b\x.bat" "a&calc" "b|c>d<e^f" "" "t\" "!x!" "(y)"""#;
        assert_eq!(line, expected);
        assert_eq!(words.len(), 7);
        for bad in ["a\"&calc\"", "%PATH%", "a\rb", "a\nb", "a\0b"] {
            let arguments = ["x".to_owned(), bad.to_owned()];
            let error = super::line(path, &arguments).unwrap_err();
            assert!(matches!(
                error,
                ResolveError::BatchArgument { number: 2, .. }
            ));
            assert!(!error.to_string().contains(bad), "{error}");
        }
        assert!(super::line(r"C:\%x%.bat", &[]).is_err());
    }
}
