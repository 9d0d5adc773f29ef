//! What has changed since a cursor: whoever asks for nothing else has what is there.

use larder_core::{
    DeltaPage, DeltaScope, ErrorKind, FieldDef, IntKind, KeyDef, Kind, Operation, Query, Schema,
};

use super::told::{Followed, Told, ask, follow, page, settle, walk, watched};
use crate::models::{ALL, NAMED, SPECIMEN, keyed, specimen, text, with};
use crate::plain::plain;
use crate::trial::{Trial, Verdict, fails};

/// So many changes that a provider that forgets some has forgotten the first of them.
const MANY: usize = 200;

/// A model that nobody has registered.
static STRANGER: Schema =
    Schema::new("Stranger", &[FieldDef::new("id", Kind::Int(IntKind::I64))], KeyDef::natural(&[0]));

/// The verdict on a provider that does not tell what is gone: the key is not told. `None` if it does tell.
async fn keeps_deletions_to_itself(trial: &Trial, cursor: &str) -> Option<Verdict> {
    if trial.delta().scope(&SPECIMEN) == DeltaScope::ChangesAndDeletions {
        return None;
    }
    let mut told = Told::new(&SPECIMEN);
    follow(trial, &mut told, Some(cursor)).await.cursor();
    assert!(told.gone.is_empty(), "it says that it does not tell what is gone");
    Some(Verdict::Refused("does not tell what is gone".into()))
}

pub(super) async fn everything_comes_first(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=40).map(specimen)).await;
    let mut told = Told::new(&SPECIMEN);
    follow(&trial, &mut told, None).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn nothing_comes_of_nothing(trial: Trial) -> Verdict {
    let mut told = Told::new(&SPECIMEN);
    let cursor = follow(&trial, &mut told, None).await.cursor();
    told.assert_current(&trial).await;
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    follow(&trial, &mut told, Some(&cursor)).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn rows_come_as_they_are_read(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=9).map(specimen)).await;
    let read = trial.select(&SPECIMEN, &Query::all()).await.expect("all rows");
    let pages = walk(&trial, &SPECIMEN, None).await.expect("everything is told");
    let told: Vec<_> = pages.into_iter().flat_map(|page| page.rows).collect();
    for row in read {
        let key = SPECIMEN.key_of(&*row.row).expect("a key");
        let same = told.iter().rfind(|told| SPECIMEN.key_of(&*told.row).expect("a key") == key);
        let same = same.unwrap_or_else(|| panic!("{key} is not told"));
        assert_eq!(plain(&SPECIMEN, &*same.row), plain(&SPECIMEN, &*row.row));
        assert_eq!(same.meta.version, row.meta.version, "the version of {key}");
        assert_eq!(same.meta.extra, row.meta.extra, "what the model has not, of {key}");
    }
    Verdict::Passed
}

pub(super) async fn changes_come_after_a_cursor(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=20).map(specimen)).await;
    let (mut told, mut cursor) = watched(&trial, &SPECIMEN).await;
    for round in 0..5 {
        trial.runtime.advance(std::time::Duration::from_secs(1));
        trial.put_by_apply(&SPECIMEN, [specimen(100 + round)]).await;
        trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(1 + round), "title", text("changed"))).await;
        cursor = follow(&trial, &mut told, Some(&cursor)).await.cursor();
        told.assert_current(&trial).await;
    }
    Verdict::Passed
}

