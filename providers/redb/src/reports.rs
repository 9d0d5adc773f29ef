//! What was salvaged and nobody has acknowledged: kept in the file that was salvaged, so that a restart forgets none of it.
//!
//! A salvage writes its report with what it salvages, and the two get the file's name in one step: no store goes on with a
//! file that was salvaged and does not say so. It also says that the name may not be durable yet: see [`Medium::settle`].
//!
//! [`Medium::settle`]: crate::config::Medium::settle

use larder_core::{Damage, Key, Result, ordered};
use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use crate::codec::{self, Bytes, DAMAGE, KEYS};
use crate::error::Raw;

/// How many reports are kept: of those before them, whoever has never asked does not hear.
const MOST: usize = 16;

/// A report, and its number in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) nth: u16,
    pub(crate) damage: Damage,
}

/// A report as it is noted down. A later version may know more of it, or less.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    aside: String,
    cause: String,
    rows: u64,
    entries: u64,
    pages: u64,
    unread: u64,
    lost: u64,
    /// Models, and keys in their encoding that sorts.
    unsent: Vec<(String, Vec<u8>)>,
}

impl Report {
    /// The key of its note.
    pub(crate) fn place(&self) -> [u8; codec::PREFIX] {
        codec::prefix(DAMAGE, self.nth)
    }

    /// Its note.
    pub(crate) fn note(&self) -> Result<Vec<u8>> {
        let Damage { aside, cause, rows, entries, pages, unread, lost, unsent } = self.damage.clone();
        let unsent = unsent.into_iter().map(|(model, key)| {
            let mut bytes = Vec::new();
            ordered::encode_key(&key, &mut bytes);
            (model, bytes)
        });
        let unsent = unsent.collect();
        codec::seal_named(&Record { aside, cause, rows, entries, pages, unread, lost, unsent })
    }

    /// What a note says; `None` if there is none such under this key.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn read(key: &[u8], note: &[u8]) -> Result<Option<Self>> {
        let Some((&[DAMAGE, high, low], [])) = key.split_first_chunk() else { return Ok(None) };
        let Record { aside, cause, rows, entries, pages, unread, lost, unsent } =
            codec::unseal_named(note, "the report of a salvage")?;
        let unsent = unsent.into_iter().map(|(model, key)| match ordered::decode_key(&key) {
            Ok((key, _)) => Ok((model, key)),
            Err(_) => Err(codec::damaged("a key in the report of a salvage")),
        });
        let unsent = unsent.collect::<Result<Vec<(String, Key)>>>()?;
        let damage = Damage { aside, cause, rows, entries, pages, unread, lost, unsent };
        Ok(Some(Self { nth: u16::from_be_bytes([high, low]), damage }))
    }
}

/// The reports of a file, the newest last.
///
/// # Errors
/// `Corrupt` or `Storage`.
pub(crate) fn read(table: &impl ReadableTable<Bytes, Bytes>) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for pair in table.range::<&[u8]>(&[KEYS + 1][..]..[DAMAGE + 1].as_slice()).map_err(Raw::from)? {
        let (key, note) = pair.map_err(Raw::from)?;
        reports.extend(Report::read(key.value(), note.value())?);
    }
    Ok(reports)
}

/// Adds a report to those before it. Numbers are given anew, so that there is always one.
pub(crate) fn add(mut reports: Vec<Report>, damage: Damage) -> Vec<Report> {
    reports.push(Report { nth: 0, damage });
    reports.drain(..reports.len().saturating_sub(MOST));
    for (report, nth) in reports.iter_mut().zip(0..) {
        report.nth = nth;
    }
    reports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(nth: u64) -> Damage {
        let unsent = vec![("Note".to_owned(), Key::from("é")), ("Pair".to_owned(), Key::from(7))];
        let (aside, cause) = (format!("a.damaged-{nth}"), "a page".to_owned());
        Damage { aside, cause, rows: 1, entries: 2, pages: 3, unread: 1, lost: nth, unsent }
    }

    // Rules: d-salvage-status
    #[test]
    fn a_report_is_read_as_it_was_noted_and_the_oldest_make_room() {
        let mut reports = Vec::new();
        for nth in 0..20 {
            reports = add(reports, damage(nth));
        }
        assert_eq!(reports.len(), MOST);
        for (at, report) in reports.iter().enumerate() {
            assert_eq!((usize::from(report.nth), report.damage.lost), (at, at as u64 + 4));
            let note = report.note().unwrap();
            assert_eq!(Report::read(&report.place(), &note).unwrap().as_ref(), Some(report));
            let altered: Vec<u8> = note.iter().map(|byte| byte ^ 1).collect();
            assert!(Report::read(&report.place(), &altered).is_err());
        }
        assert_eq!(Report::read(&[DAMAGE], &[]).unwrap(), None);
    }

    // Rules: d-salvage-status
    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_is_known() {
        #[derive(Serialize)]
        struct Later {
            lost: u64,
            weather: &'static str,
        }
        let note = codec::seal_named(&Later { lost: 7, weather: "fine" }).unwrap();
        let read = Report::read(&codec::prefix(DAMAGE, 1), &note).unwrap().unwrap();
        assert_eq!((read.nth, read.damage.lost, read.damage.aside.as_str()), (1, 7, ""));
    }
}
