//! Runs the sides of a workload in turn and compares them round by round.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Result;
use crate::medium::Written;
use crate::workload::{Plan, Side, Workload};

/// What each side took, round by round.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// Nanoseconds per operation.
    times: BTreeMap<Side, Vec<f64>>,
    /// What was written per operation, by those who write.
    written: BTreeMap<Side, Written>,
}

/// How long `work` takes.
///
/// # Errors
/// Those of `work`.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

/// Runs all sides in each round, a slice each. Who comes first changes with every round; a round before the first is
/// not counted.
///
/// # Errors
/// Those of the workload.
pub fn alternate(workload: &mut dyn Workload, plan: Plan) -> Result<Rounds> {
    let sides = workload.sides();
    let mut result = Rounds::default();
    let ops = |side| match side {
        Side::Larder => plan.together,
        _ => plan.slice,
    };
    for side in sides {
        workload.run(*side, ops(*side))?;
    }
    for round in 0..plan.rounds {
        for turn in 0..sides.len() {
            let side = sides[(round + turn) % sides.len()];
            let before = workload.written(side);
            let took = workload.run(side, ops(side))?;
            let per_op = took.as_nanos() as f64 / ops(side) as f64;
            result.times.entry(side).or_default().push(per_op);
            if let (Some(before), Some(after)) = (before, workload.written(side)) {
                result.written.entry(side).or_default().add(before, after);
            }
        }
    }
    for (side, written) in &mut result.written {
        *written = written.per(plan.rounds as f64 * ops(*side) as f64);
    }
    Ok(result)
}

impl Rounds {
    /// The median time of an operation in nanoseconds.
    #[must_use]
    pub fn time(&self, side: Side) -> f64 {
        quantile(self.times.get(&side).cloned().unwrap_or_default(), 0.5)
    }

    /// The ratio of `side` to `to` within each round: the first quartile, the median and the third.
    #[must_use]
    pub fn ratio(&self, side: Side, to: Side) -> [f64; 3] {
        let times = |side| self.times.get(&side).map_or(&[][..], Vec::as_slice);
        let ratios: Vec<f64> = times(side).iter().zip(times(to)).map(|(a, b)| a / b).collect();
        [0.25, 0.5, 0.75].map(|q| quantile(ratios.clone(), q))
    }

    /// How many rounds there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.times.values().map(Vec::len).min().unwrap_or(0)
    }

    /// What a side wrote per operation, if it writes.
    #[must_use]
    pub fn written(&self, side: Side) -> Option<Written> {
        self.written.get(&side).copied().filter(|written| written.pages > 0.0)
    }
}

/// The value below which the share `q` of `values` lies; the mean of the two next to it where there is none.
fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = q * last as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    values[low] + (values[high] - values[low]) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The machine is three times slower in the second round; the ratio does not see it.
        let times = [(Side::Larder, vec![10.0, 30.0, 8.0]), (Side::Raw, vec![20.0, 60.0, 10.0])];
        let rounds = Rounds { times: times.into(), written: BTreeMap::new() };
        assert_eq!(rounds.ratio(Side::Larder, Side::Raw)[1], 0.5);
        assert_eq!(rounds.time(Side::Larder), 10.0);
        assert_eq!(rounds.count(), 3);
    }

    #[test]
    fn quantiles_lie_between_values() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0, 4.0], 0.5), 2.5);
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.25), 1.5);
        assert!(quantile(Vec::new(), 0.5).is_nan());
    }
}
