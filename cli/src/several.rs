//! Commands over several objects.

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Result;
use futures::StreamExt;

use crate::context::Context;
use crate::output;
use crate::suggest;
use crate::verb::DONE;

/// How many instances are worked on at once where a command names several: most of what a command
/// waits for is the guest.
const AT_ONCE: usize = 32;

/// A command over several instances failed for some, which were told already.
#[derive(Debug, thiserror::Error)]
#[error("it failed for some")]
pub struct AlreadyReported;

/// Does something for each name, several at once. One failure of several does not stop the
/// others; each is told with its name.
pub async fn for_each(
    context: &Context,
    names: &[String],
    work: impl AsyncFn(&str) -> Result<()>,
) -> Result<ExitCode> {
    if let [name] = names {
        work(name).await?;
        return DONE;
    }
    let work = &work;
    let failures: Vec<bool> = futures::stream::iter(names)
        .map(|name| async move {
            let outcome = work(name).await;
            if let Err(error) = &outcome {
                let mut text = with_name(name, output::chain(error));
                if let Some(question) = suggest::did_you_mean(&context.client, error).await {
                    text = format!("{text} ({question})");
                }
                output::print_error(&text, std::io::stderr().is_terminal());
            }
            outcome.is_err()
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    if failures.contains(&true) { Err(AlreadyReported.into()) } else { DONE }
}

/// A sentence with the name of what it is about, unless it has that already.
fn with_name(name: &str, text: String) -> String {
    let named = [format!("nstance {name:?}"), format!("nstance {name} ")];
    if named.iter().any(|named| text.contains(named)) { text } else { format!("{name}: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_several_is_told_with_its_name_once() {
        for told in ["Instance \"c1\" not found", "instance c1 is running: stop it first"] {
            assert_eq!(with_name("c1", told.into()), told);
        }
        let text = with_name("c1", "The instance is already stopped".into());
        assert_eq!(text, "c1: The instance is already stopped");
    }
}
