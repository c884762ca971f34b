//! LXD's filter language, as lists take it: `name eq web1 and status eq Running`.
//!
//! Clauses are `FIELD eq|ne VALUE`, joined by `and` and `or` from left to right, each optionally
//! after `not`. A field is a path into the object, `config.user.a` included; values compare
//! without regard to case.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// A filter; the empty one accepts everything.
#[derive(Debug, Default)]
pub struct Filter {
    clauses: Vec<Clause>,
}

#[derive(Debug)]
struct Clause {
    joined_by_or: bool,
    negated: bool,
    field: String,
    value: String,
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: Option<&str>) -> Result<Self> {
        let mut quoted = false;
        let mut last = ' ';
        let ends = |c: char| {
            // A quote within a word is one of its letters.
            quoted = c == '"' && !quoted && last.is_whitespace() || quoted && c != '"';
            last = c;
            !quoted && c.is_whitespace()
        };
        let text = text.unwrap_or_default();
        let words: Vec<_> = text.split(ends).collect();
        if quoted {
            return Err(Error::invalid("Invalid filter: a quote is not closed"));
        }
        let mut words = words.into_iter().filter(|word| !word.is_empty()).peekable();
        let mut clauses = Vec::new();
        let bad = |why: String| Error::invalid(format!("Invalid filter: {why}"));
        while words.peek().is_some() {
            let joined_by_or = match (clauses.is_empty(), words.peek().copied()) {
                (true, _) => false,
                (false, Some("and")) => words.next().is_none(),
                (false, Some("or")) => words.next().is_some(),
                (false, Some(word)) => return Err(bad(format!("{word:?} where and, or was due"))),
                (false, None) => break,
            };
            let negated = words.next_if_eq(&"not").is_some();
            let (Some(field), Some(operator), Some(value)) =
                (words.next(), words.next(), words.next())
            else {
                return Err(bad("a clause is FIELD eq|ne VALUE".into()));
            };
            let negated = match operator {
                "eq" => negated,
                "ne" => !negated,
                other => return Err(bad(format!("{other:?} is no operator: use eq or ne"))),
            };
            let value = value.trim_matches('"').to_owned();
            clauses.push(Clause { joined_by_or, negated, field: field.to_owned(), value });
        }
        Ok(Self { clauses })
    }

    /// Whether it accepts everything.
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// Whether it accepts an object.
    pub fn accepts<T: Serialize>(&self, object: &T) -> bool {
        let object = serde_json::to_value(object).expect("API types serialise");
        let mut accepted = true;
        for clause in &self.clauses {
            let holds = clause.holds(&object);
            accepted = if clause.joined_by_or { accepted || holds } else { accepted && holds };
        }
        accepted
    }
}

impl Clause {
    fn holds(&self, object: &Value) -> bool {
        let found = look_up(object, &self.field);
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        };
        text.eq_ignore_ascii_case(&self.value) != self.negated
    }
}

/// Finds a field by its path; keys may hold dots themselves.
fn look_up<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = object.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| look_up(object.get(&path[..at])?, &path[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepts(filter: &str) -> bool {
        let object = json!({"name": "web1", "status": "Running", "config": {"user.a": "1"}});
        Filter::parse(Some(filter)).unwrap().accepts(&object)
    }

    #[test]
    fn a_value_in_quotes_may_have_blanks() {
        let object = json!({"description": "a b"});
        let accepts = |text| Filter::parse(Some(text)).unwrap().accepts(&object);
        assert!(accepts("description eq \"a b\""));
        assert!(!accepts("description eq \"a  b\" and description ne \"\""));
        assert!(!accepts("description eq 5\" and description eq a"));
        assert!(Filter::parse(Some("description eq \"a b")).is_err());
    }

    #[test]
    fn clauses_compare_fields_without_regard_to_case() {
        assert!(accepts("status eq running"));
        assert!(!accepts("status ne running"));
        assert!(accepts("not status eq stopped"));
        assert!(accepts("config.user.a eq 1"));
    }

    #[test]
    fn clauses_are_joined_from_left_to_right() {
        assert!(accepts("name eq web1 and status eq Running"));
        assert!(!accepts("name eq web2 and status eq Running"));
        assert!(accepts("name eq web2 or status eq Running"));
    }

    #[test]
    fn the_empty_filter_accepts_everything_and_nonsense_is_refused() {
        assert!(accepts(""));
        for text in ["name", "name is web1", "name eq web1 name eq web2"] {
            assert!(Filter::parse(Some(text)).is_err(), "{text}");
        }
    }
}
