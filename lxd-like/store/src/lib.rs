//! (to be written first thing)
