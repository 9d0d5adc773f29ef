//! The server's tests: most over a real socket, through the small client in [`client`].

mod client;
mod failing;
mod judging;
mod paging;
mod seeding;
mod writing;
