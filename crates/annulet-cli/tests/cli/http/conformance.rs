//! Raw requests and the outcomes that are right: every scored case must pass, none may merely be tolerated.

use std::net::SocketAddr;
use std::thread;

use super::cases::{Case, Outcome, Statuses, Verdict, all};
use super::exchange::{Answer, Client, Response};
use crate::drivers::on_each_driver;
use crate::process::Server;

#[test]
fn every_case_passes() {
    let cases = all();
    assert!(cases.iter().filter(|case| case.scored).count() > 150, "the files have lost cases");
    on_each_driver(|driver| {
        let server = Server::start_on(driver, &["http"]);
        let address = server.address();
        let judged: Vec<_> = thread::scope(|scope| {
            let judge = |case| move || (case, judge(case, address));
            let threads: Vec<_> = cases.iter().map(|case| scope.spawn(judge(case))).collect();
            threads.into_iter().map(|thread| thread.join().expect("judged")).collect()
        });
        let mut failed = Vec::new();
        for (case, (outcome, seen)) in judged {
            if outcome != Outcome::Pass {
                println!(
                    "{outcome:?} {}{}: {}: {seen}",
                    case.id,
                    if case.scored { "" } else { " (unscored)" },
                    case.what
                );
                failed.extend(case.scored.then_some(&case.id));
            }
        }
        assert!(failed.is_empty(), "on {driver}: {failed:?}");
        server.stop_cleanly();
    });
}

/// The outcome of a case, and what was seen.
fn judge(case: &Case, address: SocketAddr) -> (Outcome, String) {
    let silence_is_fine = case.verdict.as_ref().is_some_and(|verdict| verdict.no_answer == Outcome::Pass);
    let mut client = Client::connect(address);
    let mut answers = Vec::new();
    for step in case.steps() {
        if client.is_closed() {
            break;
        }
        let step = filled_in(step, answers.first());
        answers.push(client.exchange(&step, silence_is_fine));
    }
    let outcome = match (&case.verdict, &case.verdict_rule) {
        (Some(verdict), None) => by_verdict(case, verdict, &answers[0]),
        (None, Some(rule)) => by_rule(rule, &answers),
        _ => panic!("{} has either a verdict or a rule", case.id),
    };
    (outcome, format!("{answers:?}"))
}

/// Placeholders that the first answer has the values of.
fn filled_in(step: Vec<u8>, first: Option<&Answer>) -> Vec<u8> {
    let (Ok(text), Some(Answer::Response(response))) = (str::from_utf8(&step), first) else { return step };
    let tag = response.field("ETag").unwrap_or_default().trim_start_matches("W/").trim_matches('"');
    let date = response.field("Last-Modified").unwrap_or_default();
    text.replace("{{ETAG}}", tag).replace("{{LAST_MODIFIED}}", date).into_bytes()
}

fn by_verdict(case: &Case, verdict: &Verdict, answer: &Answer) -> Outcome {
    let response = match answer {
        Answer::Response(response) => response,
        Answer::Closed => return verdict.closed_silently,
        Answer::None => return verdict.no_answer,
    };
    if let Some(condition) = &case.condition
        && let Some(outcome) = by_condition(condition, case, response)
    {
        return outcome;
    }
    let general = Statuses { pass: verdict.pass.clone(), warn: verdict.warn.clone() };
    let particular = if response.is_closed { &verdict.closed_after_response } else { &verdict.kept_open };
    let Statuses { pass, warn } = particular.as_ref().unwrap_or(&general);
    let is_in = |statuses: &[String]| statuses.iter().any(|range| is_within(response.status, range));
    match () {
        () if is_in(pass) => Outcome::Pass,
        () if is_in(warn) => Outcome::Warn,
        () => Outcome::Fail,
    }
}

/// `400`, `2xx`, `401-499`, `2xx-5xx`.
fn is_within(status: u16, range: &str) -> bool {
    let bound = |text: &str, digit: &str| text.replace('x', digit).parse::<u16>().expect("a status");
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    (bound(first, "0")..=bound(last, "9")).contains(&status)
}

