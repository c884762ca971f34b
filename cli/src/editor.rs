//! Objects edited as YAML: read from standard input where that is no terminal, else by the user's
//! editor.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::output::{self, to_yaml};
use crate::terminal;

/// What became of an edit.
pub enum Edited<T> {
    /// The new object.
    Changed(T),
    /// The text is as it was.
    Unchanged,
}

/// Has `object` edited. A text that cannot be read is shown to the user again.
pub fn edit<T: Serialize + DeserializeOwned>(what: &str, object: &T) -> Result<Edited<T>> {
    if !terminal::stdin_is_terminal() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
        return Ok(Edited::Changed(parse(what, &text)?));
    }
    let before = to_yaml(object)?;
    let mut file = tempfile::Builder::new()
        .prefix("sc-")
        .suffix(".yaml")
        .tempfile()
        .context("make a temporary file")?;
    file.write_all(before.as_bytes()).context("write the temporary file")?;
    loop {
        run_editor(file.path())?;
        let text = std::fs::read_to_string(file.path()).context("read the edited file")?;
        if text == before {
            return Ok(Edited::Unchanged);
        }
        match parse(what, &text) {
            Ok(object) => return Ok(Edited::Changed(object)),
            Err(error) => {
                output::print_error(&output::chain(&error), true);
                eprintln!("Press enter to edit again, ctrl-c to give up");
                let mut answer = String::new();
                if std::io::stdin().read_line(&mut answer).context("read the terminal")? == 0 {
                    return Err(error);
                }
            }
        }
    }
}

fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.to_string();
        // The message goes on with a picture of the place; its first line says it all.
        let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
        anyhow::anyhow!("the YAML for {what} cannot be read: {first}")
    })
}

fn run_editor(file: &std::path::Path) -> Result<()> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| OsString::from("vi"));
    // Through a shell, as the variable may hold arguments.
    let status = Command::new("sh")
        .arg("-c")
        .arg("exec $SC_EDITOR \"$1\"")
        .arg("sh")
        .arg(file)
        .env("SC_EDITOR", &editor)
        .status()
        .with_context(|| format!("start the editor {}", editor.display()))?;
    if !status.success() {
        bail!("the editor {} ended with {status}", editor.display());
    }
    Ok(())
}
