//! Cases: bytes to send, and which outcomes are right. The files say in their `meta` what it all means.

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) id: String,
    /// Unscored cases are reported only.
    pub(super) scored: bool,
    pub(super) what: String,
    #[serde(default)]
    send: String,
    send_len: Option<usize>,
    #[serde(default)]
    steps: Vec<Step>,
    pub(super) verdict: Option<Verdict>,
    pub(super) verdict_rule: Option<String>,
    pub(super) condition: Option<String>,
    #[serde(default)]
    pub(super) condition_data: ConditionData,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    send: String,
    #[serde(default)]
    send_template: String,
}

#[derive(Deserialize)]
pub(super) struct Verdict {
    #[serde(default)]
    pub(super) pass: Vec<String>,
    #[serde(default)]
    pub(super) warn: Vec<String>,
    /// These two stand in for `pass` and `warn` where it matters how the connection goes on.
    pub(super) kept_open: Option<Statuses>,
    pub(super) closed_after_response: Option<Statuses>,
    pub(super) closed_silently: Outcome,
    pub(super) no_answer: Outcome,
}

#[derive(Deserialize)]
pub(super) struct Statuses {
    pub(super) pass: Vec<String>,
    pub(super) warn: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Pass,
    Warn,
    Fail,
}

#[derive(Default, Deserialize)]
pub(super) struct ConditionData {
    pub(super) echo_body: Option<String>,
    pub(super) echo_headers: Option<EchoHeaders>,
    #[serde(default)]
    pub(super) body_contains: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct EchoHeaders {
    pub(super) standard: String,
    pub(super) sent: String,
    pub(super) probe_value: String,
}

/// The cases of a published suite, and ours.
pub(super) fn all() -> Vec<Case> {
    let files = [include_str!("cases.json"), include_str!("more_cases.json")];
    let parse = |text| serde_json::from_str::<File>(text).expect("cases").cases;
    files.into_iter().flat_map(parse).collect()
}

impl Case {
    /// What to send, step by step; what is in braces is to be filled in from the first response.
    pub(super) fn steps(&self) -> Vec<Vec<u8>> {
        if self.steps.is_empty() {
            let bytes = bytes(&self.send);
            assert_eq!(bytes.len(), self.send_len.unwrap_or(bytes.len()), "{}", self.id);
            return vec![bytes];
        }
        self.steps.iter().map(|step| bytes(&format!("{}{}", step.send, step.send_template))).collect()
    }
}

/// Expands macros, then escapes.
fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let expanded = expand(text);
    let mut rest = expanded.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            assert!(character.is_ascii(), "{character} in {text}");
            bytes.push(character as u8);
            continue;
        }
        bytes.push(match rest.next() {
            Some('r') => b'\r',
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('\\') => b'\\',
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).expect("two hexadecimal digits")
            }
            other => panic!("no escape: {other:?}"),
        });
    }
    bytes
}

/// `{{REPEAT:c:n}}`, `{{FOR:i:a:b:text}}` and `{{JOIN:"sep":i:a:b:text}}`.
fn expand(text: &str) -> String {
    let Some((before, rest)) = text.split_once("{{") else { return text.to_owned() };
    let (inside, after) = rest.split_once("}}").expect("braces that close");
    // A placeholder of the text that is repeated may stand at its end.
    let (inside, after) = match after.strip_prefix('}') {
        Some(after) => (format!("{inside}}}"), after),
        None => (inside.to_owned(), after),
    };
    let expanded = match inside.split_once(':') {
        Some(("REPEAT", rest)) => {
            let (character, count) = rest.split_once(':').expect("REPEAT:c:n");
            character.repeat(count.parse().expect("a count"))
        }
        Some(("FOR", rest)) => repeated(rest).concat(),
        Some(("JOIN", rest)) => {
            let (separator, rest) = rest[1..].split_once("\":").expect("JOIN:\"sep\":…");
            repeated(rest).join(separator)
        }
        _ => format!("{{{{{inside}}}}}"),
    };
    format!("{before}{expanded}{}", expand(after))
}

/// `i:a:b:text` is text for i from a to before b.
fn repeated(description: &str) -> Vec<String> {
    let parts: Vec<_> = description.splitn(4, ':').collect();
    let [name, from, to, text] = parts[..] else { panic!("FOR:i:a:b:text, not {description}") };
    let (from, to): (usize, usize) = (from.parse().expect("from"), to.parse().expect("to"));
    let placeholder = format!("{{{name}}}");
    (from..to).map(|number| text.replace(&placeholder, &number.to_string())).collect()
}

#[test]
fn macros_and_escapes_are_as_the_file_says() {
    assert_eq!(bytes(r"a\r\n\t\\\x00\xfF"), b"a\r\n\t\\\0\xff");
    assert_eq!(bytes("{{REPEAT:x:3}}-{{REPEAT:y:2}}"), b"xxx-yy");
    assert_eq!(bytes("{{FOR:i:0:3:{i}-}}!"), b"0-1-2-!");
    assert_eq!(bytes("{{JOIN:\",\":i:1:4:a{i}}}."), b"a1,a2,a3.");
    assert_eq!(bytes("\"{{ETAG}}\""), b"\"{{ETAG}}\"");
}
