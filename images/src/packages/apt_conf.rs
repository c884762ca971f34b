//! The machine's own apt settings that reaching its mirror takes: proxies, certificates, age checks.

use sc_sys::command::{Failure, Runner};

use super::tool;
use crate::Result;

/// Settings that are handed on, with all below them.
const WANTED: [&str; 10] = [
    "acquire::http",
    "acquire::https",
    "acquire::check-date",
    "acquire::check-valid-until",
    "acquire::max-validtime",
    "acquire::min-validtime",
    "acquire::retries",
    "acquire::forceipv4",
    "acquire::forceipv6",
    "acquire::by-hash",
];

/// Settings as apt.conf(5) writes them: name and value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Settings(Vec<(String, String)>);

impl Settings {
    /// Asks apt for the machine's; none where apt is not installed.
    pub(super) fn of_machine() -> Result<Self> {
        match Runner::new("apt-config").arg("dump").run() {
            Ok(output) => Ok(Self::parse(&String::from_utf8_lossy(&output.stdout))),
            Err(error) if matches!(error.failure, Failure::NotFound) => Ok(Self::default()),
            Err(error) => Err(tool::failed("read apt's settings", "apt-config", &error, &[])),
        }
    }

    fn parse(dump: &str) -> Self {
        let setting = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            let value = value.trim().strip_prefix('"')?.strip_suffix("\";")?;
            let lower = name.to_ascii_lowercase();
            let wanted = WANTED.iter().any(|wanted| {
                lower.strip_prefix(wanted).is_some_and(|r| r.is_empty() || r.starts_with("::"))
            });
            (wanted && !value.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        };
        Self(dump.lines().filter_map(setting).collect())
    }

    /// Those that make sense inside a guest, which uses the same mirror: neither files and programs of
    /// this machine, nor its loopback, nor its passwords.
    pub(super) fn for_guests(&self) -> Self {
        let fits = |value: &str| {
            let rest = value.split_once("://").map_or("", |(_, rest)| rest);
            let host = rest.split('/').next().unwrap_or_default();
            !value.starts_with('/')
                && !host.contains('@')
                && !["localhost", "127.", "[::1]"].iter().any(|own| host.starts_with(own))
        };
        Self(self.0.iter().filter(|(_, value)| fits(value)).cloned().collect())
    }

    /// As a file of apt's.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name} \"{value}\";\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
Acquire \"\";
Acquire::http \"\";
Acquire::http::Proxy \"http://proxy.example:3128\";
Acquire::http::Proxy-Auto-Detect \"/usr/bin/find-proxy\";
Acquire::https::Proxy \"http://me:secret@proxy.example:3128\";
Acquire::https::CaInfo \"/etc/ssl/own.pem\";
Acquire::http::Proxy::deb.example \"DIRECT\";
Acquire::Check-Valid-Until \"false\";
Acquire::Languages:: \"none\";
Acquire::httpfoo \"x\";
DPkg::Post-Invoke:: \"rm -f /x || true\";
";

    #[test]
    fn what_reaching_a_mirror_takes_is_handed_on_and_nothing_else() {
        let text = Settings::parse(DUMP).to_text();
        for wanted in ["Proxy \"http://proxy", "find-proxy", "secret", "CaInfo", "DIRECT", "Valid"]
        {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
        for other in ["Languages", "foo", "Post-Invoke", "http \"\""] {
            assert!(!text.contains(other), "{other}: {text}");
        }
    }

    #[test]
    fn guests_get_no_passwords_files_or_loopback_addresses() {
        let dump = format!("{DUMP}Acquire::http::Proxy::a \"http://127.0.0.1:3142\";\n");
        let text = Settings::parse(&dump).for_guests().to_text();
        assert_eq!(
            text,
            "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
             Acquire::http::Proxy::deb.example \"DIRECT\";\n\
             Acquire::Check-Valid-Until \"false\";\n"
        );
    }
}
