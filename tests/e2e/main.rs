//! The end-to-end tests, one file a theme.
//!
//! They build on `sc_tests`, need root, and run side by side. `scripts/test` prepares what they
//! need and shows what they report.

mod busybox;
