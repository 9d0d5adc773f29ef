//! An offline-first data layer: one repository over a memory cache, an embedded store and a remote.
