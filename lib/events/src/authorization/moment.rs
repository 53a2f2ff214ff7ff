//! Points in time as rules documents write them (xs:dateTime), and as the database gives them.

const US_PER_S: i64 = 1_000_000;

/// A point in time: microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

impl Moment {
    /// The moment so many microseconds after the Unix epoch.
    pub fn from_epoch_us(microseconds: i64) -> Self {
        Self(microseconds)
    }

    /// Seconds since the Unix epoch, rounded up: whoever looks then does not look too early.
    pub fn epoch_s_rounded_up(self) -> i64 {
        self.0.div_euclid(US_PER_S) + i64::from(self.0.rem_euclid(US_PER_S) != 0)
    }

    /// Reads an xs:dateTime.
    ///
    /// RFC 4745 section 7.4 leaves the choice of the zone to the author of the rules. A time without a zone means one thing here
    /// and another there, so it is not read. What lies too far away for microseconds becomes the first or last moment.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches([' ', '\t', '\r', '\n']);
        let (date, time) = text.split_once('T')?;
        let (time, offset_min) = split_zone(time)?;
        let days = read_date(date)?;
        let (seconds, microseconds) = read_time(time)?;
        let total = i128::from(days) * 86_400 + i128::from(seconds) - i128::from(offset_min) * 60;
        let total = total * i128::from(US_PER_S) + i128::from(microseconds);
        Some(Self(i64::try_from(total).unwrap_or(if total < 0 {
            i64::MIN
        } else {
            i64::MAX
        })))
    }
}

/// `Z`, `+hh:mm` or `-hh:mm`: the text before it, and its minutes.
fn split_zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (time, zone) = time.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let total = hours * 60 + minutes;
    // XML Schema part 2 section 3.2.7.3: the offset is at most 14 hours.
    if minutes > 59 || total > 14 * 60 {
        return None;
    }
    Some((time, if zone.starts_with('-') { -total } else { total }))
}

/// Days since the epoch of `yyyy-mm-dd`; the year may have more digits, and a sign.
fn read_date(date: &str) -> Option<i64> {
    let (is_negative, date) = match date.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, date),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() < 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Six digits are further away than 64 bits of microseconds reach.
    let year: i64 = if year.len() > 6 {
        999_999
    } else {
        year.parse().ok()?
    };
    let year = if is_negative { -year } else { year };
    let (month, day) = (two_digits(month)?, two_digits(day)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Seconds of the day and microseconds of `hh:mm:ss[.fraction]`. 24:00:00 is the next midnight.
fn read_time(time: &str) -> Option<(i64, i64)> {
    let mut parts = time.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (seconds, fraction) = match seconds.split_once('.') {
        Some((seconds, fraction)) => (seconds, Some(fraction)),
        None => (seconds, None),
    };
    let microseconds = match fraction {
        None => 0,
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        Some(digits) => format!("{digits:0<6}")[..6].parse().ok()?,
    };
    let (hours, minutes, seconds) = (
        two_digits(hours)?,
        two_digits(minutes)?,
        two_digits(seconds)?,
    );
    let is_midnight = hours == 24 && minutes == 0 && seconds == 0 && microseconds == 0;
    if (hours > 23 && !is_midnight) || minutes > 59 || seconds > 59 {
        return None;
    }
    Some((hours * 3600 + minutes * 60 + seconds, microseconds))
}

fn two_digits(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: whole cycles of 400 years, then years that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let cycle = year.div_euclid(400);
    let year_of_cycle = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_cycle = year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year;
    cycle * 146_097 + day_of_cycle - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_with_zones_and_fractions() {
        for (text, expected_us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T19:00:00-05:00", 0),
            ("1970-01-01T00:00:00.5Z", 500_000),
            ("1970-01-01T00:00:00.0000019Z", 1),
            ("1969-12-31T23:59:59.999999Z", -1),
            ("1969-12-31T24:00:00Z", 0),
            ("1970-01-01T14:00:00+14:00", 0),
            ("2000-02-29T12:00:00Z", 951_825_600 * US_PER_S),
            ("2003-12-24T17:00:00+01:00", 1_072_281_600 * US_PER_S),
            (" 2003-08-15T10:20:00.000-05:00\n", 1_060_960_800 * US_PER_S),
            ("2038-01-19T03:14:08Z", 2_147_483_648 * US_PER_S),
            ("1600-03-01T00:00:00Z", -11_670_912_000 * US_PER_S),
            ("99999999999-01-01T00:00:00Z", i64::MAX),
            ("-99999999999-01-01T00:00:00Z", i64::MIN),
        ] {
            assert_eq!(
                Moment::parse(text).map(|moment| moment.0),
                Some(expected_us),
                "{text}"
            );
        }
    }

    #[test]
    fn does_not_read_what_is_no_moment() {
        for text in [
            "",
            "now",
            "2003-12-24",
            "2003-12-24T17:00:00",
            "2003-12-24 17:00:00Z",
            "2003-12-24T17:00Z",
            "2003-12-24T17:00:00.Z",
            "2003-12-24T17:00:00,5Z",
            "2003-12-24T17:00:60Z",
            "2003-12-24T24:00:01Z",
            "2003-12-24T25:00:00Z",
            "2003-13-01T00:00:00Z",
            "2003-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2003-00-10T00:00:00Z",
            "2003-12-24T17:00:00+15:00",
            "2003-12-24T17:00:00+1:00",
            "2003-12-24T17:00:00+01:60",
            "03-12-24T17:00:00Z",
            "2003-12-24T17:00:00z",
            "2003-12-2\u{664}T17:00:00Z",
            "+2003-12-24T17:00:00Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_are_rounded_up() {
        for (us, seconds) in [(0, 0), (1, 1), (US_PER_S, 1), (-1, 0), (-US_PER_S, -1)] {
            assert_eq!(Moment::from_epoch_us(us).epoch_s_rounded_up(), seconds);
        }
    }
}
