//! What was probably meant by a name that is not there.

use sc_client::{Client, Detail, Error, Result};

/// How like a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The question to put behind an error, if it is about a name that is like one that there is.
pub async fn did_you_mean(client: &Client, error: &anyhow::Error) -> Option<String> {
    let text = match error.downcast_ref()? {
        Error::Server { status: 404, text } | Error::Operation { text, .. } => text,
        _ => return None,
    };
    let (kind, name) = missing(text)?;
    // A daemon that does not answer has told its error already.
    let names = names(client, kind).await.ok()?;
    let best = nearest(name, &names)?;
    Some(format!("did you mean {best:?}?"))
}

/// The kind and the name in the server's words: `Instance "web" not found: see sc list`.
fn missing(text: &str) -> Option<(&str, &str)> {
    let (kind, rest) = text.split_once(" \"")?;
    let (name, rest) = rest.split_once('"')?;
    rest.starts_with(" not found").then_some((kind, name))
}

async fn names(client: &Client, kind: &str) -> Result<Vec<String>> {
    Ok(match kind {
        "Instance" => {
            client.instances(Detail::Config).await?.into_iter().map(|one| one.name).collect()
        }
        "Profile" => client.profiles().await?.into_iter().map(|one| one.name).collect(),
        "Network" => client.networks().await?.into_iter().map(|one| one.name).collect(),
        "Storage pool" => client.pools().await?.into_iter().map(|one| one.name).collect(),
        "Image" => client.image_aliases().await?.into_iter().map(|one| one.name).collect(),
        _ => Vec::new(),
    })
}

/// The one of the names that is most like `name`, if it is like enough.
pub fn nearest<'n>(name: &str, names: &'n [String]) -> Option<&'n str> {
    names
        .iter()
        // The very name may have come meanwhile.
        .filter(|other| *other != name)
        .map(|other| (likeness(name, other), other.as_str()))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

/// A letter of a short name is much of it, so one slip is always forgiven; but hardly anything is
/// left of a name of two letters.
fn likeness(one: &str, other: &str) -> f64 {
    match strsim::damerau_levenshtein(one, other) {
        1 if one.len() > 2 => 1.0,
        _ => strsim::normalized_damerau_levenshtein(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_the_servers_words_is_found() {
        assert_eq!(missing("Instance \"wbe1\" not found"), Some(("Instance", "wbe1")));
        let remedied = "Instance \"wbe1\" not found: see sc list";
        assert_eq!(missing(remedied), Some(("Instance", "wbe1")));
        assert_eq!(missing("Storage pool \"p\" not found"), Some(("Storage pool", "p")));
        assert_eq!(missing("Operation not found"), None);
    }

    #[test]
    fn what_is_a_slip_away_is_meant_and_nothing_else() {
        let names: Vec<String> = ["web1", "db1", "production-database"].map(str::to_owned).into();
        for (name, meant) in [
            ("wbe1", Some("web1")),
            ("web", Some("web1")),
            ("bd1", Some("db1")),
            ("prodction-databse", Some("production-database")),
            ("mail", None),
            ("w", None),
            ("b1", None),
        ] {
            assert_eq!(nearest(name, &names), meant, "{name}");
        }
    }
}
