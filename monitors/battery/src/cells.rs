//! The batteries of this device, and what they come to.

use starship_battery::{Battery, Manager, State};

/// One battery.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) state: State,
    /// How full it is, from 0 to 1.
    pub(crate) charge: f32,
    /// What it holds when it is full, in whatever unit it shares with the others.
    pub(crate) size: f32,
}

impl From<&Battery> for Cell {
    fn from(battery: &Battery) -> Self {
        Self {
            state: battery.state(),
            charge: battery.state_of_charge().value,
            size: battery.energy_full().value,
        }
    }
}

/// Asks the system. It may block.
pub(crate) fn read() -> Result<Vec<Cell>, starship_battery::Error> {
    readable(Manager::new()?.batteries()?.map(|battery| battery.map(|battery| Cell::from(&battery))))
}

/// A battery that can't be read is left out, unless there is no other.
fn readable<E>(batteries: impl Iterator<Item = Result<Cell, E>>) -> Result<Vec<Cell>, E> {
    let (mut cells, mut failed) = (Vec::new(), None);
    for battery in batteries {
        match battery {
            Ok(cell) => cells.push(cell),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) if cells.is_empty() => Err(error),
        _ => Ok(cells),
    }
}

/// How full the batteries are together, in percent. `None` if they are charged, or full, or there is none, or they say
/// nothing that makes sense.
pub(crate) fn level(cells: &[Cell]) -> Option<u8> {
    let any = |states: &[State]| cells.iter().any(|cell| states.contains(&cell.state));
    let drawn_on = any(&[State::Discharging, State::Empty]);
    // A battery that does not say what it does counts: it is not known to be charged.
    if !drawn_on && any(&[State::Charging, State::Full, State::Paused]) {
        return None;
    }
    let known = cells.iter().filter(|cell| cell.charge.is_finite());
    let sized = known.clone().all(|cell| cell.size.is_finite() && cell.size > 0.0);
    let size = |cell: &Cell| if sized { cell.size } else { 1.0 };
    let (held, whole) =
        known.fold((0.0, 0.0), |(held, whole), cell| (held + cell.charge * size(cell), whole + size(cell)));
    // No battery at all makes zero over zero.
    let percent = (held / whole * 100.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 100")]
    percent.is_finite().then(|| percent.clamp(0.0, 100.0) as u8)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use State::{Charging, Discharging, Empty, Full, Paused, Unknown};

    const fn cell(state: State, charge: f32, size: f32) -> Cell {
        Cell { state, charge, size }
    }

    #[rstest]
    #[case::no_battery_is_mains(&[], None)]
    #[case::drawn_on(&[cell(Discharging, 0.42, 50.0)], Some(42))]
    #[case::rounded(&[cell(Discharging, 0.209_999, 50.0)], Some(21))]
    #[case::empty(&[cell(Empty, 0.0, 50.0)], Some(0))]
    #[case::charged(&[cell(Charging, 0.05, 50.0)], None)]
    #[case::full(&[cell(Full, 1.0, 50.0)], None)]
    #[case::held_at_a_limit(&[cell(Paused, 0.8, 50.0)], None)]
    #[case::silent_about_what_it_does(&[cell(Unknown, 0.1, 50.0)], Some(10))]
    #[case::one_drawn_on_while_the_other_rests(&[cell(Full, 1.0, 20.0), cell(Discharging, 0.5, 60.0)], Some(63))]
    #[case::one_charged_while_the_other_waits(&[cell(Unknown, 0.3, 20.0), cell(Charging, 0.5, 60.0)], None)]
    #[case::one_empty_while_the_other_rests(&[cell(Full, 1.0, 20.0), cell(Empty, 0.0, 60.0)], Some(25))]
    #[case::without_sizes(&[cell(Discharging, 0.2, 0.0), cell(Discharging, 0.4, f32::NAN)], Some(30))]
    #[case::one_without_a_size(&[cell(Discharging, 0.2, 0.0), cell(Discharging, 0.4, 50.0)], Some(30))]
    #[case::a_size_beyond_all(&[cell(Discharging, 0.2, f32::INFINITY), cell(Discharging, 0.4, 50.0)], Some(30))]
    #[case::more_than_full(&[cell(Discharging, 1.07, 50.0)], Some(100))]
    #[case::nonsense(&[cell(Discharging, f32::NAN, 50.0)], None)]
    #[case::nonsense_beside_sense(&[cell(Discharging, f32::NAN, 50.0), cell(Discharging, 0.5, 9.0)], Some(50))]
    fn what_the_batteries_come_to(#[case] cells: &[Cell], #[case] expected: Option<u8>) {
        assert_eq!(level(cells), expected);
    }

    // Rules: s-battery
    #[test]
    fn one_that_can_t_be_read_spoils_no_other() {
        let (good, bad) = (Ok(cell(Discharging, 0.5, 50.0)), Err("no such device"));
        assert_eq!(readable([bad, good, bad].into_iter()).map(|cells| level(&cells)), Ok(Some(50)));
        assert_eq!(readable([bad, bad].into_iter()).map(|cells| cells.len()), bad.map(|_: Cell| 0));
        assert_eq!(readable([].into_iter()).map(|cells: Vec<Cell>| cells.len()), Ok::<_, &str>(0));
    }
}
