//! When an instance starts and stops by itself: the keys `boot.*`.

use std::time::Duration;

use sc_api::ConfigMap;

use crate::Error;
use crate::effective::value;
use crate::value::{parse_bool, parse_integer};

/// How long an instance may take to stop when the host goes down, where nothing is said of it.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// When an instance starts and stops by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// `boot.autostart`; `None` restores the last state.
    pub autostart: Option<bool>,
    /// `boot.autostart.priority`: the highest starts first.
    pub start_priority: i64,
    /// `boot.autostart.delay`: how long the next one waits after its start.
    pub start_delay: Duration,
    /// `boot.stop.priority`: the highest stops first.
    pub stop_priority: i64,
    /// `boot.host_shutdown_action` and `boot.host_shutdown_timeout`: how long it is given to stop when
    /// the host goes down, before it is killed; `None` where it is killed at once.
    pub shutdown_timeout: Option<Duration>,
}

impl Default for Boot {
    fn default() -> Self {
        Self {
            autostart: None,
            start_priority: 0,
            start_delay: Duration::ZERO,
            stop_priority: 0,
            shutdown_timeout: Some(SHUTDOWN_TIMEOUT),
        }
    }
}

impl Boot {
    /// Reads an expanded configuration.
    ///
    /// # Errors
    ///
    /// Fails where a key's value is none that it may have.
    pub fn read(config: &ConfigMap) -> Result<Self, Error> {
        let number = |key| value(config, key, |text| parse_integer(text, i64::MIN, i64::MAX));
        let seconds = |key| {
            let seconds = value(config, key, |text| parse_integer(text, 0, i64::from(i32::MAX)))?;
            Ok::<_, Error>(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
        };
        let autostart = value(config, "boot.autostart", |text| {
            parse_bool(text).ok_or_else(|| "use true or false".to_owned())
        })?;
        let timeout = seconds("boot.host_shutdown_timeout")?.unwrap_or(SHUTDOWN_TIMEOUT);
        let force = config.get("boot.host_shutdown_action").is_some_and(|is| is == "force-stop");
        Ok(Self {
            autostart,
            start_priority: number("boot.autostart.priority")?.unwrap_or_default(),
            start_delay: seconds("boot.autostart.delay")?.unwrap_or_default(),
            stop_priority: number("boot.stop.priority")?.unwrap_or_default(),
            shutdown_timeout: (!force).then_some(timeout),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &[(&str, &str)]) -> Result<Boot, Error> {
        Boot::read(&keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect())
    }

    #[test]
    fn what_is_not_said_is_as_in_lxd() {
        assert_eq!(read(&[]).unwrap(), Boot::default());
        assert_eq!(read(&[("boot.stop.priority", "")]).unwrap(), Boot::default());
    }

    #[test]
    fn each_key_is_read() {
        let boot = read(&[
            ("boot.autostart", "true"),
            ("boot.autostart.priority", "-5"),
            ("boot.autostart.delay", "7"),
            ("boot.stop.priority", "9"),
            ("boot.host_shutdown_timeout", "0"),
        ])
        .unwrap();
        let expected = Boot {
            autostart: Some(true),
            start_priority: -5,
            start_delay: Duration::from_secs(7),
            stop_priority: 9,
            shutdown_timeout: Some(Duration::ZERO),
        };
        assert_eq!(boot, expected);
        let forced = read(&[("boot.host_shutdown_action", "force-stop")]).unwrap();
        assert_eq!(forced.shutdown_timeout, None);
    }

    #[test]
    fn a_time_that_no_clock_holds_is_refused() {
        let error = read(&[("boot.autostart.delay", "9223372036854775807")]).unwrap_err();
        assert!(error.to_string().contains("boot.autostart.delay"), "{error}");
    }
}
