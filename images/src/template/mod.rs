//! Templates: files that an image wants written for each new instance.
//!
//! LXD's are written for pongo2, whose everyday syntax is Jinja's; `dialect` rewrites the rest and
//! keeps out what could harm the daemon. Templates see what LXD's see: `instance` (also called
//! `container`) with name, type, architecture, `privileged` and `ephemeral` ("true" or "false"), and
//! configuration; `config`, `devices`, `properties`, `path`, `trigger`; and `config_get(key, default)`.

mod dialect;
mod engine;

use std::collections::BTreeMap;

use minijinja::{Value, context};
use sc_api::quoted;

use crate::{
    Error, Result,
    metadata::{Metadata, Template, When},
};

/// What a template may know of the instance.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The instance's name.
    pub name: &'a str,
    /// The instance's merged configuration.
    pub config: &'a BTreeMap<String, String>,
    /// The instance's merged devices.
    pub devices: &'a BTreeMap<String, BTreeMap<String, String>>,
    /// "x86_64" and so on.
    pub architecture: &'a str,
    /// Whether the instance is privileged.
    pub privileged: bool,
    /// Whether the instance is ephemeral.
    pub ephemeral: bool,
}

/// A file to write inside the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// The absolute path inside the instance.
    pub path: String,
    /// The file's content.
    pub content: Vec<u8>,
    /// The file's permission bits.
    pub mode: u32,
    /// The file's owner inside the instance.
    pub uid: u32,
    /// The file's group inside the instance.
    pub gid: u32,
    /// Leave a file alone that is already there.
    pub create_only: bool,
}

/// Renders the templates of an image that are due on `when`. `sources` are the files of the image's
/// `templates/` folder by name.
pub fn render(
    metadata: &Metadata,
    sources: &BTreeMap<String, String>,
    when: When,
    context: &Context<'_>,
) -> Result<Vec<RenderedFile>> {
    let due = metadata.templates.iter().filter(|(_, template)| template.when.contains(&when));
    let mut engine = None;
    due.map(|(path, template)| {
        let fail = |reason: String| Error::Template {
            name: template.template.clone(),
            reason: format!("{reason} (for {})", quoted(path)),
        };
        let source = sources
            .get(&template.template)
            .ok_or_else(|| fail("the image has no such file in templates/".into()))?;
        let engine = engine.get_or_insert_with(|| engine::new(context));
        let values = values(path, template, when, context);
        Ok(RenderedFile {
            path: path.clone(),
            content: engine::expand(engine, source, &values).map_err(fail)?,
            mode: template
                .file_mode()
                .ok_or_else(|| fail(format!("{} is no octal mode", quoted(&template.mode))))?,
            uid: template.uid,
            gid: template.gid,
            create_only: template.create_only,
        })
    })
    .collect()
}

