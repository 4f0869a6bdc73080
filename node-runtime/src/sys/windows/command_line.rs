//! Tests: arguments are quoted so that Windows splits them again as they were. Its own function is the judge.
#![expect(unsafe_code, reason = "the judge is a Win32 function")]

use std::slice;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::UI::Shell::CommandLineToArgvW;

use super::text::{units, wide};
use crate::launch::{self, quote};

/// As Windows splits a line.
fn split(line: &str) -> Vec<String> {
    let line = wide(line).unwrap();
    let mut count = 0;
    // SAFETY: the line ends with a zero; `count` receives one value.
    let list = unsafe { CommandLineToArgvW(line.as_ptr(), &raw mut count) };
    assert!(!list.is_null());
    let count = usize::try_from(count).unwrap();
    // SAFETY: the call succeeded, so the list has so many texts.
    let texts = unsafe { slice::from_raw_parts(list, count) };
    let arguments = texts.iter().map(|text| {
        // SAFETY: each text ends with a zero, and the list is freed below only.
        String::from_utf16(unsafe { units(*text) }).unwrap()
    });
    let arguments = arguments.collect();
    // SAFETY: the list came from a call that says to free it so, and the arguments are copies.
    unsafe { LocalFree(list.cast()) };
    arguments
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[test]
fn a_hundred_thousand_lists_of_arguments_come_back_as_they_were() {
    // Mostly what is special to somebody: to Windows, or to shells that never see it.
    let letters: Vec<char> = "\"\"\\\\\\  \tab$;&|^%`'()\n*ä\u{1F600}".chars().collect();
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for round in 0..100_000 {
        let mut arguments = vec!["C:\\a b\\program.exe".to_owned()];
        for _ in 0..numbers.below(6) {
            let length = numbers.below(12);
            let argument = (0..length).map(|_| letters[numbers.below(letters.len())]);
            arguments.push(argument.collect());
        }
        let line = quote(&arguments);
        assert_eq!(split(&line), arguments, "round {round}: {line:?}");
    }
}

#[test]
fn twenty_thousand_lines_are_split_as_windows_splits_them() {
    let letters: Vec<char> = "\"\"\"\"\\\\\\\\   \tabC:;&^%'\u{1}\n\u{b}\u{a0}\u{e4}\u{1F600}"
        .chars()
        .collect();
    let mut numbers = Numbers(0xA076_1D64_78BD_642F);
    for round in 0..20_000 {
        // Of an empty line, Windows makes the path of the program that asks. An unquoted first word ends at a control character
        // on Windows, and goes on under Wine: so it has none here.
        let mut line = "x".repeat(numbers.below(2));
        for at in 0..=numbers.below(24) {
            let letter = letters[numbers.below(letters.len())];
            let is_behind = at > 0 && line.contains(' ');
            line.push(if letter < ' ' && !is_behind {
                ' '
            } else {
                letter
            });
        }
        assert_eq!(
            launch::split(&line),
            split(&line),
            "round {round}: {line:?}"
        );
    }
}
