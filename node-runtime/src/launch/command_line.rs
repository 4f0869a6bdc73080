//! `command_line`: arguments as one line and back, by the rules of `CommandLineToArgvW`.
//!
//! Windows passes one line to a program, and each program splits it itself. Nearly all split as `CommandLineToArgvW` or as the C
//! runtime of Microsoft. [`quote`] writes only what both read alike; [`split`] reads as the former, which is the one that is
//! documented.

/// One line of which `CommandLineToArgvW` makes these arguments again.
///
/// The first is read by a rule of its own: nothing in it is escaped. It can have every character but `"`, which no name of a
/// file has. There must be no NUL in any.
pub fn quote(arguments: &[String]) -> String {
    let mut line = String::new();
    for (number, argument) in arguments.iter().enumerate() {
        if number == 0 {
            line.push_str(&quote_first(argument));
        } else {
            line.push(' ');
            push_quoted(&mut line, argument);
        }
    }
    line
}

/// The name of the program, as the first word of a line.
pub(super) fn quote_first(name: &str) -> String {
    if needs_quotes(name) {
        format!("\"{name}\"")
    } else {
        name.to_owned()
    }
}

/// Splits a line as `CommandLineToArgvW` does.
pub fn split(line: &str) -> Vec<String> {
    let (first, rest) = split_first(line);
    let mut arguments = vec![first.to_owned()];
    arguments.extend(split_rest(rest));
    arguments
}

/// The first word of a line, and what follows it.
///
/// A backslash escapes nothing here, a quote in the middle of a word is a part of it, and a line that starts with white space
/// has an empty first word.
pub(super) fn split_first(line: &str) -> (&str, &str) {
    if let Some(inside) = line.strip_prefix('"') {
        return inside.split_once('"').unwrap_or((inside, ""));
    }
    let end = line.find(is_first_border).unwrap_or(line.len());
    line.split_at(end)
}

/// Windows itself ends an unquoted first word at every control character.
fn is_first_border(letter: char) -> bool {
    letter <= ' '
}

fn is_white(letter: char) -> bool {
    matches!(letter, ' ' | '\t')
}

/// Whether a word would be split, or be nothing. More than needed is quoted: the C runtime splits at more characters.
fn needs_quotes(word: &str) -> bool {
    word.is_empty() || word.chars().any(|it| it <= ' ' || it == '"')
}

fn push_quoted(line: &mut String, argument: &str) {
    if !needs_quotes(argument) {
        line.push_str(argument);
        return;
    }
    line.push('"');
    let mut backslashes = 0;
    for letter in argument.chars() {
        match letter {
            '\\' => backslashes += 1,
            // Backslashes before a quote are halved, and the odd one escapes it.
            '"' => {
                line.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        line.push(letter);
    }
    line.extend(std::iter::repeat_n('\\', backslashes));
    line.push('"');
}

/// The words after the first.
fn split_rest(rest: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut letters = rest.trim_start_matches(is_white).chars().peekable();
    while letters.peek().is_some() {
        words.push(next_word(&mut letters));
        while letters.next_if(|it| is_white(*it)).is_some() {}
    }
    words
}

/// One word. Quotes open and close; the third of quotes in a row is a character.
fn next_word(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut word = String::new();
    let mut quotes = 0;
    loop {
        let mut backslashes = 0;
        while letters.next_if_eq(&'\\').is_some() {
            backslashes += 1;
        }
        if letters.next_if_eq(&'"').is_none() {
            word.extend(std::iter::repeat_n('\\', backslashes));
            match letters.peek() {
                None => return word,
                Some(letter) if is_white(*letter) && quotes == 0 => return word,
                Some(_) => word.extend(letters.next()),
            }
            continue;
        }
        word.extend(std::iter::repeat_n('\\', backslashes / 2));
        if backslashes % 2 == 1 {
            word.push('"');
        } else {
            quotes += 1;
        }
        while letters.next_if_eq(&'"').is_some() {
            quotes += 1;
            if quotes == 3 {
                word.push('"');
                quotes = 0;
            }
        }
        if quotes == 2 {
            quotes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&it| it.to_owned()).collect()
    }

    #[test]
    fn a_line_is_split_as_the_documentation_of_command_line_to_argv_says() {
        let table: [(&str, &[&str]); 19] = [
            (r#"p "a b c" d e"#, &["p", "a b c", "d", "e"]),
            (r#"p "ab\"c" "\\" d"#, &["p", "ab\"c", r"\", "d"]),
            (r#"p a\\\b d"e f"g h"#, &["p", r"a\\\b", "de fg", "h"]),
            (r#"p a\\\"b c d"#, &["p", "a\\\"b", "c", "d"]),
            (r#"p a\\\\"b c" d e"#, &["p", r"a\\b c", "d", "e"]),
            (
                r#""C:\Program Files\x.exe" a"#,
                &[r"C:\Program Files\x.exe", "a"],
            ),
            // Nothing is escaped in the first word.
            (r#""C:\a\" b"#, &[r"C:\a\", "b"]),
            (r#"a"b c"#, &["a\"b", "c"]),
            (r#""a"b c"#, &["a", "b", "c"]),
            (" a b", &["", "a", "b"]),
            ("p  a\t b  ", &["p", "a", "b"]),
            (r#"p "" a"#, &["p", "", "a"]),
            (r#"p """#, &["p", ""]),
            (r#"p """a b""""#, &["p", "\"a", "b\""]),
            (r#"p "a""b c"#, &["p", "a\"b", "c"]),
            (r#"p "open"#, &["p", "open"]),
            (r"p \\", &["p", r"\\"]),
            ("", &[""]),
            ("\"open", &["open"]),
        ];
        for (line, expected) in table {
            assert_eq!(split(line), owned(expected), "{line}");
        }
    }

    #[test]
    fn arguments_are_quoted_only_where_they_must_be() {
        let table: [(&[&str], &str); 8] = [
            (&["ping", "-t", "::1"], "ping -t ::1"),
            (&[r"C:\a b\x.exe", "c d"], r#""C:\a b\x.exe" "c d""#),
            (&["p", ""], r#"p """#),
            (&["p", r"a\b\"], r"p a\b\"),
            (&["p", r"a b\"], r#"p "a b\\""#),
            (&["p", r#"a\"b"#], r#"p "a\\\"b""#),
            (&["p", "a\nb"], "p \"a\nb\""),
            (&["p", "$(x)", "a&b|c>d^e%f%;`'"], "p $(x) a&b|c>d^e%f%;`'"),
        ];
        for (arguments, expected) in table {
            let arguments = owned(arguments);
            assert_eq!(quote(&arguments), expected);
            assert_eq!(split(expected), arguments);
        }
    }
}
