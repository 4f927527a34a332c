//! Secrets are planted wherever an answer and a request have a place, and looked for in everything that is kept.

use super::*;

const PLANTED: [&str; 9] = [
    "hunter2-Passw0rd",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl",
    "ann@example.com",
    "sk_live_51H8xyzSECRET",
    "s3ss10n-c00kie-value",
    "4111-1111-1111-1111",
    "Ann Secretperson",
    "bearer-abcdef0123456789",
    "q-is-a-secret-query",
];

/// Every secret at a value, a key, a header, a cookie, a URL, a text and in what identifies a request.
fn bodies(secret: &str, n: u64) -> [String; 2] {
    let of = |side: &str| {
        json!({
            "password": format!("{secret}{side}"),
            "note": format!("{secret} {side}"),
            "link": format!("https://api.example/a?token={secret}&side={side}"),
            "nested": [{"authorization": format!("Bearer {secret}{side}"), "n": n}],
            "plain": format!("{secret}{side}"),
            "allowed": format!("{secret}{side}"),
        })
        .to_string()
    };
    [of("legacy"), of("new")]
}

fn planted(mismatches: &Mismatches) {
    for (n, secret) in PLANTED.iter().enumerate() {
        for round in 0..40 {
            let n = (n * 40 + round) as u64;
            let [legacy, new] = bodies(secret, n);
            let mut one = pair(n, &legacy, &new, Some(&new));
            one.caller = Some(Mismatches::caller("test", secret.as_bytes()));
            one.request_id = (*secret).to_owned();
            let header = |name: &str, value: String| (name.to_owned(), value);
            one.new.headers.push(header("set-cookie", format!("sid={secret}; Path=/")));
            one.new.headers.push(header("location", format!("/login?next={secret}")));
            one.new.headers.push(header("authorization", (*secret).to_owned()));
            one.new.headers.push(header("x-version", (*secret).to_owned()));
            mismatches.compare(&one);
            let mut text = pair(n, "", "", None);
            (text.legacy, text.new) = (kept(200, ""), kept(200, ""));
            text.legacy.headers[0].1 = "text/plain".into();
            text.new.headers[0].1 = "text/plain".into();
            text.legacy.body = format!("hello\n{secret} one\n").into_bytes();
            text.new.body = format!("hello\n{secret} two\n").into_bytes();
            mismatches.compare(&text);
        }
    }
}

/// What leaves: what is written to a store, and everything of findings and proposals that an API could tell.
fn everything(mismatches: &Mismatches) -> String {
    let findings = mismatches.findings(&id());
    let mut all = findings.written(1 << 20);
    for finding in findings.iter() {
        all += &serde_json::to_string(finding).unwrap();
        all += &format!("{finding:?} {:?} {}", propose(&findings, finding), path(finding));
    }
    all + &format!("{mismatches:?}")
}

#[test]
fn nothing_that_was_planted_leaves() {
    let mismatches = mismatches();
    let settings = CompareSettings { version_header: Some("x-version".into()), ..CompareSettings::default() };
    mismatches.configure(vec![(id(), settings)]);
    planted(&mismatches);
    let all = everything(&mismatches);
    assert!(mismatches.findings(&id()).iter().count() >= 6, "{all}");
    for secret in PLANTED {
        // A version and a request's id are no data by what they look like; whoever sends one there has named a request.
        let in_names = ["sk_live_51H8xyzSECRET", "hunter2-Passw0rd"];
        if !in_names.contains(&secret)
            && !secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
    }
}

/// The same with ids and versions that are sound, so that any trace is one of a value.
#[test]
fn no_value_leaves_and_allowed_ones_only_from_their_place() {
    let allowed = CompareSettings { raw_paths: vec!["$.allowed".into(), "$.password".into()], ..Default::default() };
    for (settings, may_show) in [(CompareSettings::default(), false), (allowed, true)] {
        let mismatches = mismatches();
        mismatches.configure(vec![(id(), settings)]);
        for (n, secret) in PLANTED.iter().enumerate() {
            let [legacy, new] = bodies(secret, n as u64);
            mismatches.compare(&pair(n as u64, &legacy, &new, Some(&new)));
        }
        let findings = mismatches.findings(&id());
        for finding in findings.iter() {
            let text = serde_json::to_string(finding).unwrap();
            let is_allowed = may_show && finding.pattern == "$.allowed";
            for secret in PLANTED {
                assert!(is_allowed || !text.contains(secret), "{secret} is in {text}");
            }
            if is_allowed {
                assert!(PLANTED.iter().any(|secret| text.contains(secret)) && text.contains("\"raw\":true"), "{text}");
                for never in ["ann@example.com", "eyJhbGci"] {
                    assert!(!text.contains(never), "{text}");
                }
            }
        }
    }
}

#[test]
fn equal_values_have_equal_hashes_under_one_key_and_others_under_another() {
    let hashes = |secret: [u8; 32]| {
        let mismatches = Mismatches::new(Observer::new(&[]).unwrap(), secret);
        mismatches.compare(&pair(1, r#"["a","b"]"#, r#"["c","b"]"#, None));
        mismatches.compare(&pair(2, r#"["a","x"]"#, r#"["d","x"]"#, None));
        let findings = mismatches.findings(&id());
        let finding = findings.iter().next().unwrap();
        let of = |value: &Option<Value>| value.as_ref().and_then(|value| value.hash.clone()).unwrap();
        finding.examples.iter().map(|example| (of(&example.legacy), of(&example.new))).collect::<Vec<_>>()
    };
    let one = hashes([1; 32]);
    assert!(one[0].0 == one[1].0 && one[0].1 != one[1].1 && one[0].0 != one[0].1, "{one:?}");
    assert_ne!(one, hashes([2; 32]));
}
