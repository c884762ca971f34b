//! What values keys take: checks for the table, and typed reading afterwards.

use std::str::FromStr;

use ipnet::{Ipv4Net, Ipv6Net};

use crate::{ConfigError, ConfigMap, Mac, Result, place};

type Check = Result<(), String>;

pub(crate) fn any(_: &str) -> Check {
    Ok(())
}

pub(crate) fn bool(value: &str) -> Check {
    to_bool(value).map(drop).ok_or_else(|| "it must be true or false".to_owned())
}

pub(crate) fn native(value: &str) -> Check {
    one_of(value, &["native"])
}

pub(crate) fn dns_mode(value: &str) -> Check {
    one_of(value, &["managed", "dynamic", "none"])
}

pub(crate) fn mac(value: &str) -> Check {
    value
        .parse::<Mac>()
        .map(drop)
        .map_err(|_| "it is no hardware address of an interface".to_owned())
}

pub(crate) fn mtu(value: &str) -> Check {
    match value.parse::<u32>() {
        Ok(68..=65535) => Ok(()),
        _ => Err("it must be a number from 68 to 65535".to_owned()),
    }
}

pub(crate) fn net4(value: &str) -> Check {
    net::<Ipv4Net>(value, "10.0.3.1/24")?;
    value.parse::<Ipv4Net>().map_or(Ok(()), |net| place::usable(net.into()))
}

pub(crate) fn net6(value: &str) -> Check {
    net::<Ipv6Net>(value, "fd42:1:2:3::1/64")?;
    value.parse::<Ipv6Net>().map_or(Ok(()), |net| place::usable(net.into()))
}

pub(crate) fn ranges4(value: &str) -> Check {
    to_ranges::<std::net::Ipv4Addr>(value).map(drop)
}

pub(crate) fn ranges6(value: &str) -> Check {
    to_ranges::<std::net::Ipv6Addr>(value).map(drop)
}

/// dnsmasq's own notation.
pub(crate) fn expiry(value: &str) -> Check {
    let number = value.strip_suffix(['s', 'm', 'h', 'd', 'w']).unwrap_or(value);
    if value == "infinite" || number.parse::<u32>().is_ok_and(|number| number > 0) {
        return Ok(());
    }
    Err("it must be a number with s, m, h, d or w after it, or infinite".to_owned())
}

pub(crate) fn domain(value: &str) -> Check {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    if value.len() <= 200 && value.split('.').all(label) {
        return Ok(());
    }
    Err("it is no domain name".to_owned())
}

pub(crate) fn domains(value: &str) -> Check {
    value.split(',').map(str::trim).try_for_each(domain)
}

fn one_of(value: &str, known: &[&str]) -> Check {
    if known.contains(&value) { Ok(()) } else { Err(format!("it must be {}", known.join(" or "))) }
}

fn net<T: FromStr>(value: &str, example: &str) -> Check {
    if value == "none" || value.parse::<T>().is_ok() {
        return Ok(());
    }
    Err(match value {
        "auto" => "a subnet is chosen when a network is created only".to_owned(),
        _ => format!(
            "it must be an address with its prefix, such as {example}, none, or (at creation) auto"
        ),
    })
}

fn to_bool(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

fn to_ranges<A: FromStr + Ord>(value: &str) -> Result<Vec<(A, A)>, String> {
    let range = |text: &str| {
        let (first, last) = text.trim().split_once('-')?;
        let range = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (range.0 <= range.1).then_some(range)
    };
    value
        .split(',')
        .map(|text| {
            range(text).ok_or_else(|| format!("{} is no range FIRST-LAST", sc_api::quoted(text)))
        })
        .collect()
}

/// A checked map, read by type.
pub(crate) struct Values<'a>(pub &'a ConfigMap);

impl Values<'_> {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub fn text(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or(default).to_owned()
    }

    pub fn list(&self, key: &str) -> Vec<String> {
        let items = self.get(key).into_iter().flat_map(|value| value.split(','));
        items.map(|item| item.trim().to_owned()).collect()
    }

    pub fn bool(&self, key: &str, default: bool) -> Result<bool> {
        self.read(key, to_bool).map(|value| value.unwrap_or(default))
    }

    pub fn number(&self, key: &str, default: u32) -> Result<u32> {
        self.read(key, |value| value.parse().ok()).map(|value| value.unwrap_or(default))
    }

    pub fn net<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        match self.get(key) {
            None | Some("none") => Ok(None),
            Some(_) => self.read(key, |value| value.parse().ok()),
        }
    }

    pub fn ranges<A: FromStr + Ord>(&self, key: &str) -> Result<Vec<(A, A)>> {
        Ok(self.read(key, |value| to_ranges(value).ok())?.unwrap_or_default())
    }

    fn read<T>(&self, key: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ConfigError::InvalidValue {
            key: key.to_owned(),
            value: value.to_owned(),
            reason: "it cannot be read".to_owned(),
        })
    }
}
