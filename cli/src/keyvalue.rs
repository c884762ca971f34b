//! `key=value` in arguments.

use anyhow::Result;
use sc_api::ConfigMap;

use crate::usage::wrong;

/// Parses one `key=value`, for clap.
pub fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the key before `=` is empty".into()),
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("it must be KEY=VALUE".into()),
    }
}

/// Reads `key=value ...`, or a single `key value` as LXD's old form has it.
pub fn settings(words: &[String]) -> Result<ConfigMap> {
    if let [key, value] = words
        && !key.contains('=')
    {
        return Ok(ConfigMap::from([(key.clone(), value.clone())]));
    }
    let mut settings = ConfigMap::new();
    for word in words {
        match parse(word) {
            Ok((key, value)) => settings.insert(key, value),
            Err(reason) => return Err(wrong(format!("{word:?}: {reason}"))),
        };
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn both_of_lxds_forms_are_read() {
        let one = ConfigMap::from([("limits.cpu".to_owned(), "2".to_owned())]);
        assert_eq!(settings(&words("limits.cpu=2")).unwrap(), one);
        assert_eq!(settings(&words("limits.cpu 2")).unwrap(), one);
        assert_eq!(settings(&words("a=1 b=x=y")).unwrap()["b"], "x=y");
    }

    #[test]
    fn a_word_without_a_value_is_refused() {
        assert!(settings(&words("a=1 b")).unwrap_err().to_string().contains("\"b\""));
        assert!(parse("=x").is_err());
    }
}
