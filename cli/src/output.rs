//! What is printed: tables, CSV, JSON, YAML, errors.

use std::io::Write;

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, ContentLineStyle, LineStyle, Table, TableStyle};
use serde::Serialize;

use crate::context::Context;
use crate::terminal;

/// The forms of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// Without lines.
    Compact,
    /// Values only, without a header.
    Csv,
    /// The objects themselves.
    Json,
    /// The objects themselves.
    Yaml,
}

/// The reader of standard output left.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
pub struct OutputClosed;

/// Prints text as it is.
pub fn print(text: impl AsRef<[u8]>) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        other => other.context("write standard output"),
    }
}

/// Prints one line.
pub fn line(text: impl std::fmt::Display) -> Result<()> {
    print(format!("{text}\n"))
}

/// Tells that something was made, taken away, added or removed: in LXD's words, and not to who wants
/// it quiet. What one could not know before, such as a fingerprint, is printed by [`line`].
pub fn done(context: &Context, text: impl std::fmt::Display) -> Result<()> {
    if context.quiet { Ok(()) } else { line(text) }
}

/// Prints an object as YAML.
pub fn yaml<T: Serialize>(object: &T) -> Result<()> {
    print(to_yaml(object)?)
}

/// An object as YAML, with a newline at its end.
pub fn to_yaml<T: Serialize>(object: &T) -> Result<String> {
    let mut text = serde_saphyr::to_string(object).context("write YAML")?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Prints a list: the objects themselves, or rows of `header`'s columns.
pub fn list<T: Serialize>(
    format: Format,
    objects: &[T],
    header: &[&str],
    rows: impl FnOnce() -> Vec<Vec<String>>,
) -> Result<()> {
    match format {
        Format::Json => line(serde_json::to_string(objects).context("write JSON")?),
        Format::Yaml => yaml(&objects),
        Format::Csv => print(csv(&rows())),
        Format::Table => print(table(header, &rows(), LINED)),
        Format::Compact => print(table(header, &rows(), BARE)),
    }
}

/// The look of LXD's tables.
const LINED: TableStyle = TableStyle::new()
    .top_border(LineStyle::new('+', '-', '+', '+'))
    .header_lines(ContentLineStyle::new('|', '|', '|'))
    .header_separator(LineStyle::new('+', '-', '+', '+'))
    .content_lines(ContentLineStyle::new('|', '|', '|'))
    .row_separator(LineStyle::new('+', '-', '+', '+'))
    .bottom_border(LineStyle::new('+', '-', '+', '+'));

const BARE: TableStyle = TableStyle::new();

fn table(header: &[&str], rows: &[Vec<String>], style: TableStyle) -> String {
    let mut table = Table::new();
    table.load_style(style).set_header(header.iter().map(|title| {
        let centred = style != BARE;
        let cell = comfy_table::Cell::new(title);
        if centred { cell.set_alignment(CellAlignment::Center) } else { cell }
    }));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text without control characters: what a guest says of itself must not move the cursor.
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}

fn csv(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in rows {
        let fields: Vec<String> = row.iter().map(|field| csv_field(field)).collect();
        text.push_str(&fields.join(","));
        text.push('\n');
    }
    text
}

/// A field as RFC 4180 has it.
fn csv_field(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// An error and its causes in one sentence. A cause that only repeats is left out.
pub fn chain(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(|cause| without_numbers(&cause.to_string())) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// A text without the ` (os error 2)` that the standard library puts after its words.
fn without_numbers(text: &str) -> String {
    const MARK: &str = " (os error ";
    let mut parts = text.split(MARK);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.chars().all(|c| c.is_ascii_digit()) => plain += rest,
            _ => plain.extend([MARK, part]),
        }
    }
    plain
}

/// Prints `Error: TEXT` to standard error; there is nobody to tell when that fails.
pub fn print_error(text: &str, terminal: bool) {
    let (on, off) = if terminal && colours_wanted() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let _ = writeln!(std::io::stderr(), "{on}Error:{off} {text}");
}

/// Whether colours are wanted on a terminal.
fn colours_wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && !terminal::is_dumb()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_look_like_lxds() {
        let rows = vec![vec!["c1".into(), "10.0.0.2 (eth0)\n10.0.0.3 (eth1)".into()]];
        let text = table(&["NAME", "IPV4"], &rows, LINED);
        let expected = "\
+------+-----------------+
| NAME |       IPV4      |
+------+-----------------+
| c1   | 10.0.0.2 (eth0) |
|      | 10.0.0.3 (eth1) |
+------+-----------------+
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_list_of_nothing_is_a_header() {
        let text = table(&["NAME"], &[], LINED);
        assert!(text.contains("| NAME |"), "{text}");
    }

    #[test]
    fn fields_with_commas_and_quotes_are_quoted() {
        let rows = vec![vec!["a,b".into(), "say \"x\"".into(), "plain".into()]];
        assert_eq!(csv(&rows), "\"a,b\",\"say \"\"x\"\"\",plain\n");
    }

    #[test]
    fn control_characters_are_left_out_of_tables() {
        let rows = vec![vec!["a\x1b[31mb".into()]];
        assert!(!table(&["X"], &rows, LINED).contains('\x1b'));
    }

    #[test]
    fn numbers_of_errors_are_left_out() {
        let error = std::io::Error::from_raw_os_error(2);
        let error = anyhow::Error::from(error).context("read /x");
        assert_eq!(chain(&error), "read /x: No such file or directory");
        assert_eq!(without_numbers("a (os error 2): b (os error x)"), "a: b (os error x)");
    }

    #[test]
    fn a_cause_that_repeats_is_told_once() {
        let error = anyhow::anyhow!("not found").context("image x: not found").context("launch");
        assert_eq!(chain(&error), "launch: image x: not found");
    }
}
