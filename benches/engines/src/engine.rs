//! What is asked of each engine.

use std::borrow::Borrow;

use crate::Result;
use crate::model::User;

/// An open file with users in it.
///
/// Every answer is in a total order: by what is said, then by the key.
pub trait Engine {
    /// A user, as the engine gives it.
    type Row: Borrow<User>;

    /// The users of a city, by key.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn in_city(&self, city: &str) -> Result<Vec<Self::Row>>;

    /// The first users by score whose score lies within the bounds, both included.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn by_score(&self, low: f64, high: f64, limit: u64) -> Result<Vec<Self::Row>>;

    /// The same from the highest score down.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn by_score_down(&self, low: f64, high: f64, limit: u64) -> Result<Vec<Self::Row>>;

    /// The users below an age, by key; no index knows ages.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn younger(&self, age: u32) -> Result<Vec<Self::Row>>;

    /// All users by score, `size` a page, each page begun where the one before ended.
    ///
    /// # Errors
    /// Whatever the engine reports.
    fn walk(&self, size: u64, page: &mut dyn FnMut(&[Self::Row])) -> Result<()>;
}
