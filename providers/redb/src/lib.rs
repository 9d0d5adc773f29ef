//! An embedded store on redb: durable, checksummed, with indexes and group commit.
