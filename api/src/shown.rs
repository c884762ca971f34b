//! Text from outside, as messages show it: no control character reaches a terminal, and what is
//! long is shown by its start and its end.

/// How many characters of a name are shown.
const NAME: usize = 160;

/// Returns a name in quotes, its control characters escaped, its middle left out where it is long.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", shown(name, NAME, |c| c == '\''))
}

/// Returns a text without quotes, its control characters escaped, its middle left out where it has
/// more characters than `most`.
pub fn plain(text: &str, most: usize) -> String {
    shown(text, most, |c| matches!(c, '\'' | '"' | '\\'))
}

/// Adds what to do to a failure's text that ends with a full disk.
pub fn with_room(text: String) -> String {
    let is_full =
        ["No space left on device", "Disk quota exceeded"].iter().any(|it| text.ends_with(it));
    if !is_full || text.contains("make room") {
        return text;
    }
    format!("{text}: make room on its file system")
}

/// Returns a message without the numbers that the standard library adds to the system's words:
/// `No such file or directory (os error 2)` says nothing more by its end.
pub fn without_os_errors(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part[digits..].strip_prefix(')') {
            Some(rest) if digits > 0 => text.push_str(rest),
            _ => text.extend([" (os error ", part]),
        }
    }
    text
}

fn shown(text: &str, most: usize, as_it_is: impl Fn(char) -> bool) -> String {
    let mut shown = String::new();
    let mut push = |part: &str| {
        for c in part.chars() {
            match as_it_is(c) {
                true => shown.push(c),
                false => shown.extend(c.escape_debug()),
            }
        }
    };
    // A byte is a character at most.
    if text.len() <= most || text.chars().count() <= most {
        push(text);
        return shown;
    }
    let place = |chars: usize| text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().rev().nth(most / 3).map_or(0, |(at, _)| at);
    push(&text[..place(most - most / 3)]);
    push("…");
    push(&text[end..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_the_rest_stays() {
        assert_eq!(quoted("a\x1b[2J\n'ü'"), "\"a\\u{1b}[2J\\n'ü'\"");
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
        assert_eq!(plain("say \"hi\"\u{202e}\u{7}", 99), "say \"hi\"\\u{202e}\\u{7}");
    }

    #[test]
    fn the_numbers_of_system_errors_are_left_out() {
        let text = "read /x: Is a directory (os error 21) (seek (os error 2); other (os error x))";
        let told = "read /x: Is a directory (seek; other (os error x))";
        assert_eq!(without_os_errors(text), told);
    }

    #[test]
    fn what_is_long_is_shown_by_its_start_and_its_end() {
        let long = format!("start/{}/end", "ö/".repeat(3000));
        let text = quoted(&long);
        assert!(text.starts_with("\"start/") && text.ends_with("/end\""), "{text}");
        assert!(text.contains('…') && text.chars().count() < 170, "{text}");
        assert_eq!(plain(&"x".repeat(400), 400).len(), 400);
    }
}
