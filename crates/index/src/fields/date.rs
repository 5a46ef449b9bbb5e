//! Dates as ISO 8601 writes them, in microseconds since 1970 (UTC).

use std::fmt::Write;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// A day or a moment, as exact as it was written: `2020` is a year, `2020-05-17T10` no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The first microsecond.
    pub(crate) start: i64,
    /// The last microsecond.
    pub(crate) last: i64,
}

impl Moment {
    /// A whole date: a day, or a moment on it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let (year, month, day) = (digits(&mut rest, 4)?, after('-', &mut rest)?, after('-', &mut rest)?);
        let day = days(year, month, day)?.checked_mul(DAY)?;
        if rest.is_empty() {
            return Some(Self { start: day, last: day + DAY - 1 });
        }
        rest = rest.strip_prefix(['T', 't', ' '])?;
        let (hour, minute) = (digits(&mut rest, 2)?, after(':', &mut rest)?);
        let (mut second, mut fraction, mut exact) = (0, 0, 60 * SECOND);
        if rest.starts_with(':') {
            second = after(':', &mut rest)?;
            exact = SECOND;
            if let Some(behind) = rest.strip_prefix(['.', ',']) {
                let count = behind.bytes().take_while(u8::is_ascii_digit).count();
                let (written, behind) = behind.split_at(count);
                let micros: String = written.chars().chain("000000".chars()).take(6).collect();
                fraction = micros.parse().ok().filter(|_| count > 0)?;
                exact = 1;
                rest = behind;
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let start = day + ((hour * 60 + minute) * 60 + second - zone_seconds(rest)?) * SECOND + fraction;
        Some(Self { start, last: start + exact - 1 })
    }

    /// As [`parse`](Self::parse), or a year, or a month.
    pub(crate) fn parse_wide(text: &str) -> Option<Self> {
        let mut rest = text;
        let year = digits(&mut rest, 4)?;
        let (first, after_last) = if rest.is_empty() {
            ((year, 1), (year + 1, 1))
        } else {
            let Some(month) = after('-', &mut rest).filter(|_| rest.is_empty()) else { return Self::parse(text) };
            ((year, month), if month == 12 { (year + 1, 1) } else { (year, month + 1) })
        };
        Some(Self { start: days(first.0, first.1, 1)? * DAY, last: days(after_last.0, after_last.1, 1)? * DAY - 1 })
    }
}

/// A moment as it is shown: the day alone when it is the first moment of it.
pub(crate) fn written(micros: i64) -> String {
    let (day, of_day) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, date) = civil(day);
    let mut text = format!("{year:04}-{month:02}-{date:02}");
    if of_day > 0 {
        let (seconds, fraction) = (of_day / SECOND, of_day % SECOND);
        // Writing to a string cannot fail.
        let _ = write!(text, "T{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        if fraction > 0 {
            let _ = write!(text, ".{fraction:06}");
        }
        text.push('Z');
    }
    text
}

/// Takes exactly so many digits.
fn digits(rest: &mut &str, count: usize) -> Option<i64> {
    let taken = rest.get(..count).filter(|taken| taken.bytes().all(|byte| byte.is_ascii_digit()))?;
    *rest = &rest[count..];
    taken.parse().ok()
}

/// Takes a sign and two digits.
fn after(sign: char, rest: &mut &str) -> Option<i64> {
    *rest = rest.strip_prefix(sign)?;
    digits(rest, 2)
}

/// Seconds that a zone is ahead of UTC; none of the text may be left.
fn zone_seconds(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, mut rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let hours = digits(&mut rest, 2)?;
    let minutes = match rest.strip_prefix(':').unwrap_or(rest) {
        "" => 0,
        mut minutes => digits(&mut minutes, 2).filter(|_| minutes.is_empty())?,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60)
}

/// Days since 1970-01-01 of a date that the calendar has (Gregorian, Howard Hinnant's `days_from_civil`).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468)
}

/// The date of a day: the inverse of [`days`].
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, date)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_by_hand() {
        let start = |text: &str| Moment::parse(text).map(|moment| moment.start);
        assert_eq!(start("1970-01-01"), Some(0));
        assert_eq!(start("2000-03-01"), Some(951_868_800 * SECOND));
        assert_eq!(start("2020-02-29T12:00:00Z"), Some(1_582_977_600 * SECOND));
        assert_eq!(start("2020-02-29 21:00+09:00"), start("2020-02-29T12:00:00Z"));
        assert_eq!(start("1969-12-31T23:59:59.5"), Some(-SECOND / 2));
        for wrong in [
            "2021-02-29",
            "2020-13-01",
            "2020-5-1",
            "2020",
            "2020-05",
            "20200501",
            "2020-05-01T",
            "",
            "x",
            "2020-05-01T24:00",
            "2020-05-01T10:00:00.",
            "2020-05-01T10:00+9",
            "2020-05-01T10:00Zz",
            "２０２０-01-01",
        ] {
            assert_eq!(start(wrong), None, "{wrong}");
        }
        let wide =
            |text: &str| Moment::parse_wide(text).map(|moment| (written(moment.start), written(moment.last + 1)));
        let pair = |start: &str, end: &str| Some((start.to_owned(), end.to_owned()));
        assert_eq!(wide("2020"), pair("2020-01-01", "2021-01-01"));
        assert_eq!(wide("2020-12"), pair("2020-12-01", "2021-01-01"));
        assert_eq!(wide("2020-12-05"), pair("2020-12-05", "2020-12-06"));
        assert_eq!(wide("2020-12-05T10:00"), pair("2020-12-05T10:00:00Z", "2020-12-05T10:01:00Z"));
        assert_eq!(wide("2020-13"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
            prop_assert_eq!(Moment::parse(&written(micros)).map(|moment| moment.start), Some(micros));
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,30}|[0-9TZ:+. -]{0,30}") {
            let _ = (Moment::parse(&text), Moment::parse_wide(&text));
        }
    }
}
