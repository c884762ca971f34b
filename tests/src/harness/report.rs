//! What a test has to show besides that it passed.

use std::io::Write;
use std::path::PathBuf;

/// Prints a line, and keeps it for the summary: `scripts/test` shows the files that lie in
/// `SC_TEST_REPORTS` after the tests.
pub fn report(file: &str, line: &str) {
    println!("{line}");
    let Some(folder) = std::env::var_os("SC_TEST_REPORTS").map(PathBuf::from) else { return };
    let path = folder.join(file);
    let opened = std::fs::File::options().create(true).append(true).open(&path);
    let mut opened = opened.unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
    writeln!(opened, "{line}").expect("a report can be written");
}
