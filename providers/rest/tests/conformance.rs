//! The suites over a server without a socket, at three levels of push-down, and over a real socket.

#![cfg(feature = "hyper")]

mod collections;

use collections::{Level, remote, serve, server};
use larder_core::{OpenProvider, Result};
use larder_harness::{Setup, Subject};

const BASE: &str = "https://api.example.com";

async fn over_stubs(setup: Setup, level: Level) -> Result<Subject> {
    let rest = remote(level, BASE).transport(server(level));
    let provider = OpenProvider::open(Box::new(rest), &setup.opening()).await?;
    Ok(Subject::provider(provider).finite_floats())
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
        Ok(Subject::provider(provider).finite_floats().keeping(serving))
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
