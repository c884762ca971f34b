//! What a network's dnsmasq says: kept small, and quoted where it does not start.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};

use super::Files;

/// How large the log may grow, in bytes, before it is emptied.
const LOG_BYTES: u64 = 1 << 20;

impl Files {
    /// Moves the log aside, so that it never grows past two runs.
    pub fn keep_one_old_log(&self) {
        // Without a log there is none to move.
        let _ = fs::rename(self.log(), self.old_log());
    }

    /// The last lines of the log, in one.
    pub fn end_of_log(&self) -> String {
        let text = fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(3).map(str::trim).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    /// Empties the log where it has grown large, keeping the end of what it held. The file itself
    /// stays, since dnsmasq has it open and appends to it.
    pub fn bound_log(&self) {
        let Ok(mut log) = fs::File::options().read(true).write(true).open(self.log()) else {
            return;
        };
        let Ok(length) = log.metadata().map(|metadata| metadata.len()) else { return };
        if length <= LOG_BYTES {
            return;
        }
        // A log that cannot be kept is of less use than a disk with space left.
        let _ = log.seek(SeekFrom::Start(length - LOG_BYTES)).and_then(|_| {
            let mut old = fs::File::create(self.old_log())?;
            io::copy(&mut (&log).take(LOG_BYTES), &mut old)
        });
        let _ = log.set_len(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_has_grown_large_is_emptied_under_its_writer() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        let mut writer = fs::File::options().create(true).append(true).open(files.log()).unwrap();
        writer.write_all(&vec![b'x'; 3 * LOG_BYTES as usize]).unwrap();
        writer.write_all(b"last").unwrap();
        files.bound_log();
        writer.write_all(b"after").unwrap();
        assert_eq!(fs::read(files.log()).unwrap(), b"after");
        let old = fs::read(dir.path().join("dnsmasq.log.old")).unwrap();
        assert!(old.len() as u64 == LOG_BYTES && old.ends_with(b"last"));
    }
}
