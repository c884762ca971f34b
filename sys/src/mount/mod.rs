//! Mounts by descriptor: trees that are cloned, idmapped, given attributes and attached.
//!
//! A *detached* tree is a mount that no path leads to; it lives as long as its descriptor. Everything
//! here prefers detached trees, because nothing of them shows in the host's mount table and nothing has
//! to be unmounted when a step fails.
//!
//! ```text
//! clone_tree(path) ─> idmap(tree, userns) ─> overlay(..) or attach(tree, path)
//! NewMount::new("tmpfs")…create()          ─────────────^
//! ```

mod fsids;
mod loopdev;
mod new;
mod overlay;
mod tree;

pub use fsids::FsIds;
pub use loopdev::LoopDevice;
pub use new::NewMount;
pub use overlay::{Overlay, OverlayWay, Writable, overlay, overlay_any_way};
pub(crate) use tree::describe;
pub use tree::{
    Attributes, Depth, Propagation, attach, attach_at, bind, change_attributes, clone_tree,
    clone_tree_at, idmap, is_read_only, make_propagation, pivot_into, unmount_detach,
};
