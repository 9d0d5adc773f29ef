//! The derives of Larder: Model and Datum.
