//! From what a provider says of somebody to a name in the history and a role.
//!
//! # Why a name is washed
//!
//! At many providers people choose their names. A name stands in histories, logs and terminals, so it keeps no character that is
//! not seen or turns text around, and it must not be the name of a token or of the guard: whoever reads `guard` in a history must be
//! able to believe it. Such a name gets `oidc:` in front.

use serde_json::{Map, Value};

use crate::auth::Role;

const NAME_CHARS_MAX: usize = 64;

/// Groups beyond these are not looked at; providers cut their lists long before.
const GROUPS_MAX: usize = 10_000;

/// Who acts in histories without being a person: the guard, plans, the file.
const OTHERS: [&str; 3] = ["guard", "plan", "file"];

/// Everything that was said of somebody, verified.
pub(super) type Claims = Map<String, Value>;

/// A claim by its name; one inside others by a pointer, such as `/realm_access/roles`.
pub(super) fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let mut parts = path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~"));
    let first = claims.get(&parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// The role of somebody: the highest of their groups. None where none of them has one.
pub(super) fn role(claims: &Claims, groups_claim: &str, roles: &[(String, Role)]) -> Option<Role> {
    let groups: Vec<&str> = match claim(claims, groups_claim)? {
        Value::String(group) => vec![group],
        Value::Array(groups) => groups.iter().take(GROUPS_MAX).filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    roles.iter().filter(|(group, _)| groups.contains(&group.as_str())).map(|(_, role)| *role).max()
}

/// How the history calls somebody. `is_taken` tells the names of tokens.
pub(super) fn name(claims: &Claims, name_claim: Option<&str>, is_taken: impl Fn(&str) -> bool) -> Option<String> {
    let text = |key: &str| claim(claims, key).and_then(Value::as_str).map(washed).filter(|text| !text.is_empty());
    // An address that the provider itself doubts may be somebody else's.
    let email = || text("email").filter(|_| claims.get("email_verified") != Some(&Value::Bool(false)));
    let chosen = name_claim.and_then(text).or_else(|| text("preferred_username")).or_else(email);
    let mut name = chosen.or_else(|| text("sub"))?;
    while is_taken(&name) || OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other)) {
        name.insert_str(0, "oidc:");
    }
    Some(name)
}

/// Bounded, on one line, of characters that are seen as they stand.
pub(super) fn washed(text: &str) -> String {
    let words: String = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_seen(*c)).collect();
    let mut name = String::new();
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        name.push_str(if name.is_empty() { "" } else { " " });
        name.push_str(word);
    }
    let cut: String = name.chars().take(NAME_CHARS_MAX).collect();
    cut.trim_end().to_owned()
}

/// Neither a control character nor one that is not drawn or changes the direction of others.
fn is_seen(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!("{value}") };
        claims
    }

    #[track_caller]
    fn check_role(groups: &Value, expected: Option<Role>) {
        let roles = [("sre", Role::Admin), ("developers", Role::Operator), ("everyone", Role::Viewer)];
        let roles = roles.map(|(group, role)| (group.to_owned(), role));
        let claims = claims(json!({ "groups": groups }));
        assert_eq!(role(&claims, "groups", &roles), expected, "{claims:?}");
    }

    #[test]
    fn the_highest_role_wins() {
        check_role(&json!(["everyone"]), Some(Role::Viewer));
        check_role(&json!(["everyone", "sre", "developers"]), Some(Role::Admin));
        check_role(&json!(["unknown", 7, null, "developers"]), Some(Role::Operator));
        check_role(&json!("developers"), Some(Role::Operator));
        for nobody in
            [json!([]), json!(["SRE"]), json!(["sre "]), json!(["sre,everyone"]), json!([["sre"]]), json!(null)]
        {
            check_role(&nobody, None);
        }
        for nobody in [json!(true), json!(1), json!({ "sre": true }), json!("everyone developers")] {
            check_role(&nobody, None);
        }
        assert_eq!(role(&Claims::new(), "groups", &[("sre".into(), Role::Admin)]), None);
    }

    #[test]
    fn a_claim_may_be_inside_others() {
        let claims = claims(json!({ "realm": { "a/b": ["x"] }, "https://example.com/g": "y" }));
        assert_eq!(claim(&claims, "/realm/a~1b"), Some(&json!(["x"])));
        assert_eq!(claim(&claims, "https://example.com/g"), Some(&json!("y")));
        for none in ["/realm/c", "realm/a", "/", "", "/realm/a~1b/x"] {
            assert_eq!(claim(&claims, none), None, "{none:?}");
        }
    }

    #[track_caller]
    fn check_name(said: Value, name_claim: Option<&str>, expected: Option<&str>) {
        let claims = claims(said);
        assert_eq!(name(&claims, name_claim, |name| name == "ci").as_deref(), expected, "{claims:?}");
    }

    #[test]
    fn a_person_has_the_name_that_says_most() {
        let all = json!({ "sub": "17", "email": "ann@example.com", "preferred_username": "ann", "nick": "A" });
        check_name(all.clone(), None, Some("ann"));
        check_name(all.clone(), Some("nick"), Some("A"));
        check_name(all.clone(), Some("sub"), Some("17"));
        check_name(all, Some("missing"), Some("ann"));
        check_name(json!({ "sub": "17", "email": "ann@example.com" }), None, Some("ann@example.com"));
        check_name(json!({ "sub": "17", "email": "a@b", "email_verified": false }), None, Some("17"));
        check_name(json!({ "sub": "17", "preferred_username": " \u{200b} " }), None, Some("17"));
        check_name(json!({}), None, None);
    }

    #[test]
    fn nobody_is_called_like_a_token_or_the_guard() {
        for (said, expected) in [
            ("ci", "oidc:ci"),
            ("guard", "oidc:guard"),
            ("Guard", "oidc:Guard"),
            ("gu\u{200b}ard", "oidc:guard"),
            ("plan\n", "oidc:plan"),
            ("guardian", "guardian"),
        ] {
            check_name(json!({ "preferred_username": said }), None, Some(expected));
        }
    }

    #[test]
    fn a_name_is_bounded_and_shows_as_it_stands() {
        for (said, expected) in [
            ("Ann\tB\r\n C", "Ann B C"),
            ("\u{202e}nna", "nna"),
            ("\u{1b}[31mred", "[31mred"),
            ("<img src=x>", "<img src=x>"),
            ("Зоя Ÿ 安", "Зоя Ÿ 安"),
        ] {
            assert_eq!(washed(said), expected, "{said:?}");
        }
        assert_eq!(washed(&"é".repeat(10_000)).chars().count(), NAME_CHARS_MAX);
    }
}