/// What a condition says of the statuses it is about; `None` for others.
fn by_condition(condition: &str, case: &Case, response: &Response) -> Option<Outcome> {
    let data = &case.condition_data;
    let has = |text: &str| response.body.windows(text.len()).any(|window| window == text.as_bytes());
    let is_2xx = is_within(response.status, "2xx");
    let or = |is_met: bool, otherwise| if is_met { Outcome::Pass } else { otherwise };
    match condition {
        r#"pass iff 2xx and body == "hello" or == "OK""# | "pass iff 2xx and the body is echoed" => {
            let body = data.echo_body.as_ref().expect("a body");
            Some(or(is_2xx && response.body == body.as_bytes(), Outcome::Fail))
        }
        "2xx: pass iff Allow header present, else warn" => {
            is_2xx.then(|| or(response.field("Allow").is_some(), Outcome::Warn))
        }
        "405: pass iff Allow header present, else fail; any other status = warn (not verifiable)" => {
            (response.status == 405).then(|| or(response.field("Allow").is_some(), Outcome::Fail))
        }
        "204: pass iff no Content-Length; other statuses warn (not verifiable)" => {
            (response.status == 204).then(|| or(response.field("Content-Length").is_none(), Outcome::Fail))
        }
        "2xx: /echo must list request headers one per line; a header with the probe value under the standard name = fail (normalised), under the name as sent = warn, absent = pass" =>
        {
            let headers = data.echo_headers.as_ref().expect("headers");
            let lists = |name| has(&format!("{name}: {}\n", headers.probe_value));
            is_2xx.then(|| match () {
                () if lists(&headers.standard) => Outcome::Fail,
                () if lists(&headers.sent) => Outcome::Warn,
                () => Outcome::Pass,
            })
        }
        "2xx: fail if the body contains a NUL byte, else pass" => {
            is_2xx.then(|| or(!response.body.contains(&0), Outcome::Fail))
        }
        "2xx: pass iff body contains a=1, b=2 and c=3, else fail" => {
            is_2xx.then(|| or(data.body_contains.iter().all(|text| has(text)), Outcome::Fail))
        }
        "2xx: pass iff both a=1 and b=2 are in the body, else warn" => {
            is_2xx.then(|| or(has("a=1") && has("b=2"), Outcome::Warn))
        }
        "2xx: warn if the body contains secret-token-123, else pass" => {
            is_2xx.then(|| or(!has("secret-token-123"), Outcome::Warn))
        }
        "2xx: pass iff no body, but its length" => is_2xx.then(|| {
            or(response.body.is_empty() && response.field("Content-Length").is_some(), Outcome::Fail)
        }),
        "2xx: pass iff Date is an IMF-fixdate" => {
            let is_date = response.field("Date").is_some_and(is_imf_fixdate);
            is_2xx.then(|| or(is_date, Outcome::Fail))
        }
        "2xx: pass iff Content-Type is there" => {
            is_2xx.then(|| or(response.field("Content-Type").is_some(), Outcome::Fail))
        }
        _ => panic!("{}: unknown condition", case.id),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn is_imf_fixdate(date: &str) -> bool {
    let form = "Aaa, 00 Aaa 0000 00:00:00 GMT";
    date.len() == form.len()
        && date.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            other => byte == other,
        })
}

/// What a sequence of steps comes to; the rules are in the file's `meta`.
fn by_rule(rule: &str, answers: &[Answer]) -> Outcome {
    use Outcome::{Fail, Pass, Warn};
    let response = |step: usize| match answers.get(step) {
        Some(Answer::Response(response)) => Some(response),
        _ => None,
    };
    let status = |step: usize| response(step).map_or(0, |response| response.status);
    let is_2xx = |step: usize| is_within(status(step), "2xx");
    let is_refused = |statuses: &[u16]| statuses.contains(&status(0)) || is_closed(&answers[0]);
    match rule {
        "reject_or_close" if is_refused(&[400]) => Pass,
        "reject_or_close" => Fail,
        "no_extra_response" if response(0).is_some_and(|response| response.status_lines > 1) => Fail,
        "no_extra_response" if is_refused(&[400]) => Pass,
        "no_extra_response" => Fail,
        "unread_body_prefix" | "cl0_poison" | "unread_body" if is_refused(&[400]) => Pass,
        "expect_body" if is_refused(&[400, 417]) => Pass,
        "unread_body_prefix" => {
            let is_right = is_2xx(0) && (is_2xx(1) || status(1) == 400);
            if is_right && response(1).is_some_and(|response| response.status_lines == 1) {
                Pass
            } else {
                Warn
            }
        }
        "cl0_poison" if is_2xx(0) => Warn,
        "unread_body" | "expect_body" if is_2xx(0) && is_2xx(1) => Pass,
        "unread_body" if is_2xx(0) => Warn,
        "expect_body" => Warn,
        "cl0_poison" | "unread_body" => Fail,
        "two_clean" if is_2xx(0) && is_2xx(1) => Pass,
        "two_clean" if is_2xx(0) => Warn,
        "two_clean" => Fail,
        rule if rule.starts_with("expect_304") || rule.starts_with("expect_200") => {
            by_cache_rule(rule, response(0), status(1))
        }
        _ => panic!("unknown rule {rule}"),
    }
}

/// Rules about validators, of which there are none in a demonstration.
fn by_cache_rule(rule: &str, first: Option<&Response>, second: u16) -> Outcome {
    let first = first.expect("an answer to the first step");
    let has_validator = first.field("ETag").or(first.field("Last-Modified")).is_some();
    match rule {
        "expect_200_ignore" if is_within(second, "2xx") => Outcome::Pass,
        _ if !has_validator => Outcome::Warn,
        "expect_304" if second == 304 => Outcome::Pass,
        _ => Outcome::Fail,
    }
}

fn is_closed(answer: &Answer) -> bool {
    match answer {
        Answer::Response(response) => response.is_closed,
        Answer::Closed => true,
        Answer::None => false,
    }
}