/// Nobody moves the clock: what was told and what comes after it are of one moment.
pub(super) async fn changes_of_one_moment_are_all_told(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=15).map(specimen)).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    trial.put_by_apply(&SPECIMEN, (16..=60).map(specimen)).await;
    trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(1), "title", text("changed"))).await;
    follow(&trial, &mut told, Some(&cursor)).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn a_refused_write_is_not_told(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, [specimen(1)]).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    let refused = with(&SPECIMEN, specimen(1), "title", text("refused"));
    let kind = if trial.capabilities().insert { ErrorKind::Conflict } else { ErrorKind::Unsupported };
    fails(trial.apply(Operation::Insert, &SPECIMEN, &refused).await, kind);
    follow(&trial, &mut told, Some(&cursor)).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn what_is_gone_is_told(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=30).map(specimen)).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    for id in [1, 17, 30] {
        if let Some(refused) = trial.delete(&SPECIMEN, &specimen(id)).await {
            return refused;
        }
    }
    trial.put_by_apply(&SPECIMEN, [specimen(31)]).await;
    if let Some(refused) = keeps_deletions_to_itself(&trial, &cursor).await {
        return refused;
    }
    follow(&trial, &mut told, Some(&cursor)).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn what_came_back_is_there(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=3).map(specimen)).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    if let Some(refused) = trial.delete(&SPECIMEN, &specimen(2)).await {
        return refused;
    }
    // Some see it gone in between, and some do not.
    let (mut other, late) = (told.clone(), cursor.clone());
    let between = follow(&trial, &mut told, Some(&cursor)).await.cursor();
    trial.put_by_apply(&SPECIMEN, [with(&SPECIMEN, specimen(2), "title", text("again"))]).await;
    follow(&trial, &mut told, Some(&between)).await.cursor();
    follow(&trial, &mut other, Some(&late)).await.cursor();
    told.assert_current(&trial).await;
    other.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn what_came_and_went_is_not_there(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=3).map(specimen)).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    trial.put_by_apply(&SPECIMEN, [specimen(4)]).await;
    if let Some(refused) = trial.delete(&SPECIMEN, &specimen(4)).await {
        return refused;
    }
    follow(&trial, &mut told, Some(&cursor)).await.cursor();
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn what_changes_between_pages_is_told(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (10..=60).map(specimen)).await;
    let mut told = Told::new(&SPECIMEN);
    let mut since = None::<String>;
    for round in 0..3 {
        let page = page(ask(&trial, &SPECIMEN, since.as_deref()).await);
        told.take(&page);
        since = Some(page.cursor);
        meddle(&trial, round).await;
    }
    // The rest, and what came after its last cursor.
    for _ in 0..2 {
        since = Some(follow(&trial, &mut told, since.as_deref()).await.cursor());
    }
    told.assert_current(&trial).await;
    Verdict::Passed
}

/// Writes before, within and behind what has been told, whatever the order is.
async fn meddle(trial: &Trial, round: i64) {
    trial.put_by_apply(&SPECIMEN, [specimen(1 + round), specimen(100 + round)]).await;
    for id in [10 + round, 30 + round, 58 + round] {
        let changed = with(&SPECIMEN, specimen(id), "title", text(&format!("changed {round}")));
        if id <= 60 {
            trial.rewrite(&SPECIMEN, changed).await;
        }
    }
    for id in [20 + round, 50 + round] {
        trial.delete(&SPECIMEN, &specimen(id)).await;
    }
}

pub(super) async fn every_cursor_leads_to_the_same(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=40).map(specimen)).await;
    let mut told = Told::new(&SPECIMEN);
    // What had been told at each cursor.
    let mut places = vec![(told.clone(), None::<String>)];
    for round in 0..2 {
        let since = places.last().and_then(|(_, since)| since.clone());
        for page in walk(&trial, &SPECIMEN, since.as_deref()).await.expect("a cursor that is not old") {
            told.take(&page);
            places.push((told.clone(), Some(page.cursor)));
        }
        trial.put_by_apply(&SPECIMEN, [specimen(50 + round)]).await;
        trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(5), "title", text(&round.to_string()))).await;
        trial.delete(&SPECIMEN, &specimen(9 + round)).await;
    }
    for (mut told, since) in places {
        settle(&trial, &mut told, since.as_deref()).await;
        told.assert_current(&trial).await;
    }
    Verdict::Passed
}

/// Writes so much that a provider that forgets changes has forgotten some that only happened once.
async fn much(trial: &Trial) {
    trial.put_by_apply(&SPECIMEN, [specimen(1_000)]).await;
    trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(1), "title", text("changed"))).await;
    trial.delete(&SPECIMEN, &specimen(2)).await;
    for n in 0..MANY {
        trial.rewrite(&SPECIMEN, with(&SPECIMEN, specimen(3), "title", text(&n.to_string()))).await;
    }
}

