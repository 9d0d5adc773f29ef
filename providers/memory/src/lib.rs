//! A store in memory: the reference that every other provider is compared with.
