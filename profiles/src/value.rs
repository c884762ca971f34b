//! Kinds of values: how they are checked, read and named.

use std::fmt;

use sc_api::ByteSize;

use crate::{CpuLimit, CpuSet, MemoryLimit};

/// As many processes as a kernel can have, `PID_MAX_LIMIT`: a control group refuses a higher limit.
pub(crate) const MOST_PROCESSES: i64 = 4 << 20;

/// What a key's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text without a zero byte.
    Text,
    /// `true`, `false` and their synonyms; see [`parse_bool`].
    Bool,
    /// A whole number from the first to the second.
    Integer(i64, i64),
    /// A size with units, such as `512MiB`.
    Size,
    /// A size, or a percentage of the host's memory.
    Memory,
    /// A count of processors, or a set such as `0-3,6`.
    Cpus,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A hardware address, `00:16:3e:01:02:03`.
    Mac,
    /// A UUID.
    Uuid,
}

impl Kind {
    /// Says what is wrong with a value, if anything is.
    pub(crate) fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Text if value.contains('\0') => Err("it must not hold a zero byte".into()),
            Self::Text => Ok(()),
            Self::Bool => parse_bool(value).map(drop).ok_or_else(|| "use true or false".into()),
            Self::Integer(from, to) => parse_integer(value, from, to).map(drop),
            Self::Size => {
                value.parse::<ByteSize>().map(drop).map_err(|err| err.reason().to_owned())
            }
            Self::Memory => parse_memory(value).map(drop),
            Self::Cpus => parse_cpus(value).map(drop),
            Self::Choice(values) if values.contains(&value) => Ok(()),
            Self::Choice(values) => Err(format!("use one of {}", values.join(", "))),
            Self::Mac => parse_mac(value).map(drop),
            Self::Uuid => check_uuid(value),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Integer(..) => "integer",
            Self::Size => "size",
            Self::Memory => "size or %",
            Self::Cpus => "count or set",
            Self::Choice(values) => return f.write_str(&values.join(", ")),
            Self::Mac => "hardware address",
            Self::Uuid => "UUID",
        })
    }
}

/// Reads a truth value as LXD does: true, 1, yes, on; false, 0, no, off; in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

pub(crate) fn parse_integer(text: &str, from: i64, to: i64) -> Result<i64, String> {
    match text.parse() {
        Ok(number) if (from..=to).contains(&number) => Ok(number),
        _ if to == i64::MAX => Err(format!("use a whole number, {from} or more")),
        _ => Err(format!("use a whole number from {from} to {to}")),
    }
}

pub(crate) fn parse_memory(text: &str) -> Result<MemoryLimit, String> {
    if let Some(percent) = text.strip_suffix('%') {
        return match percent.trim().parse() {
            Ok(percent @ 1..=100) => Ok(MemoryLimit::Percent(percent)),
            _ => Err("use a percentage from 1% to 100%".into()),
        };
    }
    match text.parse::<ByteSize>() {
        Ok(ByteSize(0)) => Err("a limit of 0 leaves no memory".into()),
        Ok(ByteSize(bytes)) => Ok(MemoryLimit::Bytes(bytes)),
        Err(err) => Err(err.reason().to_owned()),
    }
}

/// A plain number is a count, as in LXD; `3-3` is the processor of that number.
pub(crate) fn parse_cpus(text: &str) -> Result<CpuLimit, String> {
    if text.contains(['-', ',']) {
        return text.parse::<CpuSet>().map(CpuLimit::Set);
    }
    match text.parse() {
        Ok(0) => Err("use at least 1; processor number 0 alone is written 0-0".into()),
        Ok(count) => Ok(CpuLimit::Count(count)),
        Err(_) => Err("use a count such as 2, or a set such as 0-3,6".into()),
    }
}

/// Reads a hardware address that one station may have; returns it in lower case.
pub(crate) fn parse_mac(text: &str) -> Result<String, String> {
    let wrong = || "use six bytes such as 00:16:3e:01:02:03".to_owned();
    let lower = text.to_ascii_lowercase();
    let bytes: Vec<u8> = lower
        .split(':')
        .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()))
        .filter_map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    if bytes.len() != 6 || lower.len() != 17 {
        return Err(wrong());
    }
    if bytes[0] & 1 == 1 || bytes.iter().all(|byte| *byte == 0) {
        return Err("it is no address of a single station".into());
    }
    Ok(lower)
}

fn check_uuid(text: &str) -> Result<(), String> {
    let dashes = [8, 13, 18, 23];
    let fits = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match dashes.contains(&at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        });
    if fits { Ok(()) } else { Err("use a UUID".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_values_are_lxds() {
        for text in ["true", "TRUE", "1", "yes", "On"] {
            assert_eq!(parse_bool(text), Some(true), "{text}");
        }
        for text in ["false", "0", "no", "OFF"] {
            assert_eq!(parse_bool(text), Some(false), "{text}");
        }
        for text in ["", "2", "ja", "truee"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
    }

    #[test]
    fn memory_is_a_size_or_a_share() {
        assert_eq!(parse_memory("512MiB"), Ok(MemoryLimit::Bytes(512 << 20)));
        assert_eq!(parse_memory("50%"), Ok(MemoryLimit::Percent(50)));
        for text in ["0", "0%", "101%", "-5%", "1.5GiB", "lots", "", "%"] {
            assert!(parse_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_share_of_memory_follows_the_host() {
        assert_eq!(MemoryLimit::Percent(50).bytes(16 << 30), 8 << 30);
        assert_eq!(MemoryLimit::Percent(100).bytes(1_001), 1_001);
        assert_eq!(MemoryLimit::Bytes(5).bytes(16 << 30), 5);
    }

    #[test]
    fn a_number_of_processors_is_a_count() {
        assert_eq!(parse_cpus("2"), Ok(CpuLimit::Count(2)));
        let set = |text: &str| CpuLimit::Set(text.parse().unwrap());
        assert_eq!(parse_cpus("0-0"), Ok(set("0-0")));
        assert_eq!(parse_cpus("0,2-3"), Ok(set("0,2-3")));
        for text in ["0", "-1", "a", "1-", "3-1", ",", "99999999999"] {
            assert!(parse_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hardware_addresses_are_those_of_one_station() {
        assert_eq!(parse_mac("00:16:3E:aa:00:01").as_deref(), Ok("00:16:3e:aa:00:01"));
        for text in [
            "",
            "00:16:3e:aa:00",
            "01:00:5e:00:00:01",
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "0:16:3e:aa:0:1",
            "00-16-3e-aa-00-01",
            "00:16:3e:aa:00:01:",
            "+0:16:3e:aa:00:01",
        ] {
            assert!(parse_mac(text).is_err(), "{text}");
        }
    }
}
