//! In whose name the repository reads, writes and sends.

use std::sync::{Arc, PoisonError, RwLock};

/// The account that is signed in, if any; shared by all handles.
#[derive(Debug, Default)]
pub(crate) struct Account(RwLock<Option<Arc<str>>>);

impl Account {
    pub(crate) fn new(account: Option<Arc<str>>) -> Self {
        Self(RwLock::new(account))
    }

    pub(crate) fn get(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set(&self, account: Option<Arc<str>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = account;
    }
}
