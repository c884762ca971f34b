//! The engine that renders templates, bounded in what it takes and gives.

use std::io::{self, Write};

use minijinja::{
    Environment, UndefinedBehavior, Value,
    syntax::SyntaxConfig,
    value::{Rest, ValueKind},
};
use sc_api::plain;

use super::{Context, dialect};

/// How long a template may be, in bytes.
pub(super) const MAX_SOURCE: usize = 256 << 10;

/// How long what it renders to may be, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// How many steps its rendering may take.
const FUEL: u64 = 100_000;

/// Makes an engine for the templates of one instance.
pub(super) fn new(context: &Context<'_>) -> Environment<'static> {
    // Only what is added here: the engine's own filters and functions include some that build values
    // of any size in one step.
    let mut engine = Environment::empty();
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    let syntax = syntax.expect("Jinja's own delimiters are valid");
    engine.set_fuel(Some(FUEL));
    engine.set_syntax(syntax);
    // What is not there renders to nothing, as in pongo2.
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.add_filter(
        "default",
        |value: Value, other: Value| {
            if value.is_true() { value } else { other }
        },
    );
    // Nothing is escaped to begin with.
    engine.add_filter("safe", |value: Value| value);
    engine.add_filter("lower", |text: String| text.to_lowercase());
    engine.add_filter("upper", |text: String| text.to_uppercase());
    engine.add_filter("trim", |text: String| text.trim().to_owned());
    engine.add_filter(
        "cut",
        |text: String, part: String| {
            if part.is_empty() { text } else { text.replace(&part, "") }
        },
    );
    engine.add_filter("length", |value: Value| value.len().unwrap_or_default());
    engine.add_filter("items", items);
    engine.add_global("on", true);
    engine.add_global("off", false);
    let config = context.config.clone();
    engine.add_function("config_get", move |key: String, default: Rest<Value>| {
        match config.get(&key) {
            Some(value) => Value::from(value.trim_end_matches(['\r', '\n'])),
            None => default.first().cloned().unwrap_or_else(|| Value::from("")),
        }
    });
    engine
}

/// Keys and values of a map; nothing of anything else.
fn items(value: Value) -> Value {
    if value.kind() != ValueKind::Map {
        return Value::from(Vec::<Value>::new());
    }
    let keys = value.try_iter().into_iter().flatten();
    keys.map(|key| {
        let item = value.get_item(&key).unwrap_or_default();
        Value::from(vec![key, item])
    })
    .collect()
}

/// Renders a template; `Err` says what is wrong with it.
pub(super) fn expand(
    engine: &Environment<'_>,
    source: &str,
    values: &Value,
) -> Result<Vec<u8>, String> {
    if source.len() > MAX_SOURCE {
        return Err(format!("it is longer than {MAX_SOURCE} bytes"));
    }
    let jinja = dialect::translate(source)
        .map_err(|refusal| format!("line {}: {}", refusal.line, refusal.reason))?;
    let mut output = Bounded(Vec::new());
    let told = |error: minijinja::Error| {
        let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
        let text = match (error.kind(), error.detail()) {
            (minijinja::ErrorKind::WriteFailure, _) => {
                format!("it renders to more than {MAX_OUTPUT} bytes")
            }
            (minijinja::ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
            (kind, None) => kind.to_string(),
            (kind, Some(detail)) => format!("{kind}: {detail}"),
        };
        format!("{line}{}", plain(&text, 300))
    };
    let template = engine.template_from_str(&jinja).map_err(told)?;
    template.render_captured_to(values, &mut output).map_err(told)?;
    Ok(output.0)
}

/// A buffer that takes no more than [`MAX_OUTPUT`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
