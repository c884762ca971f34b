//! Which device nodes of an image are left out, and which are refused.

use super::path::EntryPath;
use crate::wire::{Failure, Inside};

/// Refuses a device that is not below `dev/`, and whiteouts wherever they are.
pub(crate) fn check_device(path: &EntryPath, whiteout: bool) -> Inside<()> {
    if whiteout {
        return Err(Failure::image(
            "it is a character device 0:0, which hides files in an overlay and must not come from an \
             image: make the image from the merged view of the filesystem",
        ));
    }
    if path.below(b"dev").is_none_or(|rest| rest.is_root()) {
        return Err(Failure::image(
            "it is a device node outside dev/, which an unprivileged instance cannot have: remove it \
             from the image",
        ));
    }
    Ok(())
}
