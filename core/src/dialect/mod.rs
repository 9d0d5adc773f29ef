//! The dialects that ship with the contracts.

pub mod json;
