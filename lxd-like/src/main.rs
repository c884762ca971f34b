//! `scd`, the daemon: API, state and policy. See `ARCHITECTURE.md`.

mod api;
mod app;
mod blocking;
mod context;
mod daemon;
mod error;
mod etag;
mod event;
mod host;
mod instance;
mod manager;
mod model;
mod operation;
mod paths;
mod proven;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    // Executed anew as the unpacker of foreign bytes: before any thread is started.
    if args.next_if(|first| first == sc_images::SANDBOX_ROLE).is_some() {
        return sc_images::sandbox_main(args);
    }
    // What the daemon's own parent left open is for none of the programs that it starts.
    if let Err(error) = sc_sys::inherited::close_inherited_on_exec() {
        eprintln!("scd: {error}: {}", error.io());
        return ExitCode::FAILURE;
    }
    daemon::main()
}