pub(super) async fn an_old_cursor_leaves_nothing_out(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=20).map(specimen)).await;
    let (mut told, cursor) = watched(&trial, &SPECIMEN).await;
    much(&trial).await;
    settle(&trial, &mut told, Some(&cursor)).await;
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn a_slow_reader_of_everything_misses_nothing(trial: Trial) -> Verdict {
    trial.put_by_apply(&SPECIMEN, (1..=40).map(specimen)).await;
    let mut told = Told::new(&SPECIMEN);
    let first = page(ask(&trial, &SPECIMEN, None).await);
    told.take(&first);
    much(&trial).await;
    settle(&trial, &mut told, Some(&first.cursor)).await;
    told.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn what_is_no_cursor_is_expired(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, [specimen(1)]).await;
    for cursor in ["", "no cursor", "9/", "{\"a\":1", "\u{0}\u{1f600}", &"x".repeat(70_000)] {
        let mut told = Told::new(&SPECIMEN);
        let followed = follow(&trial, &mut told, Some(cursor)).await;
        assert_eq!(followed, Followed::Expired, "{:?} is a cursor", cursor.get(..9).unwrap_or(cursor));
    }
    Verdict::Passed
}

pub(super) async fn it_ends_where_nothing_is_new(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=25).map(specimen)).await;
    let (mut told, mut cursor) = watched(&trial, &SPECIMEN).await;
    for _ in 0..5 {
        // `follow` sees to it that it ends.
        cursor = follow(&trial, &mut told, Some(&cursor)).await.cursor();
        told.assert_current(&trial).await;
    }
    Verdict::Passed
}

pub(super) async fn models_stay_apart(trial: Trial) -> Verdict {
    if trial.delta().scope(&NAMED) == DeltaScope::Nothing {
        return Verdict::Refused("tells of no second model".into());
    }
    trial.put_by_apply(&SPECIMEN, (1..=9).map(specimen)).await;
    trial.put_by_apply(&NAMED, [keyed(&NAMED, &"a".into(), "one")]).await;
    let (mut one, since_one) = watched(&trial, &SPECIMEN).await;
    let (mut other, since_other) = watched(&trial, &NAMED).await;
    trial.put_by_apply(&NAMED, [keyed(&NAMED, &"b".into(), "two")]).await;
    let quiet = follow(&trial, &mut one, Some(&since_one)).await.cursor();
    trial.put_by_apply(&SPECIMEN, [specimen(10)]).await;
    follow(&trial, &mut one, Some(&quiet)).await.cursor();
    follow(&trial, &mut other, Some(&since_other)).await.cursor();
    one.assert_current(&trial).await;
    other.assert_current(&trial).await;
    Verdict::Passed
}

pub(super) async fn a_model_of_which_nothing_is_told_is_refused(trial: Trial) -> Verdict {
    let delta = trial.delta();
    for schema in ALL.iter().filter(|schema| delta.scope(schema) == DeltaScope::Nothing) {
        for since in [None, Some("no cursor")] {
            fails(delta.changes(&trial.cx, schema, since).await, ErrorKind::Unsupported);
        }
    }
    assert_eq!(delta.scope(&STRANGER), DeltaScope::Nothing, "a model that nobody has registered");
    for since in [None, Some("no cursor")] {
        let error = delta.changes(&trial.cx, &STRANGER, since).await.expect_err("an unknown model");
        assert!(matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported), "{error:?}");
    }
    Verdict::Passed
}

pub(super) async fn a_total_is_what_comes(trial: Trial) -> Verdict {
    trial.put(&SPECIMEN, (1..=30).map(specimen)).await;
    let pages = walk(&trial, &SPECIMEN, None).await.expect("everything is told");
    let count = |page: &DeltaPage| (page.rows.len() + page.deleted.len() + page.misfits.len()) as u64;
    let (count, told) = (pages.iter().map(count).sum::<u64>(), pages[0].total);
    assert!(told.is_none_or(|told| told == count), "{count} changes come, but {told:?} are told");
    Verdict::Passed
}
