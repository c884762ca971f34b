//! From pongo2's way of writing templates to Jinja's, and what a template may say at all.
//!
//! A template comes from an image, which anyone may have made, and is rendered in the daemon. The
//! engine bounds its steps and its output; what is left is values that grow while nothing is written,
//! so there is nothing here that makes a value from several others: no operator that joins texts, no
//! lists, no maps, no blocks captured in a variable.

use sc_api::quoted;

/// Why a template is refused: the line, counted from one, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) line: usize,
    pub(super) reason: String,
}

/// The statements there are.
const STATEMENTS: [&str; 9] =
    ["if", "elif", "else", "endif", "for", "endfor", "set", "autoescape", "endautoescape"];

/// Words that are operators, so that what follows in parentheses is no call's arguments.
const WORDS: [&str; 7] = ["and", "or", "not", "in", "if", "elif", "is"];

/// Operators that are written as they are, longest first.
const OPERATORS: [&str; 17] =
    ["==", "!=", "<=", ">=", "//", "<", ">", "=", "-", "/", "%", "|", ".", ",", "(", ")", ":"];

/// Rewrites a template, or says what in it is not supported.
pub(super) fn translate(source: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(source.len() + 64);
    let mut rest = source;
    while let Some(start) = tag_start(rest) {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let refuse = |reason: String| Refusal {
            line: source[..source.len() - tag.len()].matches('\n').count() + 1,
            reason,
        };
        let (open, inner) = tag.split_at(2);
        if open == "{#" {
            let end = inner.find("#}").ok_or_else(|| refuse("a comment has no end".into()))?;
            // Line numbers stay as they are.
            out.extend(inner[..end].chars().filter(|c| *c == '\n').map(|_| "{#\n#}"));
            rest = &inner[end + 2..];
            continue;
        }
        let close = if open == "{{" { "}}" } else { "%}" };
        let (tokens, after) = tokens(inner, close).map_err(refuse)?;
        let body = if open == "{{" { expression(&tokens) } else { statement(&tokens) };
        out.push_str(open);
        out.push_str(&body.map_err(refuse)?);
        out.push_str(close);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn tag_start(text: &str) -> Option<usize> {
    let mut braces = text.match_indices('{').map(|(at, _)| at);
    braces.find(|at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'s> {
    Space(&'s str),
    /// With its quotes.
    Text(&'s str),
    /// A name or a number.
    Word(&'s str),
    Operator(&'s str),
}

/// Splits the inside of a tag; returns what follows the tag as well.
fn tokens<'s>(inner: &'s str, close: &str) -> Result<(Vec<Token<'s>>, &'s str), String> {
    let mut tokens = Vec::new();
    let mut rest = inner;
    // The sign that swallows white space before the tag.
    if let Some(after) = rest.strip_prefix('-') {
        tokens.push(Token::Space("-"));
        rest = after;
    }
    loop {
        if let Some(after) = rest.strip_prefix('-').and_then(|after| after.strip_prefix(close)) {
            tokens.push(Token::Space("-"));
            return Ok((tokens, after));
        }
        if let Some(after) = rest.strip_prefix(close) {
            return Ok((tokens, after));
        }
        let first = rest.chars().next().ok_or_else(|| format!("a tag has no {close}"))?;
        let until = |end: fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
        let (token, length) = if first.is_whitespace() {
            let length = until(|c| !c.is_whitespace());
            (Token::Space(&rest[..length]), length)
        } else if first == '"' || first == '\'' {
            let length = text_length(rest, first).ok_or("a text has no closing quote")?;
            (Token::Text(&rest[..length]), length)
        } else if first.is_alphanumeric() || first == '_' {
            let length = until(|c| !c.is_alphanumeric() && c != '_');
            (Token::Word(&rest[..length]), length)
        } else {
            let (operator, length) = operator(rest).ok_or_else(|| {
                format!("{} is not supported in templates", quoted(&first.to_string()))
            })?;
            (Token::Operator(operator), length)
        };
        tokens.push(token);
        rest = &rest[length..];
    }
}

/// The length of a quoted text, quotes included.
fn text_length(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The operator at the start, as Jinja writes it, and its length as it stands.
fn operator(rest: &str) -> Option<(&'static str, usize)> {
    if rest.starts_with("&&") {
        return Some((" and ", 2));
    }
    if rest.starts_with("||") {
        return Some((" or ", 2));
    }
    if rest.starts_with('!') && !rest.starts_with("!=") {
        return Some((" not ", 1));
    }
    OPERATORS
        .into_iter()
        .find(|operator| rest.starts_with(operator))
        .map(|operator| (operator, operator.len()))
}

fn statement(tokens: &[Token<'_>]) -> Result<String, String> {
    let name = tokens.iter().find_map(|token| match token {
        Token::Word(word) => Some(*word),
        _ => None,
    });
    match name {
        Some("for") => for_statement(tokens),
        Some(name) if STATEMENTS.contains(&name) => expression(tokens),
        Some(name) => {
            let known = STATEMENTS.join(", ");
            let name = quoted(name);
            Err(format!("the tag {name} is not supported in templates: there are {known}"))
        }
        None => Err("a tag has no name".into()),
    }
}

/// `for a in x`, and `for a, b in x`, which in pongo2 goes over keys and values.
fn for_statement(tokens: &[Token<'_>]) -> Result<String, String> {
    let at = tokens
        .iter()
        .position(|token| *token == Token::Word("in"))
        .ok_or("the tag \"for\" has no \"in\"")?;
    if tokens.contains(&Token::Word("recursive")) {
        return Err("recursion is not supported in templates".into());
    }
    let (variables, over) = tokens.split_at(at);
    if !variables.contains(&Token::Operator(",")) {
        return expression(tokens);
    }
    let variables: String = variables.iter().map(|token| token.text()).collect();
    let over = expression(&over[1..])?;
    let bare = over.trim_end_matches([' ', '-']);
    Ok(format!("{variables}in{bare}|items{}", &over[bare.len()..]))
}

/// Any other inside of a tag.
fn expression(tokens: &[Token<'_>]) -> Result<String, String> {
    let mut expression = Expression::default();
    for token in tokens {
        match token {
            Token::Space(space) => expression.out.push_str(space),
            _ => expression.take(*token)?,
        }
    }
    expression.finish()
}

/// An inside of a tag being rewritten: filters' arguments get parentheses (`x|default:"y"`).
#[derive(Default)]
struct Expression<'s> {
    out: String,
    /// For every open parenthesis, whether it holds a call's arguments.
    calls: Vec<bool>,
    /// The last two tokens, spaces aside.
    earlier: Option<Token<'s>>,
    before: Option<Token<'s>>,
    argument: Argument,
}

impl<'s> Expression<'s> {
    fn take(&mut self, token: Token<'s>) -> Result<(), String> {
        self.argument = match self.argument.next(token, self.before) {
            Argument::Ended => {
                // Before the spaces, which may end with the sign that swallows those after the tag.
                self.out.insert(self.out.trim_end().len(), ')');
                Argument::None
            }
            other => other,
        };
        let after_name = matches!(self.before, Some(Token::Word(word)) if !WORDS.contains(&word));
        match token {
            Token::Operator(":") if self.earlier == Some(Token::Operator("|")) && after_name => {
                self.argument = Argument::Awaited;
                self.out.push('(');
            }
            Token::Operator(":") => {
                return Err("\":\" is only supported before a filter's argument".into());
            }
            Token::Operator(",") if self.calls.last() != Some(&true) => {
                return Err("lists are not supported in templates".into());
            }
            _ => self.out.push_str(token.text()),
        }
        match token {
            Token::Operator("(") => self.calls.push(after_name),
            Token::Operator(")") => drop(self.calls.pop()),
            _ => {}
        }
        (self.earlier, self.before) = (self.before, Some(token));
        Ok(())
    }

    fn finish(mut self) -> Result<String, String> {
        match self.argument {
            Argument::Awaited => return Err("a filter's argument is missing".into()),
            Argument::Begun => self.out.insert(self.out.trim_end_matches([' ', '-']).len(), ')'),
            Argument::None | Argument::Ended => {}
        }
        Ok(self.out)
    }
}

/// An argument of a filter: a text, a number, or a name with dots.
#[derive(Clone, Copy, Default)]
enum Argument {
    #[default]
    None,
    Awaited,
    Begun,
    Ended,
}

impl Argument {
    fn next(self, token: Token<'_>, before: Option<Token<'_>>) -> Self {
        let dot = Token::Operator(".");
        match self {
            Self::Awaited if matches!(token, Token::Text(_) | Token::Word(_)) => Self::Begun,
            Self::Begun if token != dot && before != Some(dot) => Self::Ended,
            other => other,
        }
    }
}

impl<'s> Token<'s> {
    fn text(self) -> &'s str {
        match self {
            Self::Space(text) | Self::Text(text) | Self::Word(text) | Self::Operator(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_write_alike_stays_as_it_is() {
        for source in [
            "plain { text } 100%\n",
            "{{ container.name }}\n",
            "{{ config_get(\"user.x\", 'a {{ b }} \\' c') }}",
            "{%- if a == \"b\" -%}x{% elif not c %}y{% else %}z{% endif %}",
            "{% for key in config %}{{ key }}{% endfor %}",
            "{% set x = 1 - 2 %}{{x}}",
        ] {
            assert_eq!(translate(source).as_deref(), Ok(source));
        }
    }

    #[test]
    fn what_pongo2_writes_otherwise_is_rewritten() {
        for (source, jinja) in [
            ("{{ a|default:\"x: y\" }}", "{{ a|default(\"x: y\") }}"),
            ("{{ a | default : b.c | safe -}}", "{{ a | default ( b.c) | safe -}}"),
            ("{{ a|default:b -}}", "{{ a|default(b) -}}"),
            ("{{ f(a|default:1, b) }}", "{{ f(a|default(1), b) }}"),
            ("{% if a && !b || c != d %}", "{% if a  and   not b  or  c != d %}"),
            ("{% for k, v in config -%}", "{% for k, v in config|items -%}"),
            ("a{# b\n {{ c }} #}d", "a{#\n#}d"),
        ] {
            assert_eq!(translate(source).as_deref(), Ok(jinja));
        }
    }

    #[test]
    fn what_could_grow_without_bounds_is_refused() {
        for source in [
            "{% set a = a ~ a %}",
            "{{ a + a }}",
            "{{ \"x\" * 1000000000 }}",
            "{% set a = [a, a] %}",
            "{% set a = (a, a) %}",
            "{% set a = a, a %}",
            "{% for a in (a, a) %}",
            "{% for a in b recursive %}",
            "{% if a and (a, a) == b %}",
            "{% set a = {\"b\": a} %}",
            "{% filter upper %}x{% endfilter %}",
            "{% macro m() %}{% endmacro %}",
            "{% include \"/etc/shadow\" %}",
            "{% raw %}",
        ] {
            let refusal = translate(source).unwrap_err();
            assert!(refusal.reason.contains("support"), "{source}: {refusal:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_line() {
        let refusal = translate("one\ntwo {{ a }}\nthree {{ a @ b }}").unwrap_err();
        assert_eq!(refusal.line, 3);
        for source in ["{{ a", "{% if \"x %}", "{# x", "{% %}", "{{ a|default: }}", "{{ a : b }}"] {
            assert!(translate(source).is_err(), "{source}");
        }
    }
}
