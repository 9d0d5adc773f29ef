//! The macro that gives a provider the suites as named tests.

/// Gives a provider the suites, a module per suite and a test per case.
///
/// ```
/// use larder_core::OpenStore;
/// use larder_harness::{Setup, Subject};
/// use larder_memory::Memory;
///
/// async fn make(setup: Setup) -> larder_core::Result<Subject> {
///     let memory = Memory::new().delta_page(7).changes(60);
///     Ok(Subject::store(OpenStore::open(Box::new(memory), &setup.opening()).await?))
/// }
///
/// larder_harness::conformance! {
///     provider = "memory",
///     faces = [store, remote, delta, realtime],
///     make = make,
///     exempt = {},
/// }
/// ```
///
/// - `provider` is the row of the matrix.
/// - `faces` are what it has beside `Provider`: `store`, `durable` (a store that can be opened again: see
///   [`Subject::reopened_by`](crate::Subject::reopened_by)), `remote` (it can stand as the remote), `delta` (it tells
///   what has changed since a cursor), `realtime` (it pushes changes), `requests` (it takes requests that are no models,
///   and its subject has a [`Site`](crate::Site)). The suites of a face that is not there are not there either. What pages or forgets is best configured with little of both, a page of some rows and some sixty changes: the
///   suites write two hundred.
/// - `make` opens an empty provider.
/// - `exempt` names cases that are left out, each with its reason: `{ "floats::x" => "JSON has none" }`. A case that is
///   exempt and does not fail is a failure.
///
/// Of several rows in one file, each stands in a module of its own.
#[macro_export]
macro_rules! conformance {
    (
        provider = $provider:literal,
        faces = [$($face:ident),* $(,)?],
        make = $make:path,
        exempt = { $($case:literal => $reason:literal),* $(,)? } $(,)?
    ) => {
        /// The provider as the suites see it.
        fn candidate() -> $crate::Candidate<'static> {
            fn __made(
                setup: $crate::Setup,
            ) -> $crate::__private::BoxFuture<'static, $crate::__private::Result<$crate::Subject>> {
                ::std::boxed::Box::pin($make(setup))
            }
            $crate::Candidate { provider: $provider, make: &__made, exempt: &[$(($case, $reason)),*] }
        }

        #[test]
        fn exemptions_name_cases() {
            $crate::check_exemptions(&candidate(), &["provider" $(, stringify!($face))*]);
        }

        $crate::__cases_of_provider!($crate::__tests);
        $crate::__cases_of_types!($crate::__tests_of_types);
        $($crate::__cases_of_face!($face);)*
    };
}

/// The cases of a face.
#[doc(hidden)]
#[macro_export]
macro_rules! __cases_of_face {
    (store) => {
        $crate::__cases_of_store!($crate::__tests);
    };
    (durable) => {
        $crate::__cases_of_durable!($crate::__tests);
    };
    (remote) => {
        $crate::__cases_of_remote!($crate::__tests);
    };
    (delta) => {
        $crate::__cases_of_delta!($crate::__tests);
    };
    (realtime) => {
        $crate::__cases_of_realtime!($crate::__tests);
    };
    (requests) => {
        $crate::__cases_of_requests!($crate::__tests);
    };
}

/// Tests of suites.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($($face:literal $how:ident $suite:ident { $($case:ident: $rules:literal),* $(,)? })*) => {$(
        mod $suite {
            $(
                #[test]
                fn $case() {
                    $crate::run(&super::candidate(), stringify!($suite), stringify!($case));
                }
            )*
        }
    )*};
}

/// Tests of the types' suites: of each type the same cases.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests_of_types {
    ([$($suite:ident $rule:literal),* $(,)?] $cases:tt) => {
        $($crate::__tests! { "provider" table $suite $cases })*
    };
}
