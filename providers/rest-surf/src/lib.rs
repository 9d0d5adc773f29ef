//! surf as a transport of larder-rest, and larder-rest's client offered to surf.
