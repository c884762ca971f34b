//! What was probably meant by a name that is not there.

use sc_api::Recipe;
use sc_client::{Client, Detail, Error, Result};

/// How like a name must be to be suggested, from 0 to 1.
const ALIKE: f64 = 0.8;

/// The question to put behind an error, if it is about a name that is like one that there is.
pub async fn did_you_mean(client: &Client, error: &anyhow::Error) -> Option<String> {
    let (Error::Server { text, .. } | Error::Operation { text, .. }) = error.downcast_ref()? else {
        return None;
    };
    let (kind, name) = missing(text)?;
    // A daemon that does not answer has told its error already.
    let names = names(client, kind).await.ok()?;
    if kind == BUILT && names.iter().any(|own| own == name) {
        return Some(question(&format!("local:{name}")));
    }
    if kind == BUILT
        && let Some(asked) = built(name)
    {
        return Some(asked);
    }
    if kind == "Image" && Recipe::find(name).is_some() {
        return Some(question(&format!("debian:{name}")));
    }
    let best = nearest(name, &names)?;
    Some(if kind == BUILT { question(&format!("local:{best}")) } else { question(best) })
}

/// The question to put behind an error about an image that is not built of packages, if its name is
/// like one that is.
pub fn built(name: &str) -> Option<String> {
    let names: Vec<String> = Recipe::all().into_iter().flat_map(|recipe| recipe.aliases).collect();
    nearest(name, &names).map(|meant| question(&format!("debian:{meant}")))
}

/// How one is asked.
pub fn question(meant: &str) -> String {
    format!("did you mean {meant:?}?")
}

/// An image that is built of packages, in the server's words.
const BUILT: &str = "no image";

/// A type of devices, in the server's words.
const DEVICE_TYPE: &str = "unknown type";

/// What comes before and after a name that is not there, in the server's words.
const MISSING: &[(&str, &str)] = &[
    ("Instance", " not found"),
    ("Profile", " not found"),
    ("Requested profile", " doesn't exist"),
    ("Network", " not found"),
    ("Storage pool", " not found"),
    ("Image", " not found"),
    (BUILT, " can be built from packages"),
    (DEVICE_TYPE, ":"),
];

/// The kind and the name in the server's words: `Instance "web" not found: see sc list`. A device's name
/// may come before.
fn missing(text: &str) -> Option<(&'static str, &str)> {
    MISSING.iter().find_map(|(kind, end)| {
        let (before, rest) = text.split_once(&format!("{kind} \""))?;
        let (name, rest) = rest.split_once('"')?;
        let whole = before.is_empty() || before.ends_with(": ");
        (whole && rest.starts_with(end)).then_some((*kind, name))
    })
}

async fn names(client: &Client, kind: &str) -> Result<Vec<String>> {
    Ok(match kind {
        "Instance" => {
            client.instances(Detail::Config).await?.into_iter().map(|one| one.name).collect()
        }
        "Profile" | "Requested profile" => {
            client.profiles().await?.into_iter().map(|one| one.name).collect()
        }
        "Network" => client.networks().await?.into_iter().map(|one| one.name).collect(),
        "Storage pool" => client.pools().await?.into_iter().map(|one| one.name).collect(),
        "Image" | BUILT => client.image_aliases().await?.into_iter().map(|one| one.name).collect(),
        DEVICE_TYPE => {
            let kinds = sc_profiles::device_kinds().iter().filter(|kind| kind.honoured);
            kinds.map(|kind| kind.name.to_owned()).collect()
        }
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

/// The one of the verbs that begins as `typed` does and has its letters in their order, if no other has.
pub fn shortened<'v>(typed: &str, verbs: &'v [String]) -> Option<&'v str> {
    let fits = |verb: &str| {
        let mut letters = verb.chars();
        verb.chars().next() == typed.chars().next()
            && typed.chars().all(|c| letters.any(|l| l == c))
    };
    let mut fitting = verbs.iter().filter(|verb| fits(verb));
    let first = fitting.next()?;
    fitting.next().is_none().then_some(first)
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
        let requested = "Requested profile \"wrok\" doesn't exist";
        assert_eq!(missing(requested), Some(("Requested profile", "wrok")));
        let device = "Device validation failed for \"root\": Storage pool \"p\" not found: see";
        assert_eq!(missing(device), Some(("Storage pool", "p")));
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

    #[test]
    fn a_verb_is_known_by_some_of_its_letters_if_no_other_has_them() {
        let verbs: Vec<String> = ["show", "set", "unset", "get"].map(str::to_owned).into();
        for (typed, meant) in [("st", Some("set")), ("s", None), ("ut", Some("unset")), ("", None)]
        {
            assert_eq!(shortened(typed, &verbs), meant, "{typed}");
        }
    }
}
