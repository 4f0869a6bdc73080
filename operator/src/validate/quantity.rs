//! The quantities of resources, exactly: `500m`, `1.5Gi`, `2e3`.

/// The value in billionths; none where the text is no quantity, is negative, or is larger than Kubernetes accepts.
pub(super) fn parse(text: &str) -> Option<i128> {
    let digits_end = text
        .find(|it: char| !(it.is_ascii_digit() || it == '.' || it == '+'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(digits_end)?;
    let number = number.strip_prefix('+').unwrap_or(number);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (base, exponent) = scale(suffix)?;
    let mantissa: i128 = digits.parse().ok()?;
    let shift = 9 - i32::try_from(fraction.len()).ok()?;
    let mut value = mantissa;
    if base == 1024 {
        value = value.checked_mul(1024_i128.checked_pow(u32::try_from(exponent).ok()?)?)?;
    }
    let tens = shift + if base == 10 { exponent } else { 0 };
    let power = 10_i128.checked_pow(tens.unsigned_abs())?;
    // What is finer than a billionth is rounded up, as Kubernetes does.
    value = if tens >= 0 {
        value.checked_mul(power)?
    } else {
        value.checked_add(power - 1)?.div_euclid(power)
    };
    (value <= i128::from(i64::MAX) * 1_000_000_000).then_some(value)
}

/// The base and exponent that a suffix stands for.
fn scale(suffix: &str) -> Option<(i32, i32)> {
    let known = match suffix {
        "" => (10, 0),
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (1024, 1),
        "Mi" => (1024, 2),
        "Gi" => (1024, 3),
        "Ti" => (1024, 4),
        "Pi" => (1024, 5),
        "Ei" => (1024, 6),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            return (-18..=18).contains(&exponent).then_some((10, exponent));
        }
    };
    Some(known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantities_have_their_exact_value() {
        const ONE: i128 = 1_000_000_000;
        for (text, value) in [
            ("1", ONE),
            ("500m", ONE / 2),
            ("0.5", ONE / 2),
            (".5", ONE / 2),
            ("+1.", ONE),
            ("1.5Gi", ONE * 3 * (1 << 29)),
            ("2e3", 2000 * ONE),
            ("2E3", 2000 * ONE),
            ("2E", 2 * ONE * 10_i128.pow(18)),
            ("1n", 1),
            ("0.1n", 1),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in [
            "",
            "-1",
            "1 Gi",
            "1gb",
            ".",
            "1.2.3",
            "e3",
            "1e",
            "++1",
            "1e99",
            "9223372036854775808",
            "100Ei",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_refused(text in "\\PC*") {
            let _ = parse(&text);
        }

        #[test]
        fn any_form_of_a_number_has_the_same_value(milli in 0..1_000_000_i64) {
            let decimal = format!("{}.{:03}", milli / 1000, milli % 1000);
            prop_assert_eq!(parse(&format!("{milli}m")), parse(&decimal));
            prop_assert_eq!(parse(&format!("{milli}e-3")), parse(&decimal));
        }
    }
}
