//! The types of the crate `time`.
//!
//! An [`OffsetDateTime`] is a moment: it comes back in UTC, and equal to what it was. With the feature `large-dates` of
//! `time`, what lies outside of the years -9999 to 9999 can't be stored: writing one is an error.

use jiff::{Timestamp, civil};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcDateTime};

use super::Datum;
use crate::error::Fault;
use crate::kind::Kind;
use crate::value::{Value, ValueRef};

const BEYOND: ValueRef<'_> = ValueRef::Unfit("the years -9999 to 9999");

fn nearest(nanoseconds: i128) -> Timestamp {
    let within = nanoseconds.clamp(Timestamp::MIN.as_nanosecond(), Timestamp::MAX.as_nanosecond());
    Timestamp::from_nanosecond(within).unwrap_or(Timestamp::MAX)
}

fn date(of: Date) -> Option<civil::Date> {
    let [month, day] = [u8::from(of.month()), of.day()].map(i8::try_from);
    civil::Date::new(i16::try_from(of.year()).ok()?, month.ok()?, day.ok()?).ok()
}

fn clock(of: Time) -> Option<civil::Time> {
    let [hour, minute, second] = [of.hour(), of.minute(), of.second()].map(i8::try_from);
    civil::Time::new(hour.ok()?, minute.ok()?, second.ok()?, i32::try_from(of.nanosecond()).ok()?).ok()
}

fn date_time(of: PrimitiveDateTime) -> Option<civil::DateTime> {
    Some(civil::DateTime::from_parts(date(of.date())?, clock(of.time())?))
}

fn to_date(of: civil::Date) -> Option<Date> {
    let [month, day] = [of.month(), of.day()].map(u8::try_from);
    Date::from_calendar_date(of.year().into(), Month::try_from(month.ok()?).ok()?, day.ok()?).ok()
}

fn to_clock(of: civil::Time) -> Option<Time> {
    let [hour, minute, second] = [of.hour(), of.minute(), of.second()].map(u8::try_from);
    let nanosecond = u32::try_from(of.subsec_nanosecond());
    Time::from_hms_nano(hour.ok()?, minute.ok()?, second.ok()?, nanosecond.ok()?).ok()
}

macro_rules! moments {
    ($($of:ident),*) => {$(
        impl Datum for $of {
            const KIND: Kind = Kind::Time;

            fn show(&self) -> ValueRef<'_> {
                Timestamp::from_nanosecond(self.unix_timestamp_nanos()).map_or(BEYOND, ValueRef::Time)
            }

            fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
                Self::from_unix_timestamp_nanos(Timestamp::take(value)?.as_nanosecond())
                    .map_err(|_| Fault::Range { expected: concat!("time::", stringify!($of)) })
            }

            fn operand(&self) -> Value {
                Value::Time(nearest(self.unix_timestamp_nanos()))
            }
        }
    )*};
}

moments!(OffsetDateTime, UtcDateTime);

impl Datum for Date {
    const KIND: Kind = Kind::Date;

    fn show(&self) -> ValueRef<'_> {
        date(*self).map_or(BEYOND, ValueRef::Date)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        to_date(civil::Date::take(value)?).ok_or(Fault::Range { expected: "time::Date" })
    }

    fn operand(&self) -> Value {
        Value::Date(date(*self).unwrap_or(if self.year() < 0 { civil::Date::MIN } else { civil::Date::MAX }))
    }
}

impl Datum for Time {
    const KIND: Kind = Kind::Clock;

    fn show(&self) -> ValueRef<'_> {
        clock(*self).map_or(BEYOND, ValueRef::Clock)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        to_clock(civil::Time::take(value)?).ok_or(Fault::Range { expected: "time::Time" })
    }
}

impl Datum for PrimitiveDateTime {
    const KIND: Kind = Kind::DateTime;

    fn show(&self) -> ValueRef<'_> {
        date_time(*self).map_or(BEYOND, ValueRef::DateTime)
    }

    fn take(value: ValueRef<'_>) -> Result<Self, Fault> {
        let taken = civil::DateTime::take(value)?;
        let (date, time) = (to_date(taken.date()), to_clock(taken.time()));
        let both = date.zip(time).map(|(date, time)| Self::new(date, time));
        both.ok_or(Fault::Range { expected: "time::PrimitiveDateTime" })
    }

    fn operand(&self) -> Value {
        let nearest = if self.year() < 0 { civil::DateTime::MIN } else { civil::DateTime::MAX };
        Value::DateTime(date_time(*self).unwrap_or(nearest))
    }
}
