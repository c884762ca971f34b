use super::*;
use proptest::prelude::*;

use crate::{Boot, Change, CpuLimit, MemoryLimit, diff, find, keep_volatile};

fn map(pairs: &[(&str, &str)]) -> ConfigMap {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The devices of a usual default profile.
fn devices() -> DeviceMap {
    DeviceMap::from([
        ("root".to_owned(), map(&[("type", "disk"), ("path", "/"), ("pool", "default")])),
        ("eth0".to_owned(), map(&[("type", "nic"), ("network", "scbr0")])),
    ])
}

fn own(pairs: &[(&str, &str)]) -> Settings {
    Settings { config: map(pairs), devices: DeviceMap::new() }
}

/// Checks settings over the usual profile, coming from a client.
fn check(own: &Settings) -> Result<Effective, Error> {
    let (config, devices, before) = (ConfigMap::new(), devices(), ConfigMap::new());
    let profile = Layer { name: "default", config: &config, devices: &devices };
    check_instance(&[profile], own, Origin::Client { before: &before })
}

fn refused(pairs: &[(&str, &str)]) -> String {
    check(&own(pairs)).unwrap_err().to_string()
}

#[test]
fn the_honoured_keys_come_to_what_they_say() {
    let effective = check(&own(&[
        ("limits.memory", "512MiB"),
        ("limits.cpu", "2"),
        ("limits.processes", "500"),
        ("boot.autostart", "yes"),
        ("environment.LANG", "C.UTF-8"),
        ("user.note", "mine"),
        ("image.os", "Debian"),
    ]))
    .unwrap();
    assert_eq!(effective.limits.memory, Some(MemoryLimit::Bytes(512 << 20)));
    assert_eq!(effective.limits.cpu, Some(CpuLimit::Count(2)));
    assert_eq!(effective.limits.processes, Some(500));
    assert_eq!(effective.boot.autostart, Some(true));
    assert_eq!(effective.environment, map(&[("LANG", "C.UTF-8")]));
    assert_eq!(effective.notes, map(&[("image.os", "Debian"), ("user.note", "mine")]));
    assert_eq!(effective.root.pool, "default");
    assert_eq!((effective.nics.len(), effective.nics[0].name.as_str()), (1, "eth0"));
}

#[test]
fn an_unknown_key_is_refused_in_lxds_words() {
    assert_eq!(
        refused(&[("bad.key", "1")]),
        "Unknown configuration key: bad.key: see sc config set --help"
    );
    assert_eq!(
        refused(&[("limits.memroy", "1")]),
        "Unknown configuration key: limits.memroy (did you mean \"limits.memory\"?)"
    );
    assert_eq!(
        refused(&[("bad.key", "")]),
        "Unknown configuration key: bad.key: see sc config set --help"
    );
}

#[test]
fn every_key_that_is_not_honoured_is_refused_by_name() {
    for key in crate::keys().iter().filter(|key| key.status == Status::Refused) {
        let name = key.name.replace('*', "x");
        let own = own(&[(&name, "1")]);
        let profile = Layer { name: "p", config: &ConfigMap::new(), devices: &devices() };
        let err = check_instance(&[profile], &own, Origin::Daemon).unwrap_err();
        assert!(err.to_string().starts_with(&format!("{name} is a known key")), "{err}");
    }
}

#[test]
fn a_key_set_to_nothing_is_not_set() {
    check(&own(&[("limits.memory", ""), ("security.nesting", "")])).unwrap();
}

#[test]
fn a_wrong_value_names_key_value_and_remedy() {
    for (key, value, remedy) in [
        ("limits.memory", "much", "whole number"),
        ("limits.cpu", "0", "0-0"),
        ("limits.processes", "0", "from 1 to 4194304"),
        ("limits.processes", "4194305", "from 1 to 4194304"),
        ("boot.autostart", "maybe", "true or false"),
    ] {
        let text = refused(&[(key, value)]);
        assert!(text.contains(key) && text.contains(value) && text.contains(remedy), "{text}");
    }
    assert!(refused(&[("environment.A=B", "1")]).contains("environment.A=B"));
    assert!(refused(&[("environment.A", "a\0b")]).contains("zero byte"));
}

#[test]
fn an_environment_that_no_program_can_be_started_with_is_refused_by_its_key() {
    let large = "x".repeat(128 << 10);
    let text = refused(&[("environment.LARGE", &large)]);
    assert!(text.contains("environment.LARGE") && text.len() < 300, "{text}");
    let part = "x".repeat(100 << 10);
    let keys: Vec<_> = (0..11).map(|n| format!("environment.N{n}")).collect();
    let many: Vec<_> = keys.iter().map(|key| (key.as_str(), part.as_str())).collect();
    assert!(refused(&many).contains("1 MiB"));
    assert!(check(&own(&many[..10])).is_ok());
}

#[test]
fn an_instance_needs_a_root_disk_and_one_only() {
    let origin = Origin::Daemon;
    let none = check_instance(&[], &Settings::default(), origin);
    assert_eq!(none.unwrap_err(), Error::NoRoot);
    let mut two = own(&[]);
    two.devices.insert("other".into(), map(&[("type", "disk"), ("path", "/"), ("pool", "p2")]));
    assert!(check(&two).unwrap_err().to_string().contains("root disk already"));
}

#[test]
fn a_device_of_type_none_takes_the_profiles_away() {
    let mut without = own(&[]);
    without.devices.insert("eth0".into(), map(&[("type", "none")]));
    assert_eq!(check(&without).unwrap().nics, []);
}

#[test]
fn an_own_device_replaces_the_profiles_whole() {
    let mut with = own(&[]);
    let nic = map(&[("type", "nic"), ("network", "other0"), ("name", "lan")]);
    with.devices.insert("eth0".into(), nic);
    let nics = check(&with).unwrap().nics;
    assert_eq!((nics[0].network.as_str(), nics[0].name.as_str()), ("other0", "lan"));
}

#[test]
fn nics_get_the_first_free_names_and_what_was_kept() {
    let mut with = own(&[("volatile.a.hwaddr", "00:16:3e:00:00:0a")]);
    with.devices.insert("a".into(), map(&[("type", "nic"), ("network", "scbr0")]));
    with.devices
        .insert("b".into(), map(&[("type", "nic"), ("network", "scbr0"), ("name", "eth0")]));
    let effective = check(&with).unwrap();
    let names: Vec<_> =
        effective.nics.iter().map(|nic| (nic.device.as_str(), nic.name.as_str())).collect();
    assert_eq!(names, [("a", "eth1"), ("b", "eth0"), ("eth0", "eth2")]);
    assert_eq!(effective.nics[0].hwaddr.as_deref(), Some("00:16:3e:00:00:0a"));
}

#[test]
fn two_devices_cannot_have_the_same_place() {
    let nic = map(&[("type", "nic"), ("network", "scbr0"), ("hwaddr", "00:16:3e:00:00:01")]);
    let disk = map(&[("type", "disk"), ("source", "/srv"), ("path", "/data")]);
    for device in [nic, disk] {
        let mut with = own(&[]);
        with.devices.insert("one".into(), device.clone());
        with.devices.insert("two".into(), device);
        assert!(matches!(check(&with), Err(Error::Device { .. })), "{with:?}");
    }
}

#[test]
fn inner_disks_come_after_outer_ones() {
    let mut with = own(&[]);
    for (name, path) in [("a", "/data/inner"), ("z", "/data")] {
        let disk = map(&[("type", "disk"), ("source", "/srv"), ("path", path)]);
        with.devices.insert(name.into(), disk);
    }
    let disks = check(&with).unwrap().disks;
    assert_eq!(disks.iter().map(|disk| disk.device.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

#[test]
fn a_profile_holds_no_records_and_needs_no_root() {
    check_profile(&map(&[("limits.cpu", "1")]), &DeviceMap::new()).unwrap();
    for key in ["volatile.uuid", "image.os"] {
        let err = check_profile(&map(&[(key, "x")]), &DeviceMap::new()).unwrap_err();
        assert!(matches!(err, Error::InstanceOnly { .. }), "{err}");
    }
    assert!(check_profile(&map(&[("security.nesting", "true")]), &DeviceMap::new()).is_err());
    let device = DeviceMap::from([("gpu0".to_owned(), map(&[("type", "gpu")]))]);
    assert!(check_profile(&ConfigMap::new(), &device).is_err());
}

#[test]
fn a_profile_is_applied_once() {
    let (config, devices) = (ConfigMap::new(), devices());
    let profile = Layer { name: "default", config: &config, devices: &devices };
    let err = check_instance(&[profile, profile], &own(&[]), Origin::Daemon).unwrap_err();
    assert_eq!(err, Error::DuplicateProfile { profile: "default".into() });
}

#[test]
fn a_client_may_send_records_back_but_not_change_them() {
    let before = map(&[("volatile.last_state.power", "RUNNING"), ("user.a", "1")]);
    let devices = devices();
    let profile = Layer { name: "default", config: &ConfigMap::new(), devices: &devices };
    let check = |pairs: &[(&str, &str)], origin| check_instance(&[profile], &own(pairs), origin);
    let client = Origin::Client { before: &before };
    check(&[("volatile.last_state.power", "RUNNING")], client).unwrap();
    check(&[("volatile.eth0.hwaddr", "00:16:3e:00:00:0b")], client).unwrap();
    for changed in [
        ("volatile.last_state.power", "STOPPED"),
        ("volatile.base_image", "x"),
        ("volatile.last_state.power", ""),
    ] {
        let err = check(&[changed], client).unwrap_err();
        assert_eq!(err, Error::DaemonOnly { key: changed.0.into() });
    }
    check(&[("volatile.last_state.power", "STOPPED")], Origin::Daemon).unwrap();
    let unknown = check(&[("volatile.nonsense", "1")], Origin::Daemon).unwrap_err();
    let nonsense = "Unknown configuration key: volatile.nonsense: see sc config set --help";
    assert_eq!(unknown.to_string(), nonsense);

    let mut put = map(&[("user.b", "2")]);
    keep_volatile(&before, &mut put);
    assert_eq!(put, map(&[("user.b", "2"), ("volatile.last_state.power", "RUNNING")]));
}

#[test]
fn a_key_with_control_characters_is_refused_unless_it_is_there() {
    let key = "user.a\nb";
    let (before, devices) = (map(&[(key, "1")]), devices());
    let profile = Layer { name: "default", config: &ConfigMap::new(), devices: &devices };
    let none = ConfigMap::new();
    let check = |before| {
        check_instance(&[profile], &own(&[(key, "2")]), Origin::Client { before }).map(drop)
    };
    let refused = "Unknown configuration key: user.a\\nb: a key has no control characters";
    assert_eq!(check(&none).unwrap_err().to_string(), refused);
    check(&before).unwrap();
    assert_eq!(check_profile(&before, &devices).unwrap_err().to_string(), refused);
}

#[test]
fn limits_and_environment_change_live() {
    let before = check(&own(&[("limits.memory", "1GiB"), ("limits.cpu", "2")])).unwrap();
    let after = check(&own(&[
        ("limits.memory", "50%"),
        ("limits.processes", "9"),
        ("environment.A", "1"),
        ("boot.autostart", "true"),
        ("user.note", "x"),
    ]))
    .unwrap();
    let diff = diff(&before, &after);
    assert_eq!(
        diff.live,
        [
            Change::Memory(Some(MemoryLimit::Percent(50))),
            Change::Cpu(None),
            Change::Processes(Some(9)),
            Change::Environment(map(&[("A", "1")])),
            Change::Boot(Boot { autostart: Some(true), ..Boot::default() }),
            Change::Notes,
        ]
    );
    assert!(diff.refusal(true).is_none());
}

#[test]
fn devices_change_only_while_stopped_and_the_pool_never() {
    let before = check(&own(&[])).unwrap();
    let mut with = own(&[]);
    with.devices.insert("eth1".into(), map(&[("type", "nic"), ("network", "scbr0")]));
    let added = diff(&before, &check(&with).unwrap());
    assert!(added.refusal(false).is_none());
    assert_eq!(added.refusal(true).unwrap().what, "device \"eth1\"");

    let mut moved = own(&[]);
    moved.devices.insert("root".into(), map(&[("type", "disk"), ("path", "/"), ("pool", "p2")]));
    let moved = diff(&before, &check(&moved).unwrap());
    assert!(moved.refusal(false).unwrap().why.contains("p2"));
}

/// Keys and values of which many are right or nearly so.
fn any_config() -> impl Strategy<Value = ConfigMap> {
    let key = prop_oneof![
        3 => (0..crate::keys().len()).prop_map(|at| crate::keys()[at].name.replace('*', "x")),
        3 => prop_oneof![Just("limits.memory"), Just("limits.cpu"), Just("limits.processes"),
            Just("environment.A"), Just("user.a"), Just("boot.autostart")]
            .prop_map(str::to_owned),
        1 => "\\PC{0,40}",
    ];
    proptest::collection::btree_map(key, any_value(), 0..4)
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => "[0-9]{1,4}(MiB|GiB|%)?",
        1 => "[0-9,-]{1,12}",
        1 => prop_oneof![Just("true"), Just("false"), Just(""), Just("/"), Just("scbr0"),
            Just("default"), Just("/srv")].prop_map(str::to_owned),
        1 => "\\PC{0,40}",
    ]
}

fn any_devices() -> impl Strategy<Value = DeviceMap> {
    let key = prop_oneof![
        4 => prop_oneof![Just("network"), Just("path"), Just("pool"), Just("source"), Just("name"),
            Just("hwaddr"), Just("mtu"), Just("readonly")].prop_map(str::to_owned),
        1 => "\\PC{0,20}",
    ];
    let keys = proptest::collection::btree_map(key, any_value(), 0..4);
    let kind =
        prop_oneof![3 => Just("nic"), 3 => Just("disk"), 1 => Just("none"), 1 => Just("gpu")];
    let device = (kind, keys).prop_map(|(kind, mut keys)| {
        keys.insert("type".to_owned(), kind.to_owned());
        keys
    });
    proptest::collection::btree_map("[a-z0-9]{1,4}|\\PC{0,8}", device, 0..3)
}

fn settings() -> impl Strategy<Value = Settings> {
    (any_config(), any_devices()).prop_map(|(config, devices)| Settings { config, devices })
}

proptest! {
    #[test]
    fn whatever_comes_in_is_allowed_or_refused(own in settings(), profile in settings()) {
        let devices = devices();
        let base = Layer { name: "base", config: &ConfigMap::new(), devices: &devices };
        let layer = Layer { name: "p", config: &profile.config, devices: &profile.devices };
        let _ = check_profile(&profile.config, &profile.devices);
        let before = ConfigMap::new();
        if let Ok(effective) =
            check_instance(&[base, layer], &own, Origin::Client { before: &before })
        {
            let expanded = expand(&[base, layer], &own);
            for (name, value) in &expanded.config {
                let key = find(name).unwrap();
                prop_assert_eq!(key.status, Status::Honoured, "{} = {}", name, value);
            }
            prop_assert!(diff(&effective, &effective).is_empty());
        }
    }

    #[test]
    fn the_last_to_set_a_key_wins(layers in proptest::collection::vec(settings(), 1..5)) {
        let names: Vec<_> = (0..layers.len()).map(|n| n.to_string()).collect();
        let (own, profiles) = layers.split_last().unwrap();
        let profiles: Vec<_> = profiles
            .iter()
            .zip(&names)
            .map(|(s, name)| Layer { name, config: &s.config, devices: &s.devices })
            .collect();
        let expanded = expand(&profiles, own);
        for (key, value) in &expanded.config {
            let last = layers.iter().rev().find_map(|s| s.config.get(key).filter(|v| !v.is_empty()));
            prop_assert_eq!(Some(value), last);
        }
        for name in layers.iter().flat_map(|s| s.devices.keys()) {
            let last = layers.iter().rev().find_map(|s| s.devices.get(name)).unwrap();
            let set = last.iter().filter(|(_, v)| !v.is_empty());
            let set: ConfigMap = set.map(|(k, v)| (k.clone(), v.clone())).collect();
            prop_assert_eq!(&expanded.devices[name], &set);
        }
        // Merging in two steps comes to the same.
        if let Some((first, rest)) = profiles.split_first() {
            let first = Settings { config: first.config.clone(), devices: first.devices.clone() };
            let first = expand(&[], &first);
            let layer = Layer { name: "first", config: &first.config, devices: &first.devices };
            let again: Vec<_> = std::iter::once(layer).chain(rest.iter().copied()).collect();
            prop_assert_eq!(expand(&again, own), expanded);
        }
    }
}
