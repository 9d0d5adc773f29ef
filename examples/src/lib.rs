//! Runnable applications, each started by one command.
