//! Decimal numbers, as rows show them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::datum::Datum;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::ValueRef;

/// A decimal number: up to 96 bits of digits, of which up to 28 stand after the point.
///
/// It keeps the zeros at its end (1.50 is written as 1.50) and is compared by what it is worth (1.50 equals 1.5).
/// Fields of an application have `rust_decimal::Decimal`, with the feature `decimal`; this is what all such types are
/// shown as, and can be a field too.
///
/// ```
/// use larder_core::Decimal;
///
/// let price: Decimal = "1.50".parse()?;
/// assert_eq!((price.coefficient(), price.scale()), (150, 2));
/// assert_eq!(price, "1.5".parse()?);
/// assert!(price < "1.51".parse()?);
/// assert_eq!(price.to_string(), "1.50");
/// assert_eq!([Decimal::from(-3), Decimal::from(i64::MIN)], ["-3".parse()?, "-9223372036854775808".parse()?]);
/// # Ok::<(), larder_core::decimal::NotADecimal>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    high: u32,
    low: u64,
    scale: u8,
    negative: bool,
}

/// Digits after the point, at most.
const SCALE: u8 = 28;

/// Digits, at most: 2^96 has 29.
const DIGITS: usize = 29;

impl Decimal {
    /// `coefficient` with the point put before its last `scale` digits; `None` beyond 96 bits or 28 digits.
    #[must_use]
    pub fn new(coefficient: i128, scale: u8) -> Option<Self> {
        let magnitude = coefficient.unsigned_abs();
        if magnitude >> 96 != 0 || scale > SCALE {
            return None;
        }
        let (high, low) = (u32::try_from(magnitude >> 64).ok()?, magnitude as u64);
        Some(Self { high, low, scale, negative: coefficient < 0 })
    }

    /// All digits as one number.
    #[must_use]
    pub fn coefficient(self) -> i128 {
        let magnitude = self.magnitude().cast_signed();
        if self.negative { -magnitude } else { magnitude }
    }

    /// How many of the digits stand after the point.
    #[must_use]
    pub fn scale(self) -> u8 {
        self.scale
    }

    fn magnitude(self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }

    /// The sign, the place of the first digit before the point, and the digits without zeros at either end: equal for
    /// numbers that are worth the same.
    pub(crate) fn normal(self) -> Normal {
        let (mut magnitude, mut count) = (self.magnitude(), 0);
        let mut digits = [0; DIGITS];
        while magnitude > 0 {
            digits[DIGITS - 1 - count] = (magnitude % 10) as u8;
            magnitude /= 10;
            count += 1;
        }
        digits.rotate_left(DIGITS - count);
        let len = digits[..count].iter().rposition(|digit| *digit != 0).map_or(0, |last| last + 1);
        // At most 29 digits, of which at most 28 stand after the point: between -27 and 29.
        let place = count as i8 - self.scale as i8;
        Normal { sign: if len == 0 { 0 } else { 1 - 2 * i8::from(self.negative) }, place, digits, len }
    }
}

/// What a decimal number is worth.
pub(crate) struct Normal {
    /// -1, 0 or 1.
    pub(crate) sign: i8,
    /// How many digits stand before the point; negative for zeros after it.
    pub(crate) place: i8,
    digits: [u8; DIGITS],
    len: usize,
}

impl Normal {
    pub(crate) fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.normal(), other.normal());
        if a.sign != b.sign || a.sign == 0 {
            return a.sign.cmp(&b.sign);
        }
        let by_size = a.place.cmp(&b.place).then_with(|| a.digits().cmp(b.digits()));
        if a.sign < 0 { by_size.reverse() } else { by_size }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

impl Hash for Decimal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let normal = self.normal();
        normal.sign.hash(state);
        if normal.sign != 0 {
            normal.place.hash(state);
            normal.digits().hash(state);
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        let digits = format!("{:0width$}", self.magnitude(), width = scale + 1);
        let (before, after) = digits.split_at(digits.len() - scale);
        let text = if scale == 0 { before.to_owned() } else { format!("{before}.{after}") };
        f.pad_integral(!self.negative, "", &text)
    }
}

/// Whole numbers, without digits after the point.
macro_rules! whole {
    ($($unsigned:ty, $signed:ty;)*) => {$(
        impl From<$unsigned> for Decimal {
            fn from(number: $unsigned) -> Self {
                Self { high: 0, low: number.into(), scale: 0, negative: false }
            }
        }

        impl From<$signed> for Decimal {
            fn from(number: $signed) -> Self {
                Self { high: 0, low: number.unsigned_abs().into(), scale: 0, negative: number < 0 }
            }
        }
    )*};
}

whole! { u8, i8; u16, i16; u32, i32; u64, i64; }

/// The text is no decimal number, or one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotADecimal;

impl fmt::Display for NotADecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a decimal number of at most 96 bits, 28 digits of them after the point")
    }
}

impl std::error::Error for NotADecimal {}

impl FromStr for Decimal {
    type Err = NotADecimal;

    /// Reads digits with an optional sign, point and exponent. Zeros at the end that are too many are let go.
    fn from_str(text: &str) -> Result<Self, NotADecimal> {
        let (text, exponent) = match text.split_once(['e', 'E']) {
            Some((text, exponent)) => (text, exponent.parse::<i32>().map_err(|_| NotADecimal)?),
            None => (text, 0),
        };
        let (negative, digits) = match text.as_bytes() {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] | digits => (false, digits),
        };
        let (mut coefficient, mut scale, mut point, mut any) = (0_i128, 0_i32, false, false);
        for byte in digits {
            match byte {
                b'0'..=b'9' => {
                    any = true;
                    scale += i32::from(point);
                    let digit = i128::from(byte - b'0');
                    coefficient = coefficient
                        .checked_mul(10)
                        .and_then(|sum| sum.checked_add(digit))
                        .ok_or(NotADecimal)?;
                }
                b'.' if !point => point = true,
                _ => return Err(NotADecimal),
            }
        }
        if !any {
            return Err(NotADecimal);
        }
        scale = scale.checked_sub(exponent).ok_or(NotADecimal)?;
        while scale > i32::from(SCALE) && coefficient % 10 == 0 && coefficient != 0 {
            (coefficient, scale) = (coefficient / 10, scale - 1);
        }
        while scale < 0 {
            coefficient = coefficient.checked_mul(10).ok_or(NotADecimal)?;
            scale = if coefficient == 0 { 0 } else { scale + 1 };
        }
        let scale = if coefficient == 0 { scale.min(i32::from(SCALE)) } else { scale };
        let scale = u8::try_from(scale).map_err(|_| NotADecimal)?;
        Self::new(if negative { -coefficient } else { coefficient }, scale).ok_or(NotADecimal)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

impl Datum for Decimal {
    const KIND: Kind = Kind::Decimal;

    fn show(&self) -> ValueRef<'_> {
        ValueRef::Decimal(*self)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        match value {
            ValueRef::Decimal(v) => Ok(v),
            other => Err(other.mismatch("a decimal number")),
        }
    }
}
