//! `storage::path`: which names a root may have inside, and which full paths of the host a mount may name.

use std::fmt;

use crate::sys::Rules;

/// The most parts of a path inside a root.
pub(crate) const DEEPEST: usize = 256;

/// The most characters of a path: Windows takes 32,767 with its prefix.
pub(crate) const LONGEST: usize = 32_000;

/// Why a path or a name is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is empty.
    Empty,
    /// It is not UTF-8.
    NotText,
    /// It does not start at a root.
    Relative,
    /// It starts at a root where none may.
    Absolute,
    /// It goes up.
    Up,
    /// It has a `:` after the drive, which names another stream of a file.
    Stream,
    /// It has a character that Windows takes in no name.
    Character,
    /// It ends with a dot or a space, which Windows drops, so that it would be another name.
    Ending,
    /// Windows has a device of that name.
    Device,
    /// It names a device, another machine or a part of the object manager (`\\?\`, `\\.\`, `\\host\`).
    Namespace,
    /// It, or one of its names, is too long or has too many parts.
    Long,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "it is empty",
            Self::NotText => "it is not UTF-8",
            Self::Relative => "it is no full path; start it with a drive",
            Self::Absolute => "it is a full path where one inside the root belongs",
            Self::Up => "it has the part '..'; write where that leads",
            Self::Stream => "it has a ':' that names another stream of a file",
            Self::Character => {
                "it has a control character or one of < > \" | ? *, which Windows takes in no name"
            }
            Self::Ending => "a part of it ends with a dot or a space, which Windows drops",
            Self::Device => "a part of it is a device name of Windows",
            Self::Namespace => {
                "it names a device, another machine or the object manager; give a path with a drive"
            }
            Self::Long => "it has too many characters or parts",
        })
    }
}

/// Whether a file may have this name. The rules of Windows hold everywhere for what an image brings, so that a tree means
/// the same on every host.
pub(crate) fn check_name(name: &str, rules: Rules) -> Result<(), Unfit> {
    if name.is_empty() {
        return Err(Unfit::Empty);
    }
    if name == ".." || name == "." {
        return Err(Unfit::Up);
    }
    if name.encode_utf16().count() > 255 || name.len() > 255 * 3 {
        return Err(Unfit::Long);
    }
    match rules {
        Rules::Posix if name.contains(['/', '\0']) => Err(Unfit::Character),
        Rules::Posix => Ok(()),
        Rules::Windows => check_windows_name(name),
    }
}

fn check_windows_name(name: &str) -> Result<(), Unfit> {
    if name.contains(':') {
        return Err(Unfit::Stream);
    }
    let is_bad = |letter: char| letter.is_control() || "<>\"|?*/\\".contains(letter);
    if name.contains(is_bad) {
        return Err(Unfit::Character);
    }
    if name.ends_with(['.', ' ']) {
        return Err(Unfit::Ending);
    }
    if is_device(name) {
        return Err(Unfit::Device);
    }
    Ok(())
}

/// Whether Windows opens a device by this name, whatever its extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    let is_port = |prefix: &str| {
        let rest = stem.strip_prefix(prefix);
        let digit = |rest: &str| {
            let mut letters = rest.chars();
            let first = letters.next();
            // The superscripts are digits for Windows too.
            let is_digit =
                |it: char| it.is_ascii_digit() || matches!(it, '\u{b9}' | '\u{b2}' | '\u{b3}');
            first.is_some_and(is_digit) && letters.next().is_none()
        };
        rest.is_some_and(digit)
    };
    let name = stem.as_str();
    matches!(
        name,
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) || is_port("COM")
        || is_port("LPT")
}

/// The parts of a full path, without its drive: `C:\etc\app` and `/etc/app` are `etc`, `app`.
///
/// Fails with why it is not taken.
pub(crate) fn parts(path: &str, rules: Rules) -> Result<Vec<&str>, Unfit> {
    if path.is_empty() {
        return Err(Unfit::Empty);
    }
    if path.len() > LONGEST {
        return Err(Unfit::Long);
    }
    let rest = match rules {
        Rules::Posix => path.strip_prefix('/').ok_or(Unfit::Relative)?,
        Rules::Windows => without_drive(path)?,
    };
    let is_separator = |letter| is_separator(letter, rules);
    let parts = rest.split(is_separator);
    let parts: Vec<_> = parts.filter(|it| !it.is_empty() && *it != ".").collect();
    if parts.len() > DEEPEST {
        return Err(Unfit::Long);
    }
    for part in &parts {
        check_name(part, rules)?;
    }
    Ok(parts)
}

/// The parts of a full path of the host: as [`parts`], or of a volume instead of a drive (`\\?\Volume{…}\etc`), which is how
/// containerd names what the kubelet mounts.
pub(crate) fn source_parts(path: &str, rules: Rules) -> Result<Vec<&str>, Unfit> {
    match path_in_volume(path, rules) {
        Some((volume, _)) => {
            // From the separator on that the volume ends with.
            let rest = path.get(volume.len() - 1..).unwrap_or_default();
            parts(rest, rules)
        }
        None => parts(path, rules),
    }
}

