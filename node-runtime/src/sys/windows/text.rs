//! Text: from Rust to the zero-terminated UTF-16 of Win32, and back.
#![expect(unsafe_code, reason = "texts of Windows are read up to their zero")]

use std::io;
use std::slice;

/// The text as Win32 reads it. A text with a zero in it is refused, because Windows would read only what stands before it.
pub(super) fn wide(text: &str) -> io::Result<Vec<u16>> {
    if text.contains('\0') {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a text for windows has a zero character in it; remove it",
        ));
    }
    Ok(text.encode_utf16().chain([0]).collect())
}

/// The text before the first zero. What is no UTF-16 is replaced, as it is only shown.
pub(super) fn narrow(text: &[u16]) -> String {
    let end = text.iter().position(|unit| *unit == 0);
    let text = end.and_then(|end| text.get(..end)).unwrap_or(text);
    String::from_utf16_lossy(text)
}

/// A text of Windows, without its zero.
///
/// # Safety
/// There is a zero in the same allocation, which lives as long as what is returned.
pub(super) unsafe fn units<'a>(text: *const u16) -> &'a [u16] {
    let mut length = 0;
    loop {
        // SAFETY: no zero came yet, so the caller promises that this unit is there.
        let unit = unsafe { text.add(length) };
        // SAFETY: as above.
        if unsafe { unit.read() } == 0 {
            break;
        }
        length += 1;
    }
    // SAFETY: so many units were just read there.
    unsafe { slice::from_raw_parts(text, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_zero_in_it_is_refused_and_any_other_comes_back() {
        assert!(wide("a\0b").is_err());
        for text in ["", "plain", "Grüße \u{1F600}"] {
            assert_eq!(narrow(&wide(text).unwrap()), text);
        }
    }
}
