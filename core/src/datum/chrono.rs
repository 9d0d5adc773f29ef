//! The types of chrono.
//!
//! A [`DateTime<Utc>`] is a moment; the naive types are dates and times of the civil calendar. What lies outside of the
//! years -9999 to 9999, and leap seconds, can't be stored: writing one is an error, and as the operand of a query it
//! stands for the nearest value that can.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use jiff::{Timestamp, civil};

use super::Datum;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::{Value, ValueRef};

const BEYOND: ValueRef<'_> = ValueRef::Unfit("the years -9999 to 9999 without leap seconds");

fn moment(of: &DateTime<Utc>) -> Option<Timestamp> {
    Timestamp::new(of.timestamp(), i32::try_from(of.timestamp_subsec_nanos()).ok()?).ok()
}

fn date(of: NaiveDate) -> Option<civil::Date> {
    let [month, day] = [of.month(), of.day()].map(i8::try_from);
    civil::Date::new(i16::try_from(of.year()).ok()?, month.ok()?, day.ok()?).ok()
}

fn clock(of: NaiveTime) -> Option<civil::Time> {
    let [hour, minute, second] = [of.hour(), of.minute(), of.second()].map(i8::try_from);
    civil::Time::new(hour.ok()?, minute.ok()?, second.ok()?, i32::try_from(of.nanosecond()).ok()?).ok()
}

fn date_time(of: NaiveDateTime) -> Option<civil::DateTime> {
    Some(civil::DateTime::from_parts(date(of.date())?, clock(of.time())?))
}

fn to_date(of: civil::Date) -> Option<NaiveDate> {
    let [month, day] = [of.month(), of.day()].map(u32::try_from);
    NaiveDate::from_ymd_opt(of.year().into(), month.ok()?, day.ok()?)
}

fn to_clock(of: civil::Time) -> Option<NaiveTime> {
    let [hour, minute, second] = [of.hour(), of.minute(), of.second()].map(u32::try_from);
    let nanosecond = u32::try_from(of.subsec_nanosecond());
    NaiveTime::from_hms_nano_opt(hour.ok()?, minute.ok()?, second.ok()?, nanosecond.ok()?)
}

impl Datum for DateTime<Utc> {
    const KIND: Kind = Kind::Time;

    fn show(&self) -> ValueRef<'_> {
        moment(self).map_or(BEYOND, ValueRef::Time)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        const SECOND: i128 = 1_000_000_000;
        let nanoseconds = Timestamp::take(value)?.as_nanosecond();
        let second = i64::try_from(nanoseconds.div_euclid(SECOND));
        let below = u32::try_from(nanoseconds.rem_euclid(SECOND));
        match (second, below) {
            (Ok(second), Ok(below)) => Self::from_timestamp(second, below),
            _ => None,
        }
        .ok_or(Fault::Range { expected: "chrono::DateTime" })
    }

    fn operand(&self) -> Value {
        let nearest = if self.timestamp() < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let without_leap = || Timestamp::new(self.timestamp(), 999_999_999).ok();
        Value::Time(moment(self).or_else(without_leap).unwrap_or(nearest))
    }
}

impl Datum for NaiveDate {
    const KIND: Kind = Kind::Date;

    fn show(&self) -> ValueRef<'_> {
        date(*self).map_or(BEYOND, ValueRef::Date)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        to_date(civil::Date::take(value)?).ok_or(Fault::Range { expected: "chrono::NaiveDate" })
    }

    fn operand(&self) -> Value {
        Value::Date(date(*self).unwrap_or(if self.year() < 0 { civil::Date::MIN } else { civil::Date::MAX }))
    }
}

impl Datum for NaiveTime {
    const KIND: Kind = Kind::Clock;

    fn show(&self) -> ValueRef<'_> {
        clock(*self).map_or(BEYOND, ValueRef::Clock)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        to_clock(civil::Time::take(value)?).ok_or(Fault::Range { expected: "chrono::NaiveTime" })
    }

    fn operand(&self) -> Value {
        let without_leap = || self.with_nanosecond(999_999_999).and_then(clock);
        Value::Clock(clock(*self).or_else(without_leap).unwrap_or(civil::Time::MAX))
    }
}

impl Datum for NaiveDateTime {
    const KIND: Kind = Kind::DateTime;

    fn show(&self) -> ValueRef<'_> {
        date_time(*self).map_or(BEYOND, ValueRef::DateTime)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let taken = civil::DateTime::take(value)?;
        let (date, time) = (to_date(taken.date()), to_clock(taken.time()));
        let both = date.zip(time).map(|(date, time)| Self::new(date, time));
        both.ok_or(Fault::Range { expected: "chrono::NaiveDateTime" })
    }

    fn operand(&self) -> Value {
        let nearest = if self.year() < 0 { civil::DateTime::MIN } else { civil::DateTime::MAX };
        let without_leap = || self.with_nanosecond(999_999_999).and_then(date_time);
        Value::DateTime(date_time(*self).or_else(without_leap).unwrap_or(nearest))
    }
}
