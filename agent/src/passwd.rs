//! Reads the guest's user database, which the guest controls.

use sc_sys::resolve::Root;

/// No database of users is longer.
const MOST_BYTES: u64 = 4 << 20;

/// A user as the guest knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// Its name.
    pub name: String,
    /// Its home.
    pub home: String,
}

/// Looks a user up by number in `/etc/passwd` below the root; `None` where it is not listed.
pub(crate) fn look_up(root: &Root, uid: u32) -> Option<User> {
    let bytes = root.read("/etc/passwd", MOST_BYTES).ok()?;
    find(&String::from_utf8_lossy(&bytes), uid)
}

fn find(text: &str, uid: u32) -> Option<User> {
    text.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, _, _, home, ..] = fields[..] else { return None };
        let matches = number.parse() == Ok(uid) && !name.is_empty() && home.starts_with('/');
        matches.then(|| User { name: name.to_owned(), home: home.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number_and_broken_lines_passed_over() {
        let text =
            "\n#x\nroot:x:0:0:root:/root:/bin/sh\nbad:x:7\n:x:8:8::/:\nweb:x:33:33::/srv:/bin/sh";
        assert_eq!(find(text, 0), Some(User { name: "root".into(), home: "/root".into() }));
        assert_eq!(find(text, 33).map(|user| user.home), Some("/srv".into()));
        assert_eq!(find(text, 7), None);
        assert_eq!(find(text, 8), None);
    }
}
