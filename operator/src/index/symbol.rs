//! Interned strings and binary UIDs: what makes a row small.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

/// A counted reference to an interned string: four bytes instead of a string per row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Symbol(u32);

/// The interned strings. A string is dropped with its last user, so that years of node names and revisions do not add up.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    by_text: BTreeMap<Arc<str>, Symbol>,
    slots: Vec<Option<(Arc<str>, usize)>>,
    free: Vec<Symbol>,
}

impl Symbols {
    /// The symbol of a text, with one more user.
    pub(super) fn acquire(&mut self, text: &str) -> Symbol {
        if let Some(&symbol) = self.by_text.get(text) {
            if let Some(Some((_, users))) = self.slots.get_mut(index(symbol)) {
                *users += 1;
            }
            return symbol;
        }
        let shared: Arc<str> = Arc::from(text);
        let slot = Some((Arc::clone(&shared), 1));
        let symbol = if let Some(symbol) = self.free.pop() {
            if let Some(place) = self.slots.get_mut(index(symbol)) {
                *place = slot;
            }
            symbol
        } else {
            self.slots.push(slot);
            // Four thousand million distinct names in use at once do not fit into memory anyway.
            Symbol(u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX))
        };
        self.by_text.insert(shared, symbol);
        symbol
    }

    /// One user less.
    pub(super) fn release(&mut self, symbol: Symbol) {
        let Some(place) = self.slots.get_mut(index(symbol)) else {
            return;
        };
        let Some((text, users)) = place else { return };
        *users -= 1;
        if *users == 0 {
            self.by_text.remove(text);
            *place = None;
            self.free.push(symbol);
        }
    }

    /// The symbol of a text that has users.
    pub(super) fn find(&self, text: &str) -> Option<Symbol> {
        self.by_text.get(text).copied()
    }

    /// The text of a symbol.
    pub(super) fn text(&self, symbol: Symbol) -> &str {
        self.slots
            .get(index(symbol))
            .and_then(Option::as_ref)
            .map_or("", |(text, _)| text)
    }

    /// How many distinct strings are in use.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_text.len()
    }
}

fn index(symbol: Symbol) -> usize {
    usize::try_from(symbol.0).unwrap_or(usize::MAX)
}

/// A UID in 16 bytes. Kubernetes promises uniqueness, not a format: what is not a lower-case UUID is a digest here, and its
/// text is kept by whoever needs it back (see [`Uid::text`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Uid([u8; 16]);

impl Uid {
    /// The least.
    pub(super) const MIN: Self = Self([0; 16]);

    /// The UID of a text, and whether the text can be had back from it.
    pub(super) fn of(text: &str) -> (Self, bool) {
        if let Some(uid) = parse(text) {
            return (uid, true);
        }
        let digest = Sha256::digest(text.as_bytes());
        let mut bytes = [0; 16];
        for (byte, from) in bytes.iter_mut().zip(digest.iter()) {
            *byte = *from;
        }
        (Self(bytes), false)
    }

    /// The UUID form; the original text only where [`Uid::of`] said so.
    pub(super) fn text(self) -> String {
        let mut text = String::with_capacity(36);
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        text
    }
}

fn parse(text: &str) -> Option<Uid> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0_u8; 16];
    let mut nibbles = 0_usize;
    for (position, character) in text.bytes().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if character != b'-' {
                return None;
            }
            continue;
        }
        let value = match character {
            b'0'..=b'9' => character - b'0',
            b'a'..=b'f' => character - b'a' + 10,
            _ => return None,
        };
        let byte = bytes.get_mut(nibbles / 2)?;
        *byte = (*byte << 4) | value;
        nibbles += 1;
    }
    Some(Uid(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_survives_the_sixteen_bytes() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let (uid, exact) = Uid::of(text);
        assert!(exact);
        assert_eq!(uid.text(), text);
    }

    #[test]
    fn a_uid_that_is_no_lower_case_uuid_is_told_apart_and_marked() {
        for text in [
            "",
            "0F8FAD5B-D9CB-469F-A165-70867728950E",
            "0f8fad5b_d9cb_469f_a165_70867728950e",
            "ä",
        ] {
            assert!(!Uid::of(text).1, "{text}");
        }
        assert_ne!(Uid::of("a").0, Uid::of("b").0);
    }

    #[test]
    fn a_string_is_dropped_with_its_last_user() {
        let mut symbols = Symbols::default();
        let first = symbols.acquire("win-01");
        assert_eq!(symbols.acquire("win-01"), first);
        symbols.release(first);
        assert_eq!(symbols.text(first), "win-01");
        symbols.release(first);
        assert_eq!(symbols.find("win-01"), None);
        assert_eq!(symbols.len(), 0);
        assert_eq!(symbols.acquire("win-02"), first, "the place is used again");
        assert_eq!(symbols.text(first), "win-02");
    }
}
