//! The suites over a server without a socket, at three levels of push-down, and over a real socket.

#![cfg(feature = "hyper")]

mod collections;

use collections::{Level, remote, serve, server};
use larder_core::{CompareOp, Context, OpenProvider, Predicate, Pushdown, Query, Result, Value};
use larder_harness::{Setup, Subject};

const BASE: &str = "https://api.example.com";

async fn over_stubs(setup: Setup, level: Level) -> Result<Subject> {
    let rest = remote(level, BASE).transport(server(level));
    let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
    // The three levels together get as many random queries as a store does.
    Ok(Subject::provider(provider).finite_floats().dear())
}

/// The levels are what they say: what is asked of the server, and what it does.
#[tokio::test]
async fn levels_push_down_what_they_say() {
    let schema = &larder_harness::models::SPECIMEN;
    let low = u16::try_from(schema.position("low").expect("a field")).expect("a position");
    let filter = Predicate::Compare { field: low, op: CompareOp::Lt, value: Value::Int(5) };
    let query = Query { limit: Some(3), ..Query::filter(filter) };
    for (level, pushdown, asked, done) in [
        (Level::None, Pushdown::None, "GET specimens?", [false, false]),
        (Level::Some, Pushdown::Some, "GET specimens?high.lt=5&page=1&per_page=7", [true, false]),
        (Level::All, Pushdown::All, "GET specimens?limit=3&sort=_id&where=*", [true, true]),
    ] {
        let stubs = server(level);
        let setup = Setup::new(0);
        let rest = remote(level, BASE).transport(stubs.clone());
        let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await.expect("a remote");
        assert_eq!(provider.capabilities().filter, pushdown, "{level:?}");
        let page = provider.get(&Context::new(), schema, &query).await.expect("a page");
        assert_eq!([page.done.filter, page.done.window], done, "{level:?}");
        stubs.assert_called(asked, 1);
    }
}

mod stub_none {
    use super::*;

    async fn make(setup: Setup) -> Result<Subject> {
        over_stubs(setup, Level::None).await
    }

    larder_harness::conformance! {
        provider = "rest-stub-none",
        faces = [remote],
        make = make,
        exempt = {
            "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
            "keys::empty_text" => "a path can't name an empty key: such a row is refused",
            "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
        },
    }
}

mod stub_some {
    use super::*;

    async fn make(setup: Setup) -> Result<Subject> {
        over_stubs(setup, Level::Some).await
    }

    larder_harness::conformance! {
        provider = "rest-stub-some",
        faces = [remote],
        make = make,
        exempt = {
            "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
            "keys::empty_text" => "a path can't name an empty key: such a row is refused",
            "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
        },
    }
}

mod stub_all {
    use super::*;

    async fn make(setup: Setup) -> Result<Subject> {
        over_stubs(setup, Level::All).await
    }

    larder_harness::conformance! {
        provider = "rest-stub-all",
        faces = [remote],
        make = make,
        exempt = {
            "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
            "keys::empty_text" => "a path can't name an empty key: such a row is refused",
            "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
        },
    }
}

mod socket {
    use super::*;

    async fn make(setup: Setup) -> Result<Subject> {
        let (base, serving) = serve(server(Level::All)).await;
        let provider = OpenProvider::open(Box::new(remote(Level::All, &base)), &setup.opening()).await?;
        Ok(Subject::provider(provider).finite_floats().dear().keeping(serving))
    }

    larder_harness::conformance! {
        provider = "rest-socket",
        faces = [remote],
        make = make,
        exempt = {
            "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
            "keys::empty_text" => "a path can't name an empty key: such a row is refused",
            "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
        },
    }
}
