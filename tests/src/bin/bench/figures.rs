//! Rates, ratios and percentiles of measured times: the only place with floats, and only to be printed.

#![allow(clippy::float_arithmetic, reason = "figures are printed, and nothing is decided by them")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded figures are small and positive")]

use std::time::Duration;

/// Things a second.
pub(crate) fn per_second(count: usize, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64()).round() as u64
}

/// How much of the limit was reached: the time of the limit by the time that it took, with three digits.
pub(crate) fn ratio(limit: Duration, took: Duration) -> f64 {
    (limit.as_secs_f64() / took.as_secs_f64() * 1e3).round() / 1e3
}

/// How many times faster, with one digit.
pub(crate) fn rate_ratio(rate: u64, other: u64) -> f64 {
    (rate as f64 / other as f64 * 10.0).round() / 10.0
}

/// Milliseconds, with two digits.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

/// Seconds, with three digits.
pub(crate) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// Microseconds, with two digits.
pub(crate) fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 1e2
}

/// How time grows with size: the exponent that leads from one time to the other. 1 is in proportion, 0 is not at all.
pub(crate) fn slope(sizes: (usize, usize), times: (Duration, Duration)) -> f64 {
    let grown = (times.1.as_secs_f64() / times.0.as_secs_f64()).ln();
    (grown / (sizes.1 as f64 / sizes.0 as f64).ln() * 1e2).round() / 1e2
}

/// MiB, with two digits.
pub(crate) fn mib(kib: u64) -> f64 {
    (kib as f64 / 1024.0 * 1e2).round() / 1e2
}

/// Megabytes (10⁶), with two digits.
pub(crate) fn megabytes(bytes: u64) -> f64 {
    (bytes as f64 / 1e4).round() / 1e2
}

/// The smallest time that at least `percent` of the times do not exceed; times are sorted in place.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}
