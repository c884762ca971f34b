//! `sc`, the command line.
//!
//! Exit codes: 0 done; 1 failed; 2 used wrongly; 130 interrupted; 141 the reader of the output
//! left; 143 terminated. `sc exec` and `sc shell` end with the program's own code, 127 when it is
//! not there, 126 when it cannot be run, 128 + n when signal n ended it.
mod app;
mod args;
mod cmd;
mod columns;
mod complete;
mod context;
mod devices;
mod editor;
mod given;
mod interrupt;
mod keys;
mod keyvalue;
mod number;
mod output;
mod progress;
mod remote;
mod settings;
mod several;
mod stdio;
mod suggest;
mod terminal;
mod usage;
mod verb;
mod yaml;

fn main() -> std::process::ExitCode {
    app::run()
}
