//! The corpus of seeded regressions through the aggregation: each is a finding under its own fingerprint.

use std::collections::BTreeSet;

use super::*;
use crate::compare::Fingerprint;
use crate::compare::corpus::{both, noise_rules, regression};

#[test]
fn each_regression_has_a_finding_of_its_own() {
    let mismatches = Mismatches::new(Observer::new(&[]).unwrap(), [3; 32]);
    let settings = CompareSettings { rules: noise_rules(), ..CompareSettings::default() };
    mismatches.configure(vec![(id(), settings)]);
    let (mut expected, mut names) = (Vec::new(), BTreeSet::new());
    for seed in 0..480 {
        let Some((legacy, new, pattern, kind)) = regression(seed) else { continue };
        // A route for each six, so that their documents are not of one shape.
        let route = format!("/documents/{}", seed % 6);
        let own = Pair { route: route.as_str().into(), ..pair(seed, &legacy, &new, None) };
        mismatches.compare(&own);
        let (sound, sound_too) = both(seed);
        let sound = Pair { route: route.as_str().into(), ..pair(seed, &sound.json(), &sound_too.json(), None) };
        mismatches.compare(&sound);
        names.insert(format!("{route} {pattern} {kind}"));
        expected.push((route, pattern, kind));
    }
    let findings = mismatches.findings(&id());
    let found = |(route, pattern, kind): &&(String, String, String)| {
        let of =
            |finding: &Finding| finding.route == *route && finding.pattern == *pattern && finding.kind.name() == kind;
        findings
            .iter()
            .any(|finding| of(finding) && Fingerprint::of(route, pattern, finding.kind) == finding.fingerprint())
    };
    let missed: Vec<_> = expected.iter().filter(|one| !found(one)).collect();
    assert!(expected.len() >= 300 && names.len() >= 60, "{} regressions, {} names", expected.len(), names.len());
    assert!(missed.len() * 100 <= expected.len(), "{} of {} missed: {missed:#?}", missed.len(), expected.len());
    // And nothing else: what is sound has no finding.
    let false_ones = findings.iter().count().saturating_sub(names.len());
    assert!(false_ones * 50 <= names.len(), "{false_ones} findings beyond {}", names.len());
    assert_eq!(findings.totals().matched, expected.len() as u64);
}
