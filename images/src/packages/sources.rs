//! Which mirror of Debian this machine uses, from its own apt sources.

use std::{fs, path::Path};

use crate::{Error, Result};

/// The names under which Debian's archive serves releases.
const RELEASES: [&str; 14] = [
    "stretch",
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
    "experimental",
];

/// The mirror that the machine uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mirror {
    /// The address of the main archive.
    pub(super) main: String,
    /// Whether its `-updates` suites are in use as well.
    pub(super) updates: bool,
    /// The address of the security archive, if one is in use.
    pub(super) security: Option<String>,
}

impl Mirror {
    /// Finds it in the sources below `apt_dir`, which is `/etc/apt` or looks like it.
    pub(super) fn of_machine(apt_dir: &Path) -> Result<Self> {
        choose(&read(apt_dir)?).ok_or_else(|| {
            Error::Unavailable(format!(
                "no mirror of Debian is configured on this machine: name one in {}",
                apt_dir.join("sources.list").display()
            ))
        })
    }

    /// The sources of a release, in the deb822 format, signed by the keys in `keyring`.
    pub(super) fn sources(&self, codename: &str, keyring: &Path) -> String {
        let updates = if self.updates { format!(" {codename}-updates") } else { String::new() };
        let mut text = stanza(&self.main, &format!("{codename}{updates}"), keyring);
        if let Some(security) = &self.security {
            text.push('\n');
            text += &stanza(security, &format!("{codename}-security"), keyring);
        }
        text
    }
}

fn stanza(uri: &str, suites: &str, keyring: &Path) -> String {
    let keyring = keyring.display();
    format!("Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: main\nSigned-By: {keyring}\n")
}

/// One source of apt's.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Source {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    key: Key,
}

/// Whose signature a source asks for; the order is that of trust in it being Debian's.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// That of somebody else.
    Other,
    /// Any that apt trusts.
    #[default]
    Any,
    /// Debian's, by the name of its keyring.
    Debian,
}

impl Key {
    fn from_signed_by(value: &str) -> Self {
        if value.contains("debian-archive") { Self::Debian } else { Self::Other }
    }
}

fn choose(sources: &[Source]) -> Option<Mirror> {
    let serves = |source: &Source, uri: &str, of: fn(&str) -> bool| {
        source.key != Key::Other
            && source.components.iter().any(|component| component == "main")
            && source.suites.iter().any(|suite| of(suite))
            && source.uris.iter().any(|other| other == uri)
    };
    let best = |of: fn(&str) -> bool| {
        let mut found: Option<(&Source, &String)> = None;
        let rank = |(source, uri): (&Source, &String)| (source.key, uri.contains("debian"));
        for source in sources {
            for uri in source.uris.iter().filter(|uri| serves(source, uri, of)) {
                // The first of equals, as apt takes them in order.
                if found.is_none_or(|best| rank((source, uri)) > rank(best)) {
                    found = Some((source, uri));
                }
            }
        }
        found.map(|(_, uri)| uri.clone())
    };
    let main = best(is_release)?;
    Some(Mirror {
        updates: sources.iter().any(|source| serves(source, &main, is_updates)),
        security: best(is_security),
        main,
    })
}

fn is_release(suite: &str) -> bool {
    RELEASES.contains(&suite)
}

fn is_updates(suite: &str) -> bool {
    suite.strip_suffix("-updates").is_some_and(is_release)
}

fn is_security(suite: &str) -> bool {
    suite.strip_suffix("-security").or(suite.strip_suffix("/updates")).is_some_and(is_release)
}

fn read(apt_dir: &Path) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    let single = apt_dir.join("sources.list");
    if let Some(text) = read_text(&single)? {
        sources.extend(parse_list(&text));
    }
    let folder = apt_dir.join("sources.list.d");
    let mut paths = match fs::read_dir(&folder) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::io("list", &folder))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("list", &folder)(error)),
    };
    paths.sort();
    for path in paths {
        let parse = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => parse_list,
            Some("sources") => parse_deb822,
            _ => continue,
        };
        if let Some(text) = read_text(&path)? {
            sources.extend(parse(&text));
        }
    }
    for source in &mut sources {
        source.uris = source.uris.iter().filter_map(|uri| reachable(uri)).collect();
    }
    Ok(sources)
}

