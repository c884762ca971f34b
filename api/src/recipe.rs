//! What the remote `debian:` has. Its images are built on the daemon's machine when they are asked
//! for (`source.protocol: packages`), so all there is to know of them beforehand is this table.

/// One image that can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The release's code name, such as "bookworm".
    pub codename: String,
    /// The release's number, such as "12".
    pub version: String,
    /// "default" (systemd) or "sysvinit".
    pub variant: String,
    /// Names it is found under: "12", "bookworm", "12/default", …
    pub aliases: Vec<String>,
    /// One line for a list.
    pub description: String,
}

/// Version, code name, variant.
const RECIPES: [(&str, &str, &str); 3] =
    [("12", "bookworm", DEFAULT), ("12", "bookworm", "sysvinit"), ("13", "trixie", DEFAULT)];

const DEFAULT: &str = "default";

impl Recipe {
    /// All that can be built.
    pub fn all() -> Vec<Self> {
        let new = |(version, codename, variant)| Self::new(version, codename, variant);
        RECIPES.into_iter().map(new).collect()
    }

    /// What a name means: one of the aliases, which "debian/" may stand before.
    pub fn find(name: &str) -> Option<Self> {
        let wanted = name.strip_prefix("debian/").unwrap_or(name);
        Self::all().into_iter().find(|recipe| recipe.aliases.iter().any(|alias| alias == wanted))
    }

    fn new(version: &str, codename: &str, variant: &str) -> Self {
        let mut aliases = Vec::new();
        if variant == DEFAULT {
            aliases.extend([version.to_owned(), codename.to_owned()]);
        }
        aliases.extend([version, codename].map(|name| format!("{name}/{variant}")));
        let with = if variant == DEFAULT { String::new() } else { format!(" with {variant}") };
        Self {
            description: format!("Debian {version} {codename}{with}"),
            codename: codename.to_owned(),
            version: version.to_owned(),
            variant: variant.to_owned(),
            aliases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_found_under_all_its_names() {
        let named = |name: &str| {
            let recipe = Recipe::find(name).unwrap();
            format!("{}/{}", recipe.codename, recipe.variant)
        };
        for name in ["12", "bookworm", "12/default", "debian/12", "debian/bookworm"] {
            assert_eq!(named(name), "bookworm/default");
        }
        for name in ["12/sysvinit", "bookworm/sysvinit", "debian/12/sysvinit"] {
            assert_eq!(named(name), "bookworm/sysvinit");
        }
        assert_eq!(named("13"), "trixie/default");
        assert_eq!(Recipe::find("11"), None);
    }
}
