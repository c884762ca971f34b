//! The one suite that every driver passes, run on each as root with real mounts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

mod destruction;
mod images;
mod odd;
mod pools;
mod squashfs;
mod volumes;

/// Makes one test for each driver of each listed check.
#[macro_export]
macro_rules! on_every_driver {
    ($($check:ident),* $(,)?) => {
        mod overlay {
            $(#[test] fn $check() { super::$check(sc_storage::DriverKind::Overlay); })*
        }
        mod dir {
            $(#[test] fn $check() { super::$check(sc_storage::DriverKind::Dir); })*
        }
    };
}
