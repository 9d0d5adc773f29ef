//! Workloads of Larder with raw redb beside them.
