//! Claims about `[tls]`, `[[identity]]` and `[[jwt_issuer]]`.

use crate::config::Config;

const ISSUER: &str = "[[jwt_issuer]]\nissuer = \"i\"\naudience = \"a\"\njwks_file = \"/k\"\n\
                      algorithms = [\"ES256\"]\n";

fn identity(name: &str, credential: &str) -> String {
    format!(
        "[[identity]]\nname = \"{name}\"\ntenant = \"default\"\nroles = [\"reader\"]\n{credential}\n"
    )
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Config::from_toml(text).unwrap_err();
    mistakes.to_string().lines().map(str::to_owned).collect()
}

#[track_caller]
fn one_mistake(text: &str, words: &[&str]) {
    let found = mistakes(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(words.iter().all(|word| found[0].contains(word)), "{found:#?}");
}

#[test]
fn each_kind_of_credential_is_read() {
    let hash = "ab".repeat(32);
    let tls = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n";
    let text = [
        "[grpc]\nunix_socket = \"/s\"\n".to_owned(),
        tls.to_owned(),
        identity("uri", "san_uri = \"spiffe://x/y\""),
        identity("dns", "san_dns = \"x.example\"\nexpire_time = 2030-01-01T00:00:00Z"),
        identity("token", &format!("token_sha256 = \"{hash}\"")),
        identity("jwt", "jwt = { issuer = \"i\", claim = \"sub\", value = \"v\" }"),
        identity("user", "uid = 0"),
        ISSUER.to_owned(),
    ];
    let config = Config::from_toml(&text.concat()).unwrap();
    assert_eq!(config.identities.len(), 5);
    assert_eq!(config.identities[2].token_sha256, Some([0xab; 32]));
    assert_eq!(config.identities[3].jwt.as_ref().unwrap().claim, "sub");
    assert!(config.identities[1].expire_time.is_some());
    assert!(!config.is_grpc_anonymous() && config.is_http_anonymous());
}

#[test]
fn an_identity_has_exactly_one_credential() {
    one_mistake(&identity("none", ""), &["identity[0].name", "none of them", "exactly one of"]);
    let both = format!("token_sha256 = \"{}\"\nuid = 1", "00".repeat(32));
    let both = format!("[grpc]\nunix_socket = \"/s\"\n{}", identity("both", &both));
    one_mistake(&both, &["token_sha256 and uid", "exactly one of"]);
}

#[test]
fn two_identities_with_one_credential_are_refused_with_both_places() {
    let token = format!("token_sha256 = \"{}\"", "00".repeat(32));
    let text = identity("one", &token) + &identity("two", &token);
    one_mistake(&text, &["config:10: identity[1].token_sha256", "already given at config:5"]);
    let text = identity("one", &token) + &identity("one", &token.replace('0', "1"));
    one_mistake(&text, &["identity[1].name", "already given"]);
}

#[test]
fn what_an_identity_names_must_be_there() {
    let token = format!("token_sha256 = \"{}\"", "00".repeat(32));
    let other = identity("one", &token).replace("\"default\"", "\"other\"");
    one_mistake(&other, &["identity[0].tenant", "the name of a [[tenant]]"]);
    let jwt = identity("one", "jwt = { issuer = \"i\", claim = \"sub\", value = \"v\" }");
    one_mistake(&jwt, &["identity[0].jwt", "the issuer of a [[jwt_issuer]]"]);
    one_mistake(&identity("one", "uid = 1"), &["grpc.unix_socket"]);
    one_mistake(&identity("one", "san_uri = \"u\""), &["tls.client_ca"]);
}

#[test]
fn values_of_credentials_are_held_to_their_form() {
    for (credential, words) in [
        ("token_sha256 = \"00\"", "64 hexadecimal digits"),
        ("jwt = { issuer = \"i\", claim = \"c\" }", "a table {"),
        ("jwt = \"i\"", "a table {"),
        ("expire_time = \"tomorrow\"", "a moment in UTC"),
        ("san_uri = \"a\\u0000b\"", "text of 1 to"),
    ] {
        let found = mistakes(&identity("one", credential));
        assert!(found.iter().any(|one| one.contains(words)), "{credential}: {found:#?}");
    }
    let roles = identity("one", "uid = 1").replace("\"reader\"", "\"owner\"");
    assert!(mistakes(&roles).iter().any(|one| one.contains("reader, writer")));
    let hs = ISSUER.replace("ES256", "HS256");
    one_mistake(&hs, &["jwt_issuer[0].algorithms", "RS256"]);
}

#[test]
fn tls_is_whole_or_absent() {
    one_mistake("[tls]\ncertificate = \"/c\"", &["tls.certificate", "both"]);
    one_mistake("[tls]\nkey = \"/c\"", &["tls.key", "both"]);
    one_mistake("[tls]\nclient_ca = \"/c\"", &["together with tls.certificate"]);
    let lists = "[tls]\ncertificate = \"/c\"\nkey = \"/k\"\nclient_crl = \"/l\"";
    one_mistake(lists, &["tls.client_crl", "together with tls.client_ca"]);
    one_mistake("[http]\ntls = true", &["together with tls.certificate"]);
}

#[test]
fn beyond_loopback_identities_and_tls_stand_for_what_would_have_to_be_allowed() {
    let token = format!("token_sha256 = \"{}\"", "00".repeat(32));
    let text = format!(
        "[grpc]\nlisten = \"0.0.0.0:1\"\n[tls]\ncertificate = \"/c\"\nkey = \"/k\"\n{}",
        identity("one", &token)
    );
    let config = Config::from_toml(&text).unwrap();
    assert_eq!(config.insecure_listeners(), []);
    // The metrics page is for those with the role, and there is nobody.
    let page = text.replace("[tls]", "[http]\nlisten = \"0.0.0.0:2\"\ntls = true\n[tls]");
    one_mistake(&page, &["http.listen", "with the role \"metrics\""]);
    Config::from_toml(&page.replace("\"reader\"", "\"metrics\"")).unwrap();
}