fn read_text(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Returns an address that a guest can use as well: mirror lists are files of this machine, so that
/// the first mirror in them stands for them.
fn reachable(uri: &str) -> Option<String> {
    if let Some(path) = uri.strip_prefix("mirror+file:") {
        let text = fs::read_to_string(path.replacen("//", "", 1)).ok()?;
        let first = text.lines().filter_map(|line| line.split_whitespace().next());
        return first.filter_map(plain).next();
    }
    plain(uri)
}

fn plain(uri: &str) -> Option<String> {
    let web = uri.starts_with("http://") || uri.starts_with("https://");
    web.then(|| uri.trim_end_matches('/').to_owned())
}

/// The one-line format: `deb [option=value …] uri suite component …`.
fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    let mut rest = rest.trim_start();
    let mut key = Key::Any;
    if let Some(bracket) = rest.strip_prefix('[') {
        let (options, after) = bracket.split_once(']')?;
        let signed = options.split_whitespace().find_map(|option| {
            let (name, value) = option.split_once('=')?;
            name.eq_ignore_ascii_case("signed-by").then_some(value)
        });
        key = signed.map_or(Key::Any, Key::from_signed_by);
        rest = after;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    let uris = vec![words.next()?];
    let suites = vec![words.next()?];
    Some(Source { uris, suites, components: words.collect(), key })
}

/// The deb822 format: stanzas of fields, whose values go on in indented lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut stanza: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(source_of(&stanza));
            stanza.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanza.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanza.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    sources
}

fn source_of(stanza: &[(String, String)]) -> Option<Source> {
    let field = |name: &str| stanza.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let words = |name: &str| -> Vec<String> {
        field(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = field("enabled").is_some_and(|value| {
        ["no", "false", "without", "off", "disable", "0"]
            .contains(&value.to_ascii_lowercase().as_str())
    });
    if off || !words("types").iter().any(|kind| kind == "deb") {
        return None;
    }
    Some(Source {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        key: field("signed-by").map_or(Key::Any, Key::from_signed_by),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Result<Mirror> {
        let apt_dir = tempfile::tempdir().unwrap();
        fs::create_dir(apt_dir.path().join("sources.list.d")).unwrap();
        for (name, text) in files {
            fs::write(apt_dir.path().join(name), text).unwrap();
        }
        Mirror::of_machine(apt_dir.path())
    }

    const DEB822: &str = "\
Types: deb
# a comment inside
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn the_stock_file_of_debian_12_names_main_updates_and_security() {
        let mirror = machine(&[("sources.list.d/debian.sources", DEB822)]).unwrap();
        assert_eq!(mirror.main, "http://mirror.example/debian");
        assert!(mirror.updates);
        assert_eq!(mirror.security.as_deref(), Some("http://mirror.example/debian-security"));
    }

    #[test]
    fn the_one_line_format_works_with_options_and_comments() {
        let text = "\
# deb http://old.example/debian stretch main
deb-src http://source.example/debian bookworm main
deb [arch=amd64  signed-by=/k/debian-archive-keyring.gpg] https://a.example/deb bookworm main # x
deb http://s.example/ stable-security main contrib
";
        let mirror = machine(&[("sources.list", text)]).unwrap();
        assert_eq!(mirror.main, "https://a.example/deb");
        assert!(!mirror.updates);
        assert_eq!(mirror.security.as_deref(), Some("http://s.example"));
    }

    #[test]
    fn sources_of_others_are_not_taken_for_debian() {
        let others = "\
deb [signed-by=/etc/apt/keyrings/docker.asc] https://d.example/linux/debian bookworm stable
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://v.example/debian/12/prod bookworm main
deb https://c.example/apt cloud-sdk-bookworm main
";
        let node = "Types: deb\nURIs: https://n.example/node\nSuites: nodistro\nComponents: main\n";
        let files = [("sources.list.d/a.list", others), ("sources.list.d/b.sources", node)];
        let error = machine(&files).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        assert!(error.to_string().contains("no mirror of Debian"), "{error}");
        let with = [files[0], files[1], ("sources.list.d/debian.sources", DEB822)];
        assert_eq!(machine(&with).unwrap().main, "http://mirror.example/debian");
    }

    #[test]
    fn a_source_that_is_switched_off_is_left_out() {
        let off = DEB822.replace("Components", "Enabled: no\nComponents");
        assert!(machine(&[("sources.list.d/debian.sources", &off)]).is_err());
    }

    #[test]
    fn a_list_of_mirrors_stands_for_its_first() {
        let list = tempfile::NamedTempFile::new().unwrap();
        fs::write(list.path(), "# mine\nhttps://first.example/debian\tpriority:1\nhttp://b/d\n")
            .unwrap();
        let path = list.path().display();
        for form in ["mirror+file:", "mirror+file://"] {
            let text = format!("deb {form}{path} bookworm main");
            let mirror = machine(&[("sources.list", &text)]).unwrap();
            assert_eq!(mirror.main, "https://first.example/debian");
        }
    }

    #[test]
    fn the_sources_for_a_release_name_its_suites_and_keys() {
        let mirror = machine(&[("sources.list.d/debian.sources", DEB822)]).unwrap();
        let text = mirror.sources("trixie", Path::new("/k.gpg"));
        let sources = parse_deb822(&text);
        assert_eq!(sources[0].suites, ["trixie", "trixie-updates"]);
        assert_eq!(sources[1].suites, ["trixie-security"]);
        assert_eq!(text.matches("Signed-By: /k.gpg\n").count(), 2);
    }
}
