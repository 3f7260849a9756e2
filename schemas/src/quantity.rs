//! Durations and fractions as manifests write them. Both are integers: no float ever enters a decision.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuantity {
    /// Not a number with one of the known units.
    #[error("{0:?} is not a duration: a whole number with s, m, h or d, such as 30s or 15m")]
    Duration(String),
    /// Not a percentage between 0 % and 100 %.
    #[error("{0:?} is not a percentage: 0% to 100%, with at most two decimals, such as 2% or 0.5%")]
    Percent(String),
}

/// A span of elapsed time in whole seconds, written `30s`, `15m`, `2h` or `7d` (a day is 86,400 seconds).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Seconds(u32);

impl Seconds {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// A span of `seconds`.
    pub const fn new(seconds: u32) -> Self {
        Self(seconds)
    }

    /// A span of `minutes`; saturates after 136 years.
    pub const fn minutes(minutes: u32) -> Self {
        Self(minutes.saturating_mul(60))
    }

    /// The number of seconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The same span for the standard library.
    pub const fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0 as u64)
    }

    /// The same span for time stamps.
    pub fn signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_secs(i64::from(self.0))
    }
}

impl FromStr for Seconds {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity::Duration(text.to_owned());
        let unit = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3_600,
            Some(b'd') => 86_400,
            _ => return Err(invalid()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return Err(invalid());
        }
        digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0s"),
            n if n % 86_400 == 0 => write!(f, "{}d", n / 86_400),
            n if n % 3_600 == 0 => write!(f, "{}h", n / 3_600),
            n if n % 60 == 0 => write!(f, "{}m", n / 60),
            n => write!(f, "{n}s"),
        }
    }
}

impl TryFrom<String> for Seconds {
    type Error = InvalidQuantity;
    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl From<Seconds> for String {
    fn from(seconds: Seconds) -> String {
        seconds.to_string()
    }
}

impl schemars::JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A duration: a whole number with its unit, s, m, h or d (a day is 24 hours).",
            "type": "string",
            "pattern": "^[0-9]+[smhd]$",
            "examples": ["30s", "15m", "2h", "7d"],
        })
    }
}

/// A fraction in basis points (1/10,000), written as a percentage: `2%`, `0.5%`, `100%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u16);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `percent` whole percent; everything above 100 is 100 %.
    pub const fn whole(percent: u8) -> Self {
        Self(if percent > 100 { 10_000 } else { percent as u16 * 100 })
    }

    /// The fraction in basis points, 0 to 10,000.
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// The smallest whole number that is at least this fraction of `total`.
    pub fn ceil_of(self, total: u64) -> u64 {
        let product = u128::from(self.0) * u128::from(total);
        u64::try_from(product.div_ceil(10_000)).expect("a fraction of a u64 fits into a u64")
    }

    /// The greatest whole number that is at most this fraction of `total`.
    pub fn floor_of(self, total: u64) -> u64 {
        let product = u128::from(self.0) * u128::from(total);
        u64::try_from(product / 10_000).expect("a fraction of a u64 fits into a u64")
    }

    /// Whether `part` of `total` is strictly more than this fraction.
    pub fn is_exceeded_by(self, part: u64, total: u64) -> bool {
        u128::from(part) * 10_000 > u128::from(self.0) * u128::from(total)
    }
}

impl FromStr for Percent {
    type Err = InvalidQuantity;
    fn from_str(text: &str) -> Result<Self, InvalidQuantity> {
        let invalid = || InvalidQuantity::Percent(text.to_owned());
        let number = text.strip_suffix('%').ok_or_else(invalid)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 3 || decimals.len() > 2 {
            return Err(invalid());
        }
        let whole: u16 = whole.parse().map_err(|_| invalid())?;
        let decimals: u16 = format!("{decimals:0<2}").parse().map_err(|_| invalid())?;
        let points = whole.checked_mul(100).and_then(|points| points.checked_add(decimals));
        points.filter(|points| *points <= 10_000).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl TryFrom<String> for Percent {
    type Error = InvalidQuantity;
    fn try_from(text: String) -> Result<Self, InvalidQuantity> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> String {
        percent.to_string()
    }
}

impl schemars::JsonSchema for Percent {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Percent".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A fraction as a percentage, 0% to 100%, with at most two decimals.",
            "type": "string",
            "pattern": "^(0?[0-9]{1,2}(\\.[0-9]{1,2})?|100(\\.00?)?)%$",
            "examples": ["2%", "0.5%", "100%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_and_percentages_are_written_with_a_unit() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("15m", 900), ("2h", 7_200), ("7d", 604_800)] {
            assert_eq!(text.parse::<Seconds>().map(Seconds::get), Ok(seconds));
        }
        for bad in ["", "s", "30", "-1s", "1.5h", "1 h", "1w", "9999999999s", "٣s"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
        for (text, points) in [("0%", 0), ("2%", 200), ("0.5%", 50), ("0.05%", 5), ("100%", 10_000)] {
            assert_eq!(text.parse::<Percent>().map(Percent::basis_points), Ok(points));
        }
        for bad in ["", "%", "2", "101%", "656%", "999%", "655.99%", "100.01%", "0.005%", "-1%", "1e2%"] {
            assert!(bad.parse::<Percent>().is_err(), "{bad}");
        }
    }

    #[test]
    fn fractions_round_and_compare_exactly() {
        assert_eq!(Percent::whole(5).ceil_of(10), 1);
        assert_eq!(Percent::whole(100).ceil_of(u64::MAX), u64::MAX);
        assert_eq!((Percent::whole(5).floor_of(19), Percent::whole(5).floor_of(20)), (0, 1));
        assert_eq!(Percent::whole(100).floor_of(u64::MAX), u64::MAX);
        assert_eq!((Percent::ZERO.floor_of(u64::MAX), Percent::whole(50).floor_of(0)), (0, 0));
        assert!(!Percent::whole(50).is_exceeded_by(1, 2));
        assert!(Percent::ZERO.is_exceeded_by(1, 1_000_000) && !Percent::ZERO.is_exceeded_by(0, 0));
    }

    proptest! {
        #[test]
        fn text_round_trips(seconds in any::<u32>(), points in 0..=10_000_u16) {
            prop_assert_eq!(Seconds(seconds).to_string().parse(), Ok(Seconds(seconds)));
            prop_assert_eq!(Percent(points).to_string().parse(), Ok(Percent(points)));
        }

        #[test]
        fn rounding_down_exceeds_nothing_and_rounding_up_falls_short_of_nothing(points in 0..=10_000_u16, total in any::<u64>()) {
            let (percent, part, whole) = (Percent(points), |n: u64| u128::from(n) * 10_000, u128::from(points) * u128::from(total));
            prop_assert!(part(percent.floor_of(total)) <= whole && whole < part(percent.floor_of(total)) + 10_000);
            prop_assert!(part(percent.ceil_of(total)) >= whole && whole + 10_000 > part(percent.ceil_of(total)));
        }
    }
}
