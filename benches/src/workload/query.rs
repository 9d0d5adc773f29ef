//! All rows with one value of an indexed field.

use std::hint::black_box;
use std::time::Duration;

use tempfile::TempDir;

use super::{Plan, Setup, Side, Workload, file};
use crate::Result;
use crate::medium::Written;
use crate::model::{CITIES, User, city, shuffled};
use crate::paired::{Rounds, timed};
use crate::raw::Tables;
use crate::report::{Line, Target};
use crate::subject::{Config, Subject};

struct Indexed {
    subject: Subject,
    raw: Tables,
    cities: Vec<String>,
    /// Where each side goes on.
    at: [usize; 2],
    rows: u64,
    _scratch: TempDir,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Workload>> {
    let scratch = setup.scratch()?;
    let users = setup.users();
    let subject = Subject::filled(file(&scratch, "larder.redb"), &users, Config::default())?;
    let raw = Tables::filled(&file(&scratch, "raw.redb"), &users)?;
    let cities = shuffled(CITIES).into_iter().map(city).collect();
    let indexed = Indexed { subject, raw, cities, at: [0; 2], rows: setup.rows, _scratch: scratch };
    indexed.agree()?;
    Ok(Box::new(indexed))
}

impl Indexed {
    /// Both sides have the same answer.
    fn agree(&self) -> Result<()> {
        for city in &self.cities {
            let rows = self.subject.runtime.block_on(self.subject.repo.get(User::CITY.eq(city)))?;
            let raw = self.raw.in_city(city)?;
            if !rows.iter().map(|row| &**row).eq(&raw) {
                return Err(format!("the sides differ about {city}").into());
            }
        }
        Ok(())
    }

    fn next(&mut self, side: Side, ops: u64) -> Vec<String> {
        let at = &mut self.at[usize::from(side == Side::Raw)];
        let cities = self.cities.iter().cycle().skip(*at).take(ops as usize).cloned().collect();
        *at = (*at + ops as usize) % self.cities.len();
        cities
    }

    fn larder(&self, cities: &[String]) -> Result<()> {
        self.subject.runtime.block_on(async {
            for city in cities {
                black_box(self.subject.repo.get(User::CITY.eq(city)).await?);
            }
            Ok(())
        })
    }

    fn raw(&self, cities: &[String]) -> Result<()> {
        for city in cities {
            black_box(self.raw.in_city(city)?);
        }
        Ok(())
    }
}

impl Workload for Indexed {
    fn plan(&self) -> Plan {
        Plan::new(301, 4)
    }

    fn sides(&self) -> &'static [Side] {
        &[Side::Larder, Side::Raw]
    }

    fn run(&mut self, side: Side, ops: u64) -> Result<Duration> {
        let cities = self.next(side, ops);
        match side {
            Side::Larder => timed(|| self.larder(&cities)),
            _ => timed(|| self.raw(&cities)),
        }
    }

    fn written(&self, _: Side) -> Option<Written> {
        None
    }

    fn lines(&self, _: &Rounds) -> Vec<Line> {
        let note = format!("about {} of {} rows", self.rows / CITIES, self.rows);
        vec![Line::against(Side::Raw, "indexed query", Target::None, note)]
    }
}