/// A volume, with the separator at its end, and what follows; none where a path does not start with one.
pub(crate) fn path_in_volume(path: &str, rules: Rules) -> Option<(&str, &str)> {
    const START: &str = r"\\?\volume{";
    let is_volume = path.get(..START.len())?.to_lowercase() == START && rules == Rules::Windows;
    let (identifier, _) = path.get(START.len()..)?.split_once("}\\")?;
    let groups: Vec<usize> = identifier.split('-').map(str::len).collect();
    let is_identifier = identifier
        .chars()
        .all(|it| it.is_ascii_hexdigit() || it == '-');
    let fits = is_volume && is_identifier && groups == [8, 4, 4, 4, 12];
    let at = START.len() + identifier.len() + "}\\".len();
    fits.then(|| path.split_at(at))
}

fn without_drive(path: &str) -> Result<&str, Unfit> {
    let is_separator = |letter: &char| is_separator(*letter, Rules::Windows);
    let mut letters = path.chars();
    let (first, second) = (letters.next(), letters.next());
    if first.as_ref().is_some_and(is_separator) {
        if second.as_ref().is_some_and(is_separator) {
            return Err(Unfit::Namespace);
        }
        return Ok(path.get(1..).unwrap_or_default());
    }
    let has_drive = first.is_some_and(|it| it.is_ascii_alphabetic()) && second == Some(':');
    let third = letters.next();
    if has_drive && third.as_ref().is_some_and(is_separator) {
        Ok(path.get(3..).unwrap_or_default())
    } else {
        Err(Unfit::Relative)
    }
}

/// Whether it stands between two parts of a path.
pub(crate) fn is_separator(letter: char, rules: Rules) -> bool {
    letter == '/' || (letter == '\\' && rules == Rules::Windows)
}

/// What stands between two parts of a path.
pub(crate) fn separator(rules: Rules) -> char {
    match rules {
        Rules::Windows => '\\',
        Rules::Posix => '/',
    }
}

/// The name under which Windows finds it: two names with one key are one file there.
pub(crate) fn key(name: &str) -> String {
    name.to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_root_or_is_no_file_is_not_taken() {
        let bad = [
            ("", Unfit::Empty),
            ("etc", Unfit::Relative),
            ("C:etc", Unfit::Relative),
            ("C:", Unfit::Relative),
            ("C:\\a\\..\\b", Unfit::Up),
            ("/a/../../b", Unfit::Up),
            ("C:\\a:b", Unfit::Stream),
            ("C:\\a\\b::$DATA", Unfit::Stream),
            ("\\\\?\\C:\\a", Unfit::Namespace),
            (
                "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume1",
                Unfit::Namespace,
            ),
            ("\\\\.\\pipe\\x", Unfit::Namespace),
            ("//./pipe/x", Unfit::Namespace),
            ("\\\\host\\share", Unfit::Namespace),
            ("\\/host\\share", Unfit::Namespace),
            ("C:\\a\\nul", Unfit::Device),
            ("C:\\Con.txt", Unfit::Device),
            ("C:\\com1 .txt", Unfit::Device),
            ("C:\\LPT\u{b2}", Unfit::Device),
            ("C:\\conin$", Unfit::Device),
            ("C:\\a.", Unfit::Ending),
            ("C:\\a \\b", Unfit::Ending),
            ("C:\\...", Unfit::Ending),
            ("C:\\a*", Unfit::Character),
            ("C:\\a\0b", Unfit::Character),
            ("C:\\a\nb", Unfit::Character),
        ];
        for (path, why) in bad {
            assert_eq!(parts(path, Rules::Windows), Err(why), "{path:?}");
        }
        let long = format!("C:\\{}", "a".repeat(256));
        assert_eq!(parts(&long, Rules::Windows), Err(Unfit::Long));
        let deep = format!("C:{}", "\\a".repeat(257));
        assert_eq!(parts(&deep, Rules::Windows), Err(Unfit::Long));
    }

    #[test]
    fn a_volume_stands_for_a_drive_in_a_source_alone() {
        let volume = r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}";
        let path = format!(r"{volume}\var\lib");
        let found = source_parts(&path, Rules::Windows).unwrap();
        assert_eq!(found, ["var", "lib"]);
        assert_eq!(parts(&path, Rules::Windows), Err(Unfit::Namespace));
        let bad = [
            format!(r"{volume}\a\..\b"),
            format!("{volume}a"),
            r"\\?\Volume{26a21bda}\a".to_owned(),
            r"\\?\GLOBALROOT\a".to_owned(),
        ];
        for path in bad {
            assert!(source_parts(&path, Rules::Windows).is_err(), "{path}");
        }
    }

    #[test]
    fn both_separators_and_a_missing_drive_are_taken() {
        for path in ["C:\\etc\\app", "c:/etc//app/", "/etc/app", "\\etc\\.\\app"] {
            assert_eq!(parts(path, Rules::Windows).unwrap(), ["etc", "app"]);
        }
        assert_eq!(
            parts("/etc/a:b\\c", Rules::Posix).unwrap(),
            ["etc", "a:b\\c"]
        );
        assert!(parts("C:\\", Rules::Windows).unwrap().is_empty());
        assert!(parts("/COM10/nullable", Rules::Windows).is_ok());
    }
}
