//! What the derives of Larder refuse, and in which words: see `tests/ui`, a file for each topic.
//!
//! After a change of a message: `TRYBUILD=overwrite cargo test -p larder-derive-ui-test`, and read the difference.
