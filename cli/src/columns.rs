//! Columns that a user chooses by letters, as LXD's `-c` has them.

use anyhow::Result;
use serde::Serialize;

use crate::output::{self, Format};
use crate::usage::wrong;

/// A column of a list of `T`.
pub struct Column<T: ?Sized> {
    /// Its letter.
    pub letter: char,
    /// Its title.
    pub title: &'static str,
    /// What it shows, in the help.
    pub about: &'static str,
    /// Its cell for an object.
    pub value: fn(&T) -> String,
}

/// All columns of a list.
pub fn all<T>(columns: &[Column<T>]) -> Vec<&Column<T>> {
    columns.iter().collect()
}

/// The columns that `letters` ask for. Commas may stand between them.
pub fn choose<'c, T>(all: &'c [Column<T>], letters: &str) -> Result<Vec<&'c Column<T>>> {
    letters.chars().filter(|c| *c != ',').map(|letter| one(all, letter)).collect()
}

/// The column of a letter.
pub fn one<T>(all: &[Column<T>], letter: char) -> Result<&Column<T>> {
    match all.iter().find(|column| column.letter == letter) {
        Some(column) => Ok(column),
        None => {
            let known: String = all.iter().map(|column| column.letter).collect();
            Err(wrong(format!("there is no column {letter:?}; the columns are {known}")))
        }
    }
}

/// The part of the help that lists the columns.
pub fn help<T>(all: &[Column<T>]) -> String {
    let lines = all.iter().map(|column| format!("  {}  {}\n", column.letter, column.about));
    String::from("Columns:\n") + &lines.collect::<String>()
}

/// The titles of columns.
fn titles<'c, T>(columns: &[&'c Column<T>]) -> Vec<&'c str> {
    columns.iter().map(|column| column.title).collect()
}

/// The rows of a table.
fn rows<T>(columns: &[&Column<T>], objects: &[T]) -> Vec<Vec<String>> {
    objects
        .iter()
        .map(|object| columns.iter().map(|column| (column.value)(object)).collect())
        .collect()
}

/// Prints a list of objects.
pub fn print<T: Serialize>(format: Format, columns: &[&Column<T>], objects: &[T]) -> Result<()> {
    output::list(format, objects, &titles(columns), || rows(columns, objects))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column<u32>] = &[
        Column { letter: 'n', title: "NUMBER", about: "Number", value: |n| n.to_string() },
        Column { letter: 'd', title: "DOUBLE", about: "Double", value: |n| (n * 2).to_string() },
    ];

    #[test]
    fn columns_come_in_the_order_of_their_letters() {
        let columns = choose(COLUMNS, "d,n").unwrap();
        assert_eq!(titles(&columns), ["DOUBLE", "NUMBER"]);
        assert_eq!(rows(&columns, &[4]), [["8", "4"]]);
    }

    #[test]
    fn an_unknown_column_is_refused_by_its_letter() {
        let error = choose(COLUMNS, "nx").err().unwrap().to_string();
        assert_eq!(error, "there is no column 'x'; the columns are nd");
    }
}
