//! What was probably meant by a name that is not known.

/// A long text is no slip of a finger, and comparing takes the square of its length.
const LONGEST: usize = 80;

/// Returns the candidate that is a slip or two away from a name: letters put in, left out, replaced or
/// swapped. Of several that are as near it is the first.
pub fn nearest(name: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    if name.len() > LONGEST {
        return None;
    }
    let allowed = 1 + name.len() / 8;
    let measured = candidates.into_iter().map(|other| (strsim::osa_distance(name, &other), other));
    // Of a name of two letters hardly one would be left.
    let near = measured.filter(|(slips, other)| *slips <= allowed && *slips < other.len());
    near.min_by_key(|(slips, _)| *slips).map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_slip_or_two_away_is_meant() {
        let meant = |name| nearest(name, ["source", "size", "path"].map(str::to_owned));
        for (name, other) in [
            ("sorce", Some("source")),
            ("suorce", Some("source")),
            ("siz", Some("size")),
            ("sauce", None),
            ("", None),
            ("pool", None),
        ] {
            assert_eq!(meant(name).as_deref(), other, "{name}");
        }
        assert_eq!(meant(&"source".repeat(20)), None);
    }
}
