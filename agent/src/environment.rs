//! The environment of programs inside: defaults, with what was asked for laid over them.

use std::collections::HashMap;
use std::ffi::CString;

/// Where programs are looked for when nobody says otherwise.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An environment, each name once, in order of first appearance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    variables: Vec<(String, String)>,
    /// Where each name stands among them.
    places: HashMap<String, usize>,
}

impl Environment {
    /// Returns what an init gets: what the kernel gives the first process, PATH (runit's stages export
    /// none), and the mark by which inits know where they are.
    pub(crate) fn of_init(spec: &[(String, String)]) -> Self {
        let mut environment = Self::default();
        for (name, value) in
            [("container", "lxc"), ("PATH", PATH), ("HOME", "/"), ("TERM", "linux")]
        {
            environment.set(name, value);
        }
        environment.overlay(spec);
        environment
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        if let Some(place) = self.places.get(name) {
            value.clone_into(&mut self.variables[*place].1);
        } else {
            self.places.insert(name.to_owned(), self.variables.len());
            self.variables.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Sets a variable that is not set yet.
    pub(crate) fn set_default(&mut self, name: &str, value: &str) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Sets several.
    pub(crate) fn overlay(&mut self, variables: &[(String, String)]) {
        for (name, value) in variables {
            self.set(name, value);
        }
    }

    /// Returns a variable's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|place| self.variables[*place].1.as_str())
    }

    /// Returns it as execve(2) takes it; what cannot be said in it (a null byte) is left out.
    pub(crate) fn to_strings(&self) -> Vec<CString> {
        let lines = self.variables.iter().map(|(name, value)| format!("{name}={value}"));
        lines.filter_map(|line| CString::new(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_replaces_the_default_and_stays_in_its_place() {
        let spec = [("HOME".to_owned(), "/x".to_owned()), ("A".to_owned(), "b".to_owned())];
        let lines = Environment::of_init(&spec).to_strings();
        let lines: Vec<_> = lines.iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines[0], "container=lxc");
        assert_eq!(lines[2..], ["HOME=/x", "TERM=linux", "A=b"]);
    }
}
