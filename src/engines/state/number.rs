//! Numbers compared as decimals, on their text.
//!
//! `1`, `1.0` and `10e-1` are equal; nothing is rounded, and exponents of any
//! size cost their digits and no more: a number is never written out.

/// Whether two JSON numbers have the same value.
pub(super) fn equal(one: &str, other: &str) -> bool {
    one == other || Decimal::of(one) == Decimal::of(other)
}

/// ± 0.`digits` · 10^`exponent`, without zeros at either end of the digits;
/// zero has none, and neither sign nor exponent.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: Integer,
}

impl Decimal {
    fn of(number: &str) -> Self {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        if digits.is_empty() {
            return Self { negative: false, digits, exponent: Integer::Small(0) };
        }
        // Text lengths are far below i64's range.
        let shift = whole.len() as i64 - leading as i64;
        Self { negative, digits, exponent: Integer::of(exponent).plus(shift) }
    }
}

/// An integer of any size. Always `Small` where that can hold it.
#[derive(Debug, PartialEq, Eq)]
enum Integer {
    Small(i128),
    /// Digits without leading zeros.
    Large {
        negative: bool,
        digits: Vec<u8>,
    },
}

/// Any integer of this many digits fits `i128`, with room to add to it.
const SMALL_DIGITS: usize = 38;

impl Integer {
    fn of(text: &str) -> Self {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        Self::from_digits(negative, digits.trim_start_matches('0').as_bytes().to_vec())
    }

    fn from_digits(negative: bool, digits: Vec<u8>) -> Self {
        if digits.len() > SMALL_DIGITS {
            return Self::Large { negative, digits };
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + i128::from(digit - b'0'));
        Self::Small(if negative { -value } else { value })
    }

    fn plus(self, small: i64) -> Self {
        let (negative, mut digits) = match self {
            Self::Small(value) => {
                let sum = value + i128::from(small);
                let digits = sum.unsigned_abs().to_string().into_bytes();
                // One that has grown past the limit is written the other way.
                return Self::from_digits(sum < 0, if sum == 0 { Vec::new() } else { digits });
            }
            Self::Large { negative, digits } => (negative, digits),
        };
        // Far larger than what is added, so its sign stays.
        if negative == (small < 0) {
            add(&mut digits, small.unsigned_abs());
        } else {
            subtract(&mut digits, small.unsigned_abs());
        }
        Self::from_digits(negative, digits)
    }
}

fn add(digits: &mut Vec<u8>, mut carry: u64) {
    for digit in digits.iter_mut().rev() {
        if carry == 0 {
            return;
        }
        let sum = u64::from(*digit - b'0') + carry % 10;
        *digit = b'0' + (sum % 10) as u8;
        carry = carry / 10 + sum / 10;
    }
    if carry > 0 {
        digits.splice(0..0, carry.to_string().into_bytes());
    }
}

/// The digits are worth more than what is taken away.
fn subtract(digits: &mut Vec<u8>, mut borrow: u64) {
    for digit in digits.iter_mut().rev() {
        if borrow == 0 {
            break;
        }
        let own = u64::from(*digit - b'0');
        let away = borrow % 10;
        borrow = borrow / 10 + u64::from(own < away);
        *digit = b'0' + ((own + 10 - away) % 10) as u8;
    }
    let leading = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..leading);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_value_however_written() {
        let huge = "9".repeat(50);
        for (one, other) in [
            ("1", "1.0"),
            ("1", "10e-1"),
            ("100", "1E+2"),
            ("0.001", "1e-3"),
            ("-0", "0.0e5"),
            ("0e999999999999999999999999999999999999999999", "0"),
            ("1e400", "10e399"),
            ("1e999999999", "0.1e1000000000"),
            ("1e-999999999", "1000e-1000000002"),
            (&format!("1e{huge}"), &format!("0.1e1{}", "0".repeat(50))),
            (&format!("1e-{huge}"), &format!("10e-1{}", "0".repeat(50))),
            (&format!("1e00{huge}"), &format!("1.000e+{huge}")),
        ] {
            assert!(equal(one, other), "{one} {other}");
            assert!(equal(other, one), "{other} {one}");
        }
    }

    #[test]
    fn nothing_is_rounded() {
        for (one, other) in [
            ("1", "-1"),
            ("1", "2"),
            ("9007199254740993", "9007199254740992"),
            ("0.1", "0.1000000000000000000000000000001"),
            ("1e400", "1e401"),
            ("1e400", "0"),
            ("1e-400", "0"),
            (
                "1e99999999999999999999999999999999999999999",
                "1e99999999999999999999999999999999999999998",
            ),
            (
                "1e99999999999999999999999999999999999999999",
                "1e-99999999999999999999999999999999999999999",
            ),
        ] {
            assert!(!equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn the_border_between_small_and_large() {
        let border = "9".repeat(SMALL_DIGITS);
        let above = format!("1{}", "0".repeat(SMALL_DIGITS));
        assert!(equal(&format!("10e{border}"), &format!("1e{above}")));
        assert!(equal(&format!("10e-{above}"), &format!("1e-{border}")));
        assert!(!equal(&format!("1e{border}"), &format!("1e{above}")));
    }

    proptest! {
        #[test]
        fn shifting_the_point_changes_nothing(
            digits in "[1-9][0-9]{0,30}", exponent in -60i64..60, shift in 0usize..40,
        ) {
            let plain = format!("{digits}e{exponent}");
            let zeros = "0".repeat(shift);
            let grown = format!("{digits}{zeros}e{}", exponent - shift as i64);
            let small = format!("0.{zeros}{digits}e{}", exponent + (shift + digits.len()) as i64);
            prop_assert!(equal(&plain, &grown));
            prop_assert!(equal(&plain, &small));
            let other = format!("{digits}1e{exponent}");
            prop_assert!(!equal(&plain, &other));
        }

        #[test]
        fn sums_are_right(a in any::<i64>(), b in any::<i64>()) {
            let base = 10i128.pow(37);
            for sign in [1, -1] {
                let start = sign * (base * 8) + i128::from(a);
                let large = Integer::Large {
                    negative: start < 0,
                    digits: start.unsigned_abs().to_string().into_bytes(),
                };
                prop_assert_eq!(large.plus(b), Integer::of(&(start + i128::from(b)).to_string()));
            }
        }
    }
}
