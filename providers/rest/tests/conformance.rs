//! The suites over a server without a socket, at three levels of push-down, and over a real socket.

#![cfg(feature = "hyper")]

mod collections;

use collections::{Level, Sited, remote, serve, server};
use larder_core::runtime::BoxFuture;
use larder_core::{CompareOp, Context, OpenProvider, Predicate, Pushdown, Query, Result, Value};
use larder_harness::models::{NAMED, SPECIMEN};
use larder_harness::suites::cases;
use larder_harness::{Candidate, Outcome, Setup, Site, Subject, judge};
use larder_rest::{Changes, Endpoint, Host, Rest};
use larder_stubs::{Collection, Stubs};

const BASE: &str = "https://api.example.com";
const ELSEWHERE: &str = "https://uploads.example.com";

async fn over_stubs(setup: Setup, level: Level) -> Result<Subject> {
    let site = Site::new().elsewhere(ELSEWHERE);
    let sited = Sited::new(server(level), site.clone()).apart("uploads.example.com");
    let rest = remote(level, BASE).host(Host::at(ELSEWHERE)).transport(sited);
    let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
    // The three levels together get as many random queries as a store does.
    Ok(Subject::provider(provider).finite_floats().dear().site(site))
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

/// A server that tells of changes by when its rows were written, and of nothing that is gone.
fn stamping(setup: Setup) -> BoxFuture<'static, Result<Subject>> {
    let endpoint = |path: &str| Endpoint::new(path).changes(Changes::by_newest("since", "_at"));
    let collection = |path: &str, key: &str| {
        Collection::at(path).key(key).paged(7).stamped("_at").parameter("since", |row, since| {
            since.parse().is_ok_and(|since: u64| row["_at"].as_u64().is_some_and(|at| at >= since))
        })
    };
    let [specimen, named] =
        [&SPECIMEN, &NAMED].map(|schema| schema.fields[schema.key.fields[0]].name_in("json"));
    let stubs =
        Stubs::new().collection(collection("specimens", specimen)).collection(collection("named", named));
    let rest = Rest::at(BASE)
        .endpoint("Specimen", endpoint("/specimens"))
        .endpoint("Named", endpoint("/named"))
        .transport(stubs);
    Box::pin(
        async move { Ok(Subject::provider(OpenProvider::open(Box::new(rest), &setup.opening()).await?)) },
    )
}

/// What such a server can't tell is refused, and what goes wrong has a reason: rows move between pages that are numbered.
#[test]
fn changes_by_the_newest_moment_keep_the_rules_as_far_as_they_can() {
    let moves = "a row that is gone moves others to a page that was read";
    let exempt = [
        ("delta::a_slow_reader_of_everything_misses_nothing", moves),
        ("delta::every_cursor_leads_to_the_same", moves),
    ];
    let candidate = Candidate { provider: "rest-newest", make: &stamping, exempt: &exempt };
    let (mut passed, mut refused) = (0, Vec::new());
    for case in cases().filter(|case| case.suite == "delta") {
        match judge(&candidate, case.suite, case.name) {
            Outcome::Passed => passed += 1,
            Outcome::Refused(_) => refused.push(case.name),
            Outcome::Exempt(_) => {}
            Outcome::Failed(why) => panic!("{}: {why}", case.name),
        }
    }
    assert_eq!((passed, &refused[..]), (15, &["what_is_gone_is_told"][..]));
}

mod stub_none {
    use super::*;

    async fn make(setup: Setup) -> Result<Subject> {
        over_stubs(setup, Level::None).await
    }

    larder_harness::conformance! {
        provider = "rest-stub-none",
        faces = [remote, delta, requests],
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
        faces = [remote, delta, requests],
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
        faces = [remote, delta, requests],
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
        let site = Site::new();
        let (other, also_serving) = serve(Sited::elsewhere(site.clone())).await;
        let (base, serving) = serve(Sited::new(server(Level::All), site.clone())).await;
        let rest = remote(Level::All, &base).host(Host::at(&other));
        let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
        let subject = Subject::provider(provider).finite_floats().dear().keeping(serving);
        Ok(subject.keeping(also_serving).site(site.elsewhere(other)))
    }

    larder_harness::conformance! {
        provider = "rest-socket",
        faces = [remote, delta, requests],
        make = make,
        exempt = {
            "floats::what_is_no_number_can_be_stored" => "JSON has no NaN and no infinity: such a row is refused",
            "keys::empty_text" => "a path can't name an empty key: such a row is refused",
            "keys::dots" => "a path can't name the keys `.` and `..`: such rows are refused",
        },
    }
}
