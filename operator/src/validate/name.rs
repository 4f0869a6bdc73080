//! The grammars of names in Kubernetes: what may stand in a field, without regular expressions.

/// Whether it is a DNS label: at most 63 of `a-z0-9-`, not beginning or ending with a dash.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// Whether it is a DNS subdomain, as the names of most objects are: at most 253 characters, dots between DNS labels.
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// Whether it can be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_word(text)
}

/// Whether it can be the key of a label, annotation or taint: `name` or `domain/name`.
pub fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_subdomain(domain) && is_word(name),
        None => is_word(text),
    }
}

/// Whether it can name an environment variable: printable ASCII without `=`.
pub fn is_variable(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=')
}

/// Whether it can name a port: at most 15 of `a-z0-9-` with at least one letter, no dash at an end or beside another.
pub fn is_port_name(text: &str) -> bool {
    text.len() <= 15
        && is_dns_part(text)
        && !text.contains("--")
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
}

/// Whether it has the form of a Windows build, such as `10.0.20348`.
pub fn is_windows_build(text: &str) -> bool {
    text.split('.').count() == 3
        && text.split('.').all(|part| {
            (1..=6).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn is_dns_part(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_word(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && is_end(text.bytes().next())
        && is_end(text.bytes().next_back())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grammar_takes_what_it_should_and_nothing_else() {
        type Case = (
            fn(&str) -> bool,
            &'static [&'static str],
            &'static [&'static str],
        );
        let cases: [Case; 7] = [
            (
                is_label,
                &["a", "a-1", "0"],
                &["", "-a", "a-", "A", "a.b", "a_b", "é"],
            ),
            (
                is_subdomain,
                &["a.b", "a"],
                &["", ".", "a.", "a..b", "a.-b", "A.b"],
            ),
            (
                is_label_value,
                &["", "A_b.c-1"],
                &["-a", "a-", "a b", "a/b", "_"],
            ),
            (
                is_qualified,
                &["a", "example.com/A_b"],
                &["", "/a", "a/", "a/b/c", "A.com/b", "a b"],
            ),
            (
                is_variable,
                &["A", "a.b", "Path (x86)"],
                &["", "A=B", "é", "a\n"],
            ),
            (
                is_port_name,
                &["http", "a-1"],
                &["", "80", "a--b", "Http", "abcdefghijklmnop", "-a"],
            ),
            (
                is_windows_build,
                &["10.0.20348"],
                &[
                    "",
                    "10.0",
                    "10.0.x",
                    "10.0.",
                    "10.0.20348.1",
                    "10.0.1234567",
                ],
            ),
        ];
        for (is_legal, good, bad) in cases {
            for text in good {
                assert!(is_legal(text), "{text:?}");
            }
            for text in bad {
                assert!(!is_legal(text), "{text:?}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_kubernetes() {
        assert!(is_label(&"a".repeat(63)) && !is_label(&"a".repeat(64)));
        assert!(is_subdomain(&"a".repeat(253)) && !is_subdomain(&"a".repeat(254)));
        assert!(is_label_value(&"a".repeat(63)) && !is_label_value(&"a".repeat(64)));
    }
}
