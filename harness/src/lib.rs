//! The conformance suites that every provider runs, and the reference evaluator.
