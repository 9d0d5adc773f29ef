//! How what the remote has comes into the store: page by page, each in one transaction with its note, so that whatever is
//! broken off goes on.
//!
//! - `page` stores a page, `seen` notes what came, `sweep` removes what did not, and `doubt` asks for it where that
//!   proves nothing: a fetch of a query uses them as well.
//! - `run` pulls a model: what has changed (`changes`), or everything (`everything`), as `state` remembers.

mod anew;
mod changes;
mod doubt;
mod everything;
mod limits;
mod page;
mod run;
mod seen;
mod state;
mod steps;
mod sweep;

pub use limits::Budget;
pub use state::Remark;
pub use steps::Progress;

pub(super) use limits::Limits;
pub(super) use page::{Asides, Asked, Kept, Part};
pub(super) use run::{Pulling, Pulls};
pub(super) use seen::Seen;
pub(super) use state::stray;
pub(super) use steps::Steps;
pub(super) use sweep::Swept;
