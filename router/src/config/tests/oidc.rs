//! Sign-in with OpenID Connect, in builds that have it and in those that do not.

use super::*;

const URL: &str = "https://crossfade.example.com";
const GOOD: &str = "issuer: 'https://login.example.com/', client_id: crossfade, roles: {sre: admin}";

fn with_oidc(url: &str, oidc: &str) -> String {
    with_upstreams(&format!("admin:\n  {url}\n  oidc: {{{oidc}}}\n"))
}

#[cfg(not(feature = "oidc"))]
#[test]
fn a_build_without_it_says_how_to_get_it() {
    let found = problems(&with_oidc(&format!("url: {URL}"), GOOD));
    let expected = "4:9 this crossfade is built without OpenID Connect (build it with `cargo build --release --features oidc`, or remove `oidc` and sign in with tokens)";
    assert_eq!(found, [expected]);
    // What is wrong inside is told with it only where the form is wrong.
    assert_eq!(problems(&with_oidc("", "issuer: {}")).len(), 2);
    assert!(good(UPSTREAMS).admin.oidc.is_none());
}

#[cfg(feature = "oidc")]
mod built {
    use super::*;
    use crate::config::Oidc;

    fn oidc(text: &str) -> Oidc {
        good(&with_oidc(&format!("url: {URL}"), text)).admin.oidc.unwrap()
    }

    /// A section with one problem.
    #[track_caller]
    fn wrong(text: &str, expected: &str) {
        bad(&with_oidc(&format!("url: {URL}"), text), expected);
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let own = oidc(GOOD);
        assert_eq!((own.issuer.as_str(), own.label.as_str()), ("https://login.example.com/", "login.example.com"));
        assert_eq!(own.scopes, ["openid", "profile", "email"]);
        assert_eq!((own.name_claim, own.groups_claim.as_str(), own.client_secret), (None, "groups", None));
        assert_eq!(own.roles, [("sre".to_owned(), Role::Admin)]);
    }

    #[test]
    fn what_is_written_holds_and_reads_back() {
        let all = "client_secret: s3cret, label: Company sign-in, scopes: [profile, groups], name_claim: nickname, groups_claim: /realm/roles, ";
        let text = with_oidc(&format!("url: {URL}/"), &format!("{all}{GOOD}"));
        let own = good(&text).admin.oidc.unwrap();
        assert_eq!(own.label, "Company sign-in");
        assert_eq!(own.scopes, ["openid", "profile", "groups"], "openid is always asked for");
        assert_eq!((own.name_claim.as_deref(), own.groups_claim.as_str()), (Some("nickname"), "/realm/roles"));
        let yaml = good(&text).effective_yaml();
        assert!(!yaml.contains("s3cret") && yaml.contains("client_secret: redacted"), "{yaml}");
        assert!(!format!("{:?}", good(&text)).contains("s3cret"));
        assert_eq!(good(&yaml).effective_yaml(), yaml);
    }

    #[test]
    fn a_section_is_checked_whole() {
        wrong("client_id: a, roles: {a: admin}", "4:9 the key `issuer` is missing here");
        wrong("issuer: 'https://h', roles: {a: admin}", "the key `client_id` is missing here");
        wrong("issuer: 'https://h', client_id: a", "the key `roles` is missing here");
        wrong("issuer: 'https://h', client_id: a, roles: {}", "nobody could sign in");
        wrong(
            "issuer: 'https://h', client_id: a, roles: {a: root}",
            "`root` is not one of viewer, reporter, operator, admin",
        );
        wrong("issuer: login.example.com, client_id: a, roles: {a: admin}", "the issuer is not a whole address");
        wrong("issuer: 'https://h?x', client_id: a, roles: {a: admin}", "an issuer has no query");
        wrong("issuer: 'http://10.0.0.7', client_id: a, roles: {a: admin}", "could sign in as anybody (write https://");
        wrong(&format!("client_secret: '', {GOOD}"), "this is not a client's secret");
        wrong(&format!("client_secret: s, client_secret_file: f, {GOOD}"), "stand here both");
        wrong(&format!("scopes: ['a b'], {GOOD}"), "`a b` is not a scope");
        wrong(&format!("label: {}, {GOOD}", "x".repeat(61)), "a button has no room for 61 characters");
        wrong(&format!("name_claim: ' x', {GOOD}"), "is not a claim");
        wrong(&format!("secret: x, {GOOD}"), "the key `secret` is not known here");
        for issuer in ["http://127.0.0.1:9000", "http://localhost:9000/x", "http://[::1]:9000"] {
            assert_eq!(oidc(&format!("issuer: '{issuer}', client_id: a, roles: {{a: admin}}")).issuer, issuer);
        }
    }

    #[test]
    fn people_must_find_back() {
        bad(&with_oidc("", GOOD), "`admin.url` is missing (write where people reach the dashboard");
        bad(
            &with_oidc("url: http://crossfade.example.com", GOOD),
            "3:8 browsers keep the cookies of a sign-in on https alone",
        );
        bad(
            &with_oidc("url: https://h/shop", GOOD),
            "3:8 the dashboard is at the root of its host, and this address has a path (write https://h)",
        );
        assert!(good(&with_oidc("url: http://127.0.0.1:9900/", GOOD)).admin.oidc.is_some());
    }
}
