//! The four ways the protocol writes a point in time, and civil dates.
//!
//! Owns conversion between Unix seconds and text. It never asks what time it is: a clock is always an argument.
//!
//! | form | example | where |
//! |---|---|---|
//! | HTTP date | `Thu, 15 Jan 2026 08:30:45 GMT` | `Date`, `Last-Modified`, V1 signatures |
//! | compact | `20260115T083045Z` | V4 signatures |
//! | XML | `2026-01-15T08:30:45.000Z` | every time in a body; the fraction is always literally `.000` |
//! | seconds | `2026-01-15T08:30:45Z` | STS and RAM answers |
//!
//! Invariant: for every second of the years 0 to 9999, parsing what was formatted gives the second back. Seconds outside that
//! range are clamped to its ends when formatted, since no form has room for a fifth digit.

use std::ops::RangeInclusive;

/// The seconds that have a four-digit year: 0000-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
pub const FORMATTABLE: RangeInclusive<i64> = -62_167_219_200..=253_402_300_799;

const SECONDS_A_DAY: i64 = 86_400;
const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A UTC date and time of day, each field in its usual range (`month` and `day` from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Proleptic Gregorian year, 0 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59; leap seconds do not exist in Unix time.
    pub second: u32,
}

impl Civil {
    /// The UTC calendar reading of a Unix time in seconds, clamped to [`FORMATTABLE`].
    pub fn from_unix(unix_seconds: i64) -> Civil {
        let clamped = unix_seconds.clamp(*FORMATTABLE.start(), *FORMATTABLE.end());
        let (year, month, day) = date_of_day(clamped.div_euclid(SECONDS_A_DAY));
        let second_of_day = clamped.rem_euclid(SECONDS_A_DAY) as u32;
        Civil {
            year,
            month,
            day,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }

    /// Unix seconds, or `None` if a field is out of its range or the day does not exist (30 February).
    pub fn to_unix(self) -> Option<i64> {
        let valid = (0..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days_in_month(self.year, self.month)).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        valid.then(|| {
            day_of_date(self.year, self.month, self.day) * SECONDS_A_DAY
                + i64::from(self.hour * 3600 + self.minute * 60 + self.second)
        })
    }
}

/// Days since 1970-01-01 to (year, month, day), by counting years from March so that the leap day comes last.
fn date_of_day(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * march_month + 2) / 5 + 1) as u32;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// The reverse of [`date_of_day`].
fn day_of_date(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = i64::from((153 * march_month + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `Thu, 15 Jan 2026 08:30:45 GMT`.
pub fn http_date(unix_seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(unix_seconds);
    // 1970-01-01 was a Thursday.
    let weekday = (day_of_date(year, month, day) + 4).rem_euclid(7);
    let weekday = WEEKDAYS[weekday as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `20260115T083045Z`.
pub fn compact(unix_seconds: i64) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(unix_seconds);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// `20260115`, the UTC day as V4 scopes write it.
pub fn compact_day(unix_seconds: i64) -> String {
    let Civil { year, month, day, .. } = Civil::from_unix(unix_seconds);
    format!("{year:04}{month:02}{day:02}")
}

/// `2026-01-15T08:30:45.000Z`, as XML bodies carry it.
pub fn xml(unix_seconds: i64) -> String {
    with_dashes(unix_seconds, ".000Z")
}

/// `2026-01-15T08:30:45Z`, as STS and RAM answers carry it.
pub fn iso_seconds(unix_seconds: i64) -> String {
    with_dashes(unix_seconds, "Z")
}

fn with_dashes(unix_seconds: i64, end: &str) -> String {
    let Civil { year, month, day, hour, minute, second } = Civil::from_unix(unix_seconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{end}")
}

/// Parses `Thu, 15 Jan 2026 08:30:45 GMT`. The weekday must be one of the seven but need not be the right one, since no
/// client and no signature depends on it; any other deviation gives `None`.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let mut cursor = Cursor(text.as_bytes());
    let weekday = cursor.take(3)?;
    if !WEEKDAYS.iter().any(|known| known.as_bytes() == weekday) {
        return None;
    }
    cursor.literal(b", ")?;
    let day = cursor.number(2)?;
    cursor.literal(b" ")?;
    let month_name = cursor.take(3)?;
    let month = MONTHS.iter().position(|known| known.as_bytes() == month_name)? as u32 + 1;
    cursor.literal(b" ")?;
    let year = i64::from(cursor.number(4)?);
    cursor.literal(b" ")?;
    let hour = cursor.number(2)?;
    cursor.literal(b":")?;
    let minute = cursor.number(2)?;
    cursor.literal(b":")?;
    let second = cursor.number(2)?;
    cursor.literal(b" GMT")?;
    cursor.end()?;
    Civil { year, month, day, hour, minute, second }.to_unix()
}

/// Parses `20260115T083045Z`.
pub fn parse_compact(text: &str) -> Option<i64> {
    let mut cursor = Cursor(text.as_bytes());
    let (year, month, day) = (i64::from(cursor.number(4)?), cursor.number(2)?, cursor.number(2)?);
    cursor.literal(b"T")?;
    let (hour, minute, second) = (cursor.number(2)?, cursor.number(2)?, cursor.number(2)?);
    cursor.literal(b"Z")?;
    cursor.end()?;
    Civil { year, month, day, hour, minute, second }.to_unix()
}

/// Parses the ISO 8601 that policies, lifecycle rules and RPC time stamps carry: `YYYY-MM-DD`, optionally followed by `T` (or
/// a space) and `hh:mm[:ss[.fraction]]`, optionally by `Z` or `±hh:mm`. Without a zone UTC is meant. The fraction is dropped.
pub fn parse_iso8601(text: &str) -> Option<i64> {
    let mut cursor = Cursor(text.trim_ascii().as_bytes());
    let year = i64::from(cursor.number(4)?);
    cursor.literal(b"-")?;
    let month = cursor.number(2)?;
    cursor.literal(b"-")?;
    let day = cursor.number(2)?;
    let mut civil = Civil { year, month, day, hour: 0, minute: 0, second: 0 };
    if cursor.0.is_empty() {
        return civil.to_unix();
    }
    match cursor.take(1)? {
        b"T" | b"t" | b" " => {}
        _ => return None,
    }
    civil.hour = cursor.number(2)?;
    cursor.literal(b":")?;
    civil.minute = cursor.number(2)?;
    if cursor.literal(b":").is_some() {
        civil.second = cursor.number(2)?;
        if cursor.literal(b".").is_some() {
            cursor.digits()?;
        }
    }
    let offset = cursor.zone()?;
    cursor.end()?;
    Some(civil.to_unix()? - offset)
}

/// Whether a time that [`parse_iso8601`] reads has a fraction of a second that is not zero.
pub fn has_fraction(text: &str) -> bool {
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    fraction.bytes().take_while(u8::is_ascii_digit).any(|digit| digit != b'0')
}

/// Reads fixed-width pieces from the front; every step gives `None` instead of running past the end.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(piece)
    }

    fn literal(&mut self, expected: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(expected)?;
        Some(())
    }

    /// Exactly `width` (at most 4) decimal digits.
    fn number(&mut self, width: usize) -> Option<u32> {
        self.take(width)?.iter().try_fold(0, |value, digit| {
            digit.is_ascii_digit().then(|| value * 10 + u32::from(digit - b'0'))
        })
    }

    /// One or more digits, dropped.
    fn digits(&mut self) -> Option<()> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.take(count)?;
        (count > 0).then_some(())
    }

    /// Seconds east of UTC: nothing, `Z`, `+hh:mm`, `+hhmm`, and the same with `-`.
    fn zone(&mut self) -> Option<i64> {
        if self.0.is_empty() {
            return Some(0);
        }
        let sign = match self.take(1)? {
            b"Z" | b"z" => return Some(0),
            b"+" => 1,
            b"-" => -1,
            _ => return None,
        };
        let hours = self.number(2)?;
        let _colon = self.literal(b":");
        let minutes = self.number(2)?;
        (hours < 24 && minutes < 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VECTOR_CLOCK: i64 = 1_768_465_845;

    #[test]
    fn one_second_is_written_in_all_forms() {
        assert_eq!(http_date(VECTOR_CLOCK), "Thu, 15 Jan 2026 08:30:45 GMT");
        assert_eq!(compact(VECTOR_CLOCK), "20260115T083045Z");
        assert_eq!(compact_day(VECTOR_CLOCK), "20260115");
        assert_eq!(xml(VECTOR_CLOCK), "2026-01-15T08:30:45.000Z");
        assert_eq!(iso_seconds(VECTOR_CLOCK), "2026-01-15T08:30:45Z");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
        assert_eq!(http_date(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
    }

    #[test]
    fn times_beyond_four_digit_years_are_clamped() {
        assert_eq!(xml(i64::MAX), "9999-12-31T23:59:59.000Z");
        assert_eq!(xml(i64::MIN), "0000-01-01T00:00:00.000Z");
    }

    #[test]
    fn iso_8601_is_read_leniently() {
        for text in [
            "2026-01-15T08:30:45.000Z",
            "2026-01-15T08:30:45Z",
            "2026-01-15T08:30:45.123456789Z",
            "2026-01-15T08:30:45",
            "2026-01-15 08:30:45",
            " 2026-01-15t08:30:45z ",
            "2026-01-15T16:30:45+08:00",
            "2026-01-15T16:30:45.5+0800",
            "2026-01-15T00:00:45-08:30",
        ] {
            assert_eq!(parse_iso8601(text), Some(VECTOR_CLOCK), "{text}");
        }
        assert_eq!(parse_iso8601("2026-01-15"), Some(VECTOR_CLOCK - 30_645));
        assert_eq!(parse_iso8601("2026-01-15T08:30Z"), Some(VECTOR_CLOCK - 45));
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in
            ["", "2026", "2026-1-15", "2026-02-30", "2026-01-15T24:00:00Z", "2026-01-15T08:30:45.Z"]
        {
            assert_eq!(parse_iso8601(text), None, "{text}");
        }
        for text in
            ["2026-01-15T08:30:45+25:00", "2026-01-15T08:30:45Zx", "2026-13-01", "2026-01-15T"]
        {
            assert_eq!(parse_iso8601(text), None, "{text}");
        }
        for text in ["20260115T083045", "20260115 083045Z", "20260115T083060Z", "20260115T083045Z "]
        {
            assert_eq!(parse_compact(text), None, "{text}");
        }
        for text in [
            "",
            "Thu, 15 Jan 2026 08:30:45",
            "Thu, 15 Jan 2026 08:30:45 UTC",
            "Thu, 5 Jan 2026 08:30:45 GMT",
            "thu, 15 Jan 2026 08:30:45 GMT",
            "Thu, 31 Apr 2026 08:30:45 GMT",
            "Thu, 15 Jan 2026 08:30:45 GMT ",
        ] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn consecutive_days_follow_each_other_through_leap_years() {
        let mut previous = Civil::from_unix(-62_167_219_200);
        for day in (day_of_date(0, 1, 1) + 1)..day_of_date(2401, 1, 1) {
            let next = Civil::from_unix(day * SECONDS_A_DAY);
            let expected = if previous.day < days_in_month(previous.year, previous.month) {
                (previous.year, previous.month, previous.day + 1)
            } else if previous.month < 12 {
                (previous.year, previous.month + 1, 1)
            } else {
                (previous.year + 1, 1, 1)
            };
            assert_eq!((next.year, next.month, next.day), expected);
            previous = next;
        }
    }

    proptest! {
        #[test]
        fn every_second_survives_every_form(second in FORMATTABLE) {
            prop_assert_eq!(Civil::from_unix(second).to_unix(), Some(second));
            prop_assert_eq!(parse_http_date(&http_date(second)), Some(second));
            prop_assert_eq!(parse_compact(&compact(second)), Some(second));
            prop_assert_eq!(parse_iso8601(&xml(second)), Some(second));
            prop_assert_eq!(parse_iso8601(&iso_seconds(second)), Some(second));
        }

        #[test]
        fn garbage_is_refused_without_a_panic(text: String) {
            let _ = (parse_http_date(&text), parse_compact(&text), parse_iso8601(&text));
        }
    }
}
