//! Errors as people and as code see them.

use std::error::Error as _;
use std::time::Duration;

use larder_core::{Error, ErrorKind, Failure, Fault, Sent, Timestamp};
use rstest::rstest;

// Rules: e-transient
#[rstest]
#[case(ErrorKind::Offline, "offline", true)]
#[case(ErrorKind::Timeout, "timed out", true)]
#[case(ErrorKind::Transport, "transport failed", true)]
#[case(ErrorKind::Http { status: 503 }, "http status 503", true)]
#[case(ErrorKind::Http { status: 429 }, "http status 429", true)]
#[case(ErrorKind::Http { status: 418 }, "http status 418", false)]
#[case(ErrorKind::Unauthorized, "unauthorized", false)]
#[case(ErrorKind::NotFound, "not found", false)]
#[case(ErrorKind::Conflict, "conflict", false)]
#[case(ErrorKind::Rejected, "rejected", false)]
#[case(ErrorKind::Serialization, "data does not fit", false)]
#[case(ErrorKind::Storage, "storage failed", false)]
#[case(ErrorKind::Corrupt, "stored data is corrupt", false)]
#[case(ErrorKind::Unsupported, "unsupported", false)]
#[case(ErrorKind::Invalid, "invalid", false)]
#[case(ErrorKind::Cancelled, "cancelled", false)]
#[case(ErrorKind::Full, "full", false)]
fn kinds(#[case] kind: ErrorKind, #[case] text: &str, #[case] transient: bool) {
    let error = Error::new(kind, "");
    assert_eq!((error.to_string().as_str(), error.is_transient()), (text, transient));
    assert_eq!(Error::new(kind, "why").to_string(), format!("{text}: why"));
    assert_eq!(error.with_transient(!transient).is_transient(), !transient);
}

fn invalid() -> Error {
    Error::new(ErrorKind::Invalid, "why")
}

// Rules: e-place
#[rstest]
#[case::alone(invalid(), "invalid: why")]
#[case::operation(invalid().during("commit"), "failed to commit: invalid: why")]
#[case::operation_and_model(invalid().during("commit").model("User"), "failed to commit User: invalid: why")]
#[case::all(
    invalid().during("commit").model("User").key("ada").at("zip").at("[2]").at("addresses"),
    "failed to commit User ada at addresses[2].zip: invalid: why"
)]
#[case::model(invalid().model("User"), "User: invalid: why")]
#[case::model_and_path(invalid().model("User").at("city"), "User.city: invalid: why")]
#[case::path(invalid().at("city"), "city: invalid: why")]
#[case::path_of_an_element(invalid().at("[0]").at("tags"), "tags[0]: invalid: why")]
#[case::the_innermost_names_hold(
    invalid().during("decode").model("A").key(1).during("get").model("B").key(2),
    "failed to decode A 1: invalid: why"
)]
fn places(#[case] error: Error, #[case] expected: &str) {
    assert_eq!(error.to_string(), expected);
}

#[rstest]
#[case(Fault::Type { expected: "a bool", found: "null" }, "expected a bool, found null", ErrorKind::Serialization)]
#[case(Fault::Missing, "missing", ErrorKind::Serialization)]
#[case(Fault::Range { expected: "i8" }, "out of range for i8", ErrorKind::Serialization)]
#[case(Fault::Variant, "unknown enum variant", ErrorKind::Serialization)]
#[case(Fault::Malformed, "malformed", ErrorKind::Corrupt)]
#[case(Fault::Retyped { stored: 1, current: 2 }, "retyped between versions 1 and 2", ErrorKind::Serialization)]
#[case(
    Fault::Gone { stored: 1, current: 2 },
    "an enum variant that went between versions 1 and 2",
    ErrorKind::Serialization
)]
#[case(Fault::NoSuchField, "no such field", ErrorKind::Invalid)]
#[case(Fault::Refused, "refused by its converter", ErrorKind::Serialization)]
fn faults(#[case] fault: Fault, #[case] text: &str, #[case] kind: ErrorKind) {
    assert_eq!(fault.to_string(), text);
    let error = fault.error("User", "city");
    assert_eq!((error.kind(), error.model_name(), error.path()), (kind, Some("User"), Some("city")));
}

#[test]
fn a_fault_is_small() {
    assert!(size_of::<Fault>() <= 40, "{}", size_of::<Fault>());
}

#[test]
fn facts_are_kept_and_duplicated() {
    let cause = std::io::Error::other("the disk is on fire");
    let error = Error::new(ErrorKind::Http { status: 429 }, "slow down")
        .during("send")
        .model("User")
        .key(7)
        .at("city")
        .with_body("{}")
        .with_retry_after(Duration::from_secs(3))
        .with_sent(Sent::Answered)
        .because(cause);
    let twin = error.duplicate();
    for error in [&error, &twin] {
        assert_eq!(error.kind(), ErrorKind::Http { status: 429 });
        assert_eq!(
            (error.operation(), error.model_name(), error.row_key()),
            (Some("send"), Some("User"), Some("7"))
        );
        assert_eq!((error.path(), error.message(), error.status()), (Some("city"), "slow down", Some(429)));
        assert_eq!((error.body(), error.retry_after()), (Some("{}"), Some(Duration::from_secs(3))));
        assert_eq!(error.sent(), Sent::Answered);
        assert_eq!(error.source().expect("a cause").to_string(), "the disk is on fire");
    }
    assert_eq!(error.to_string(), twin.to_string());
    assert_eq!(
        format!("{:?}", Error::new(ErrorKind::Full, "no room").at("x")),
        "Error { kind: Full, message: \"no room\", path: \"x\" }"
    );
    assert_eq!(Error::new(ErrorKind::Offline, "").with_status(502).status(), Some(502));
}

#[test]
fn a_long_key_is_shown_in_part_and_known_as_a_whole() {
    let key = "ä".repeat(300);
    let error = Error::new(ErrorKind::Invalid, "too long").during("commit").model("User").key(&key);
    let shown = format!("{}…", &key[..400]);
    assert_eq!(error.to_string(), format!("failed to commit User {shown}: invalid: too long"));
    assert!(format!("{error:?}").contains(&format!("key: {shown:?}")), "{error:?}");
    assert_eq!(error.row_key(), Some(&*key));
}

#[test]
fn a_failure_keeps_a_bounded_part_of_the_body() {
    let long = "ä".repeat(Failure::BODY_LIMIT);
    let error = Error::new(ErrorKind::Rejected, "no").with_status(422).with_body(format!("x{long}"));
    let failure = Failure::of(&error, Timestamp::UNIX_EPOCH);
    let body = failure.body.expect("a body");
    assert_eq!(body.len(), Failure::BODY_LIMIT - 1, "cut between two characters");
    assert_eq!(
        (failure.kind, failure.status, failure.message.as_str()),
        (ErrorKind::Rejected, Some(422), "rejected: no")
    );
}
