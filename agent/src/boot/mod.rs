//! From namespaces to a running PID 1, in the order in which it happens: [`parent`] is the agent's side,
//! [`child`] that of the process which becomes PID 1, [`sync`] what they say to each other.

mod apifs;
mod child;
mod devices;
pub(crate) mod parent;
mod seeds;
mod sync;
