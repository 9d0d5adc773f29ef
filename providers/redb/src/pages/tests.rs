//! Whether a file was ever finished.

use redb::backends::InMemoryBackend;

use super::*;

const NAME: &str = "larder";

/// A file of zeros that is longer than what is read at a time, and in which `text` lies.
fn with(text: &str, at: usize) -> InMemoryBackend {
    let medium = InMemoryBackend::new();
    medium.set_len(3 * CHUNK as u64).unwrap();
    medium.write(at as u64, text.as_bytes()).unwrap();
    medium
}

// Rules: d-unfinished
#[test]
fn a_name_is_found_wherever_it_lies_and_nothing_else_is() {
    for border in [CHUNK, 2 * CHUNK, 3 * CHUNK - NAME.len()] {
        for before in 0..=NAME.len() {
            let at = border - before;
            assert!(!is_unfinished(&with(NAME, at), NAME).unwrap(), "at {at}");
            assert!(is_unfinished(&with(&NAME[1..], at), NAME).unwrap(), "at {at}");
        }
    }
    // What lies apart is no name.
    let medium = with("lar", CHUNK - 3);
    medium.write(CHUNK as u64 + 1, b"der").unwrap();
    assert!(is_unfinished(&medium, NAME).unwrap());
    medium.write(CHUNK as u64, b"der").unwrap();
    assert!(!is_unfinished(&medium, NAME).unwrap());
}

// Rules: d-unfinished
#[test]
fn a_file_with_a_mark_is_no_unfinished_one() {
    for at in 0..MAGIC.len() {
        assert!(!is_unfinished(&with("r", at), NAME).unwrap(), "at {at}");
    }
    assert!(is_unfinished(&with("r", MAGIC.len()), NAME).unwrap());
    assert!(is_unfinished(&InMemoryBackend::new(), NAME).unwrap());
}
