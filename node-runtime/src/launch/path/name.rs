//! `path::name`: what one name of a path may be.

use super::PathError;
use crate::sys::Rules;

/// The most UTF-16 units of a name; bytes on Linux.
pub(super) const LONGEST_NAME: usize = 255;

/// In the unit that the rules count in.
pub(super) fn length(rules: Rules, text: &str) -> usize {
    match rules {
        Rules::Windows => text.encode_utf16().count(),
        Rules::Posix => text.len(),
    }
}

/// Whether a file may have that name.
pub(in crate::launch) fn check(rules: Rules, name: &str) -> Result<(), PathError> {
    if length(rules, name) > LONGEST_NAME {
        return Err(PathError::TooLong);
    }
    if rules == Rules::Posix {
        if name.contains('\0') {
            return Err(PathError::Character('\0'));
        }
        return Ok(());
    }
    if name.contains(':') {
        return Err(PathError::Stream);
    }
    // The Windows rule is in "Naming Files, Paths, and Namespaces" of Microsoft's documentation.
    let is_bad = |it: char| it < ' ' || matches!(it, '<' | '>' | '"' | '|' | '?' | '*' | '\u{7f}');
    if let Some(letter) = name.chars().find(|it| is_bad(*it)) {
        return Err(PathError::Character(letter));
    }
    if name.ends_with(['.', ' ']) {
        return Err(PathError::Trailing(name.to_owned()));
    }
    if is_device(name) {
        return Err(PathError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Whether a name is a device of MS-DOS, whatever follows its first dot.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ');
    let stem = stem.to_ascii_uppercase();
    let is_port = |name: &str| {
        let mut rest = stem.strip_prefix(name).unwrap_or_default().chars();
        // Windows takes the superscript digits of Latin-1 for digits here.
        let digit = |it: char| it.is_ascii_digit() || matches!(it, '¹' | '²' | '³');
        rest.next().is_some_and(digit) && rest.next().is_none()
    };
    matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) || is_port("COM")
        || is_port("LPT")
}

/// Whether a name looks like a short one that Windows made: `PROGRA~1`, `LONGNA~2.TXT`.
pub(super) fn is_short(name: &str) -> bool {
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((before, number)) = stem.rsplit_once('~') else {
        return false;
    };
    !before.is_empty()
        && stem.chars().count() <= 8
        && extension.chars().count() <= 3
        && !number.is_empty()
        && number.chars().all(|it| it.is_ascii_digit())
}
