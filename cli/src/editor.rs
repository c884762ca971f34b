//! Objects edited as YAML: read from standard input where that is no terminal, else by the user's
//! editor. What was written in the editor is not lost when the server refuses it or the editor fails:
//! it is edited again, or kept in a file. A text that was emptied gives up.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncReadExt;

use crate::context::Context;
use crate::interrupt::Interrupts;
use crate::output::{self, to_yaml};
use crate::stdio::Stdin;
use crate::{terminal, yaml};

/// Somebody else changed the object between our reading and our writing.
#[derive(Debug, thiserror::Error)]
#[error("{word} {name} was changed by another client meanwhile: do it again on what it is now")]
pub struct Overtaken {
    /// What kind of object it is.
    pub word: &'static str,
    /// Its name.
    pub name: String,
}

/// Has `object` edited and passes the new one to `put`. `what` names it in messages.
pub async fn edit<T: Serialize + DeserializeOwned>(
    context: &Context,
    what: &str,
    object: &T,
    put: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    match terminal::stdin_is_terminal() {
        true => by_editor(&context.interrupts, what, &to_yaml(object)?, put).await,
        false => from_input(what, put).await,
    }
}

async fn from_input<T: DeserializeOwned>(
    what: &str,
    put: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("read standard input")?;
    put(parse(what, text)?).await
}

async fn by_editor<T: DeserializeOwned>(
    interrupts: &Interrupts,
    what: &str,
    before: &str,
    put: impl AsyncFn(T) -> Result<()>,
) -> Result<()> {
    let mut file = new_file(before)?;
    // It must outlive us, however we end, until it is known that nothing is lost with it.
    file.disable_cleanup(true);
    loop {
        let ended = run_editor(interrupts, &file).await;
        let text = std::fs::read(&file)
            .with_context(|| format!("read the edited file {}", file.display()))?;
        if text == before.as_bytes() {
            file.disable_cleanup(false);
            return ended;
        }
        if text.trim_ascii().is_empty() {
            // Nothing is lost with it.
            file.disable_cleanup(false);
            return ended.and_then(|()| parse::<T>(what, text).map(drop));
        }
        interrupts.keeps(&file);
        ended.map_err(|error| refused(&error, &file))?;
        let outcome = match parse(what, text) {
            Ok(object) => put(object).await,
            Err(error) => Err(error),
        };
        let Err(error) = outcome else {
            file.disable_cleanup(false);
            return Ok(());
        };
        // What is changed now would be refused for the same reason.
        if error.is::<Overtaken>() {
            return Err(refused(&error, &file));
        }
        output::print_error(&output::chain(&error), true);
        if !ask_again(&file).await? {
            bail!("nothing was changed; your text is kept in {}", file.display());
        }
    }
}

/// A temporary file with this text.
fn new_file(text: &str) -> Result<TempPath> {
    let mut file: NamedTempFile = tempfile::Builder::new()
        .prefix("sc-")
        .suffix(".yaml")
        .tempfile()
        .context("make a temporary file")?;
    file.write_all(text.as_bytes()).context("write the temporary file")?;
    Ok(file.into_temp_path())
}

/// The failure of a request, with the place of the text that it was about.
fn refused(error: &anyhow::Error, path: &Path) -> anyhow::Error {
    anyhow!("{}; your text is kept in {}", output::chain(error), path.display())
}

/// Waits for enter; the end of the input gives up.
async fn ask_again(file: &Path) -> Result<bool> {
    eprintln!("Press enter to edit again, ctrl-c to give up; the text stays in {}", file.display());
    // Not by a read that blocks, which ctrl-c would not end.
    let mut stdin = Stdin::new().context("use standard input")?;
    Ok(stdin.read(&mut [0; 1024]).await.context("read the terminal")? > 0)
}

fn parse<T: DeserializeOwned>(what: &str, text: Vec<u8>) -> Result<T> {
    let Ok(text) = String::from_utf8(text) else { bail!("the YAML for {what} is not UTF-8") };
    if yaml::is_empty(&text) {
        bail!("the YAML for {what} is empty, which would remove all it has; nothing was changed");
    }
    yaml::parse(&text).map_err(|why| anyhow!("the YAML for {what} cannot be read: {why}"))
}

async fn run_editor(interrupts: &Interrupts, file: &Path) -> Result<()> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
        .unwrap_or_else(|| OsString::from("vi"));
    // Through a shell, as the variable may hold arguments.
    let mut command = Command::new("sh");
    command.arg("-c").arg("exec $SC_EDITOR \"$1\"").arg("sh").arg(file).env("SC_EDITOR", &editor);
    let status = interrupts
        .lend_terminal(move || command.status())
        .await?
        .with_context(|| format!("start the editor {}", editor.display()))?;
    if !status.success() {
        bail!("the editor {} ended with {status}", editor.display());
    }
    Ok(())
}
