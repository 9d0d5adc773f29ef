//! The contracts of `larder-core`, tried from outside through derived models.

mod asked;
mod associations;
mod conversions;
mod cursors;
mod damage;
mod datum;
mod depth;
mod errors;
mod evaluation;
mod evolution;
mod field_types;
mod json;
mod migration;
mod models;
mod ordered;
mod plans;
mod query;
mod round_trip;
mod shapes;
mod support;
mod wire;
