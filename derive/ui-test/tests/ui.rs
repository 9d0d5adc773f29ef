//! Compiles each file of `tests/ui` and compares what the compiler says.

#[test]
fn what_is_refused() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
}
