//! What holds for every document.

use proptest::prelude::*;

use super::tree::{Dice, Style, Tree};
use super::*;

fn tree() -> impl Strategy<Value = Tree> {
    let number = (any::<i64>(), 0..3usize).prop_map(|(value, form)| match form {
        0 => Tree::Number(value.to_string()),
        1 => Tree::Number(format!("{}.{:03}", value / 1000, value.unsigned_abs() % 1000)),
        _ => Tree::Number((value % 5).to_string()),
    });
    let text = prop_oneof!["[a-c]{0,3}", "\\PC{0,12}"].prop_map(Tree::Text);
    let leaf = prop_oneof![Just(Tree::Null), any::<bool>().prop_map(Tree::Bool), number, text];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::Array),
            prop::collection::btree_map("[a-e]{1,3}", inner, 0..6)
                .prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However it is written.
    #[test]
    fn a_document_is_itself(tree in tree(), seed: u64, renotes: bool) {
        let mut style = Style { loosely: Some(Dice(seed)), renotes };
        let (a, b) = (tree.json(), tree.written(&mut style));
        prop_assert_eq!(told(&of_json(&a, &b, &Rules::default())), ["matched"], "{} and {}", a, b);
        prop_assert_eq!(told(&of_json(&b, &a, &Rules::default())), ["matched"]);
    }

    /// One edit is one fingerprint, however else the document is written.
    #[test]
    fn an_edit_is_found(tree in tree(), seed: u64, renotes: bool) {
        let mut edited = tree.clone();
        let mut dice = Dice(seed);
        let expected = edited.edit(&mut dice, &|_| false);
        prop_assume!(expected.is_some());
        let mut style = Style { loosely: Some(dice), renotes };
        let (a, b) = (tree.json(), edited.written(&mut style));
        prop_assert_eq!(told(&of_json(&a, &b, &Rules::default())), [expected.unwrap()], "{} and {}", a, b);
    }

    /// Whatever the bytes and rules are: an outcome, and the same in both directions but for who has it.
    #[test]
    fn any_bytes_have_an_outcome(a: Vec<u8>, b: Vec<u8>, json: bool) {
        let headers = if json { json_headers() } else { Vec::new() };
        let answer = |body| Answer { status: 200, headers: &headers, body, truncated: false };
        let rules = rules(&[("$..a", RuleKind::Shape), ("$", RuleKind::Unordered)]);
        let one = compare(&answer(&a), &answer(&b), &rules, &Limits::default());
        let other = compare(&answer(&b), &answer(&a), &rules, &Limits::default());
        prop_assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other));
    }

    /// The reader accepts what a known library accepts, but for numbers beyond a float, which it accepts too.
    #[test]
    fn the_grammar_is_that_of_a_known_reader(text in "[\\[\\]{}:,\"\\\\ a0-9eE.+tfn-]{0,12}") {
        let ours = json::Document::read(&text, 64, 1000).is_ok();
        let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
        prop_assert_eq!(ours, theirs, "{}", text);
    }

    #[test]
    fn decimals_agree_with_integers(a in -1_000_000i64..1_000_000, b in -1_000_000i64..1_000_000, bound in 0i64..2_000_000) {
        let of = |value: i64| Decimal::parse(value.to_string().as_bytes()).unwrap();
        prop_assert_eq!(of(a).is_near(&of(b), Some(&of(bound)), None), (a - b).abs() <= bound);
        let percent = Decimal::parse(b"0.25").unwrap();
        prop_assert_eq!(of(a).is_near(&of(b), None, Some(&percent)), 4 * (a - b).abs() <= a.abs().max(b.abs()));
    }
}