fn values(path: &str, template: &Template, when: When, context: &Context<'_>) -> Value {
    // Truth values are texts, which templates compare with "true" and "false".
    let instance = Value::from_pairs([
        ("name", Value::from(context.name)),
        ("type", Value::from("container")),
        ("architecture", Value::from(context.architecture)),
        ("privileged", Value::from(context.privileged.to_string())),
        ("ephemeral", Value::from(context.ephemeral.to_string())),
        ("config", Value::from_pairs(context.config)),
    ]);
    context! {
        trigger => match when {
            When::Create => "create",
            When::Copy => "copy",
            When::Start => "start",
            When::Rename => "rename",
        },
        path => path,
        container => instance.clone(),
        instance => instance,
        config => context.config,
        devices => context.devices,
        properties => &template.properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn rendered_with(
        source: &str,
        config: &[(&str, &str)],
        properties: &[(&str, &str)],
    ) -> Result<String> {
        let template = Template {
            when: vec![When::Create, When::Copy],
            template: "x.tpl".into(),
            properties: map(properties),
            ..Template::default()
        };
        let metadata = Metadata {
            templates: BTreeMap::from([("/etc/x".into(), template)]),
            ..Metadata::default()
        };
        let nic = map(&[("type", "nic"), ("network", "scbr0")]);
        let context = Context {
            name: "web1",
            config: &map(config),
            devices: &BTreeMap::from([("eth0".to_owned(), nic)]),
            architecture: "x86_64",
            privileged: false,
            ephemeral: false,
        };
        let files = render(&metadata, &map(&[("x.tpl", source)]), When::Create, &context)?;
        assert_eq!(files.len(), 1);
        Ok(String::from_utf8(files[0].content.clone()).unwrap())
    }

    fn rendered(source: &str, config: &[(&str, &str)]) -> String {
        rendered_with(source, config, &[]).unwrap()
    }

    #[test]
    fn stock_hostname_and_hosts_are_rendered_with_their_last_newline() {
        assert_eq!(rendered("{{ container.name }}\n", &[]), "web1\n");
        let hosts = "127.0.0.1   localhost\n127.0.1.1\t{{ container.name }}\n\n\
                     # IPv6\n::1     localhost ip6-localhost ip6-loopback\n";
        assert_eq!(rendered(hosts, &[]), hosts.replace("{{ container.name }}", "web1"));
    }

    #[test]
    fn stock_cloud_init_templates_take_configuration_or_their_default() {
        let user = "{{ config_get(\"user.user-data\", properties.default) }}";
        let default = [("default", "#cloud-config\n{}")];
        assert_eq!(rendered_with(user, &[], &default).unwrap(), "#cloud-config\n{}");
        let data = [("user.user-data", "#cloud-config\npackages: [<b>&\"c\"]\n")];
        assert_eq!(
            rendered_with(user, &data, &default).unwrap(),
            "#cloud-config\npackages: [<b>&\"c\"]"
        );
        let meta = "#cloud-config\ninstance-id: {{ container.name }}\n\
                    local-hostname: {{ container.name }}\n{{ config_get(\"user.meta-data\", \"\") }}\n";
        assert_eq!(
            rendered(meta, &[]),
            "#cloud-config\ninstance-id: web1\nlocal-hostname: web1\n\n"
        );
    }

    #[test]
    fn the_stock_network_template_takes_each_of_its_branches() {
        let network = "\
{% if config_get(\"user.network-config\", \"\") == \"\" %}version: 1
config:
  - type: physical
    name: {% if instance.type == \"virtual-machine\" %}enp5s0{% else %}eth0{% endif %}
    subnets:
      - type: {% if config_get(\"user.network_mode\", \"\") == \"link-local\" %}manual{% else %}dhcp{% endif %}
        control: auto{% else %}{{ config_get(\"user.network-config\", \"\") }}{% endif %}
";
        let stock = rendered(network, &[]);
        assert!(stock.contains("name: eth0\n") && stock.contains("type: dhcp\n"), "{stock}");
        let local = rendered(network, &[("user.network_mode", "link-local")]);
        assert!(local.contains("type: manual\n"), "{local}");
        let own = rendered(network, &[("user.network-config", "version: 2\n")]);
        assert_eq!(own, "version: 2\n");
    }

    #[test]
    fn values_and_filters_are_those_of_lxd() {
        for (source, text) in [
            ("{{ trigger }} {{ path }}", "create /etc/x"),
            ("{{ instance.type }}/{{ container.architecture }}", "container/x86_64"),
            ("{% if instance.ephemeral == \"false\" %}stays{% endif %}", "stays"),
            ("{{ instance.config.a }}{{ config.a }}", "11"),
            ("{{ config.b|default:\"none\" }} {{ config.a|default(\"none\") }}", "none 1"),
            ("{{ config.empty|default:\"<none>\"|safe }}", "<none>"),
            ("{{ devices.eth0.network|upper }} {{ devices.eth9.network }}", "SCBR0 "),
            ("{% for k, v in config %}{{ k }}={{ v }};{% endfor %}", "a=1;empty=;"),
            ("{{ \"a-b-c\"|cut:\"-\" }}{{ \" a \"|trim }}{{ config|length }}", "abca2"),
            ("{% for name in devices %}{{ name }}{% endfor %}", "eth0"),
            ("{% autoescape off %}{{ \"<\" }}{% endautoescape %}", "<"),
            ("{% set x = config_get(\"a\") %}{{ x }}{{ config_get(\"zz\") }}", "1"),
        ] {
            assert_eq!(rendered(source, &[("a", "1"), ("empty", "")]), text, "{source}");
        }
    }

    #[test]
    fn only_templates_of_the_event_are_rendered_with_their_owner_and_mode() {
        let template = |when, mode: &str| Template {
            when: vec![when],
            create_only: true,
            template: "x.tpl".into(),
            uid: 33,
            gid: 34,
            mode: mode.into(),
            ..Template::default()
        };
        let metadata = Metadata {
            templates: BTreeMap::from([
                ("/a".to_owned(), template(When::Start, "0600")),
                ("/b".to_owned(), template(When::Create, "")),
            ]),
            ..Metadata::default()
        };
        let (config, devices) = (BTreeMap::new(), BTreeMap::new());
        let context = Context {
            name: "web1",
            config: &config,
            devices: &devices,
            architecture: "x86_64",
            privileged: false,
            ephemeral: true,
        };
        let sources = map(&[("x.tpl", "{{ instance.ephemeral }}")]);
        let files = render(&metadata, &sources, When::Start, &context).unwrap();
        let expected = RenderedFile {
            path: "/a".into(),
            content: b"true".to_vec(),
            mode: 0o600,
            uid: 33,
            gid: 34,
            create_only: true,
        };
        assert_eq!(files, [expected]);
        let error = render(&metadata, &BTreeMap::new(), When::Start, &context).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("x.tpl") && text.contains("no such file"), "{text}");
    }

    #[test]
    fn errors_name_template_path_and_line() {
        for (source, part) in [
            ("a\n{% if %}", "line 2"),
            ("a\n{{ x|nosuch }}", "nosuch"),
            ("{{ nosuch() }}", "line 1"),
            ("{% include \"y\" %}", "\"include\" is not supported"),
        ] {
            let text = rendered_with(source, &[], &[]).unwrap_err().to_string();
            assert!(text.starts_with("render template \"x.tpl\": "), "{text}");
            assert!(text.contains(part) && text.contains("/etc/x"), "{text}");
        }
    }

    #[test]
    fn a_template_that_never_ends_or_swells_is_stopped() {
        let pairs: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
        let config: Vec<_> = pairs.iter().map(|key| (key.as_str(), "value")).collect();
        let nested = |body: &str| {
            let (open, close) = ("{% for a in config %}".repeat(6), "{% endfor %}".repeat(6));
            format!("{open}{body}{close}")
        };
        let error = rendered_with(&nested(""), &config, &[]).unwrap_err().to_string();
        assert!(error.contains("too many steps"), "{error}");
        let long = "x".repeat(1000);
        let error = rendered_with(&nested(&long), &config, &[]).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes"), "{error}");
        let error =
            rendered_with(&"x".repeat(engine::MAX_SOURCE + 1), &[], &[]).unwrap_err().to_string();
        assert!(error.contains("longer than"), "{error}");
        let error = rendered_with(&"{% if a %}".repeat(20_000), &[], &[]).unwrap_err().to_string();
        assert!(error.contains("x.tpl"), "{error}");
        let deep = format!("{{{{ {} }}}}", "(".repeat(100_000));
        assert!(rendered_with(&deep, &[], &[]).is_err());
    }
}
