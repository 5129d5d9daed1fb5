//! The JSON of requests and messages. A mark replaces what no value can hold, and only the change with the mark is
//! rejected.
//!
//! `graphql::request` decides what the values mean; `tidegate_core::value::unheld` says what happens to a mark.

use serde_json::Value as Json;
use tidegate_core::value::unrepresentable::Unrepresentable;

/// The deepest nesting that is read. It is below the library's own bound on recursion (128), and above the nesting of
/// any document with its request.
const DEPTH_MAX: usize = 100;

/// Reads JSON as `JSON.parse` of JavaScript accepts it. Only a text that the library refuses is read a second time.
///
/// # Errors
/// Those of the library.
pub(super) fn read(text: &[u8]) -> serde_json::Result<Json> {
    serde_json::from_slice(text).or_else(|error| {
        let marked = marked(text).and_then(|marked| serde_json::from_slice(&marked).ok());
        marked.ok_or(error)
    })
}

/// The same JSON with marks; `None` if there is nothing to mark. A mark is as long as the escape of half a pair, so
/// that only replaced numbers make the text longer.
fn marked(json: &[u8]) -> Option<Vec<u8>> {
    let mut marker = KeyMarker {
        out: Vec::with_capacity(json.len()),
        has_marks: false,
    };
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        let rest = &json[at..];
        at += match byte {
            b'"' => marker.string(&rest[..string_bytes(rest)]),
            b'[' | b'{' if depth == DEPTH_MAX => {
                marker.mark(Unrepresentable::Depth, nested_bytes(rest))
            }
            b'-' | b'0'..=b'9' => marker.number(&rest[..number_bytes(rest)]),
            _ => marker.copy(&rest[..1]),
        };
        match byte {
            b'[' | b'{' if depth < DEPTH_MAX => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    marker.has_marks.then_some(marker.out)
}

/// Copies tokens; each method returns how many bytes it has taken.
struct KeyMarker {
    out: Vec<u8>,
    has_marks: bool,
}

impl KeyMarker {
    fn copy(&mut self, token: &[u8]) -> usize {
        self.out.extend_from_slice(token);
        token.len()
    }

    /// Writes a mark in place of a token.
    fn mark(&mut self, unheld: Unrepresentable, bytes: usize) -> usize {
        self.has_marks = true;
        self.out.push(b'"');
        self.out.extend_from_slice(unheld.mark().as_bytes());
        self.out.push(b'"');
        bytes
    }

    fn number(&mut self, token: &[u8]) -> usize {
        let number = str::from_utf8(token)
            .ok()
            .and_then(|text| text.parse().ok());
        match number.is_some_and(f64::is_infinite) {
            true => self.mark(Unrepresentable::Number, token.len()),
            false => self.copy(token),
        }
    }

    fn string(&mut self, token: &[u8]) -> usize {
        let mut at = 0;
        while at < token.len() {
            let rest = &token[at..];
            at += match (code_unit(rest), rest.get(6..).and_then(code_unit)) {
                (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => self.copy(&rest[..12]),
                (Some(0xd800..=0xdfff), _) => {
                    self.has_marks = true;
                    self.copy(Unrepresentable::HalfPair.mark().as_bytes())
                }
                _ if rest[0] == b'\\' => self.copy(&rest[..rest.len().min(2)]),
                _ => self.copy(&rest[..1]),
            };
        }
        token.len()
    }
}

/// The code unit that an escape `\uXXXX` spells.
fn code_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let are_hexadecimal = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| are_hexadecimal)?;
    u16::from_str_radix(digits, 16).ok()
}

/// The bytes of the string that begins here, its quotes included.
fn string_bytes(json: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    json.len()
}

fn number_bytes(json: &[u8]) -> usize {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    json.iter().take_while(|byte| is_part(byte)).count()
}

/// The bytes of the list or object that begins here.
fn nested_bytes(json: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = json.get(at) {
        at += match byte {
            b'"' => string_bytes(&json[at..]),
            _ => 1,
        };
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn half() -> String {
        Unrepresentable::HalfPair.mark().to_owned()
    }

    #[test]
    fn half_a_surrogate_pair_is_marked_and_its_neighbours_are_read() {
        for (text, expected) in [
            (
                r#"["\ud83d", "\ude00", "\ud83d\ude00"]"#,
                json!([half(), half(), "\u{1f600}"]),
            ),
            (
                r#"["a\uD83Dz\\ud83d"]"#,
                json!([format!(r"a{}z\ud83d", half())]),
            ),
            (r#"["\ud83d\ud83d\ude00"]"#, json!([half() + "\u{1f600}"])),
            (
                r#"["\ud83d\n\"\ude00\\"]"#,
                json!([half() + "\n\"" + &half() + "\\"]),
            ),
            (r#"{"\udfff": {"b": 1}}"#, json!({half(): {"b": 1}})),
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_beyond_all_floats_are_marked() {
        let long = format!(
            r#"{{"a": [1e400, -2E+999, 1e-400, 1.5], "b": {}}}"#,
            "9".repeat(400)
        );
        let mark = Unrepresentable::Number.mark();
        let expected = json!({"a": [mark, mark, 0.0, 1.5], "b": mark});
        assert_eq!(read(long.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_nested_too_deep_is_marked_whole() {
        let deep = |levels: usize| "[".repeat(levels) + r#""]","# + "1" + &"]".repeat(levels);
        let text = format!(r#"{{"a": {}, "b": [1]}}"#, deep(100_000));
        let mut read = read(text.as_bytes()).unwrap();
        assert_eq!(read["b"], json!([1]));
        let mut inner = read["a"].take();
        for _ in 1..DEPTH_MAX {
            inner = inner[0].take();
        }
        assert_eq!(inner, Unrepresentable::Depth.mark());
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in [
            r#"["\ud83d"#,
            r#"["\ud83d\"#,
            r#"["\ud83d\u"]"#,
            r#"["\u+123", "\ud83d"]"#,
            "[1e400",
            "]1e400",
            r#"{"a": 1e400,}"#,
            "[1e400]]",
            r#"["\ud83d\x"]"#,
            "1e400e1",
            "--1e400",
            "",
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(&"[".repeat(100_000).into_bytes()).is_err());
        assert!(read(b"[\"\\ud83d\", \"\xff\"]").is_err());
    }

    /// Some features of serde_json give certain keys a meaning. One of them starts a new parser, with a new recursion limit, at
    /// each such key: a message of 5 KB then overflows the stack. No dependency may enable these features.
    #[test]
    fn no_key_of_an_object_means_anything_to_the_parser() {
        for key in [
            "$serde_json::private::RawValue",
            "$serde_json::private::Number",
        ] {
            let text = json!({ key: "[1]" }).to_string();
            assert_eq!(read(text.as_bytes()).unwrap(), json!({ key: "[1]" }));
        }
    }

    /// The error of the first parse: the place of the first fault.
    #[test]
    fn the_first_fault_is_named() {
        let error = read(b"{\"a\": \"\\ud83d\",\n nope").unwrap_err();
        assert_eq!(error.line(), 1);
    }
}
