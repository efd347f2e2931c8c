//! Dates and times, in the binary and the text form (MySQL protocol, "Binary Protocol Value").

use crate::{
    error::{Error, Result},
    wire::Reader,
};

/// A moment in no particular time zone; `0000-00-00` occurs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub struct DateTime {
    pub year: u16,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    pub microsecond: u32,
}

/// A span of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Clock {
    pub negative: bool,
    pub days: u32,
    pub hours: u8,
    pub minutes: u8,
    pub seconds: u8,
    pub microseconds: u32,
}

impl DateTime {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let length = reader.u8()?;
        let mut moment = Self::default();
        if !matches!(length, 0 | 4 | 7 | 11) {
            return Err(Error::protocol(format!("a date of {length} bytes")));
        }
        if length >= 4 {
            moment.year = reader.u16()?;
            [moment.month, moment.day] = reader.array()?;
        }
        if length >= 7 {
            [moment.hour, moment.minute, moment.second] = reader.array()?;
        }
        if length == 11 {
            moment.microsecond = reader.u32()?;
        }
        Ok(moment)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(11);
        out.extend_from_slice(&self.year.to_le_bytes());
        out.extend_from_slice(&[self.month, self.day, self.hour, self.minute, self.second]);
        out.extend_from_slice(&self.microsecond.to_le_bytes());
    }

    /// Reads `YYYY-MM-DD[ HH:MM:SS[.ffffff]]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(' ').unwrap_or((text, "0:0:0"));
        let [year, month, day] = three(date, '-')?;
        let (time, microsecond) = fraction(time)?;
        let [hour, minute, second] = three(time, ':')?;
        Some(Self {
            year: year.parse().ok()?,
            month: month.parse().ok()?,
            day: day.parse().ok()?,
            hour: hour.parse().ok()?,
            minute: minute.parse().ok()?,
            second: second.parse().ok()?,
            microsecond,
        })
    }
}

impl Clock {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let length = reader.u8()?;
        let mut span = Self::default();
        if !matches!(length, 0 | 8 | 12) {
            return Err(Error::protocol(format!("a time of {length} bytes")));
        }
        if length >= 8 {
            span.negative = reader.u8()? != 0;
            span.days = reader.u32()?;
            [span.hours, span.minutes, span.seconds] = reader.array()?;
        }
        if length == 12 {
            span.microseconds = reader.u32()?;
        }
        Ok(span)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[12, self.negative.into()]);
        out.extend_from_slice(&self.days.to_le_bytes());
        out.extend_from_slice(&[self.hours, self.minutes, self.seconds]);
        out.extend_from_slice(&self.microseconds.to_le_bytes());
    }

    /// Reads `[-]HHH:MM:SS[.ffffff]`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = text
            .strip_prefix('-')
            .map_or((false, text), |text| (true, text));
        let (time, microseconds) = fraction(text)?;
        let [hours, minutes, seconds] = three(time, ':')?;
        let hours: u32 = hours.parse().ok()?;
        Some(Self {
            negative,
            days: hours / 24,
            hours: u8::try_from(hours % 24).ok()?,
            minutes: minutes.parse().ok()?,
            seconds: seconds.parse().ok()?,
            microseconds,
        })
    }
}

fn three(text: &str, separator: char) -> Option<[&str; 3]> {
    let mut parts = text.split(separator);
    let three = [parts.next()?, parts.next()?, parts.next()?];
    parts.next().is_none().then_some(three)
}

/// A text without its decimals, and those in millionths.
fn fraction(text: &str) -> Option<(&str, u32)> {
    let Some((whole, decimals)) = text.split_once('.') else {
        return Some((text, 0));
    };
    if decimals.is_empty() || decimals.len() > 6 || !decimals.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((whole, format!("{decimals:0<6}").parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moments() -> impl Strategy<Value = DateTime> {
        (
            0..9999_u16,
            0..13_u8,
            0..32_u8,
            0..24_u8,
            0..60_u8,
            0..60_u8,
            0..1_000_000_u32,
        )
            .prop_map(
                |(year, month, day, hour, minute, second, microsecond)| DateTime {
                    year,
                    month,
                    day,
                    hour,
                    minute,
                    second,
                    microsecond,
                },
            )
    }

    fn spans() -> impl Strategy<Value = Clock> {
        (
            any::<bool>(),
            0..34_u32,
            0..24_u8,
            0..60_u8,
            0..60_u8,
            0..1_000_000_u32,
        )
            .prop_map(
                |(negative, days, hours, minutes, seconds, microseconds)| Clock {
                    negative,
                    days,
                    hours,
                    minutes,
                    seconds,
                    microseconds,
                },
            )
    }

    proptest! {
        #[test]
        fn dates_round_trip(moment in moments()) {
            let mut out = Vec::new();
            moment.write(&mut out);
            prop_assert_eq!(DateTime::read(&mut Reader::new(&out)).unwrap(), moment);
            let DateTime { year, month, day, hour, minute, second, microsecond } = moment;
            let text = format!(
                "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{microsecond:06}"
            );
            prop_assert_eq!(DateTime::parse(&text), Some(moment));
        }

        #[test]
        fn spans_round_trip(span in spans()) {
            let mut out = Vec::new();
            span.write(&mut out);
            prop_assert_eq!(Clock::read(&mut Reader::new(&out)).unwrap(), span);
            let sign = if span.negative { "-" } else { "" };
            let hours = span.days * 24 + u32::from(span.hours);
            let Clock { minutes, seconds, microseconds, .. } = span;
            let text = format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{microseconds:06}");
            prop_assert_eq!(Clock::parse(&text), Some(span));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = (DateTime::parse(&text), Clock::parse(&text));
        }
    }

    #[test]
    fn short_forms_leave_zeros() {
        let read = |bytes: &[u8]| DateTime::read(&mut Reader::new(bytes)).unwrap();
        assert_eq!(read(&[0]), DateTime::default());
        let day = DateTime {
            year: 2026,
            month: 11,
            day: 21,
            ..DateTime::default()
        };
        assert_eq!(read(&[4, 0xea, 0x07, 11, 21]), day);
        assert_eq!(DateTime::parse("2026-11-21"), Some(day));
        assert_eq!(Clock::parse("01:02:03.5").unwrap().microseconds, 500_000);
        assert!(DateTime::read(&mut Reader::new(&[5, 0, 0, 0, 0, 0])).is_err());
    }
}
