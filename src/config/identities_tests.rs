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
    one_mistake(
        &text,
        &[
            "config:10: identity[1].token_sha256: identity \"two\"",
            "same credential as identity[0] \"one\" (config:5)",
            "may be mapped once",
        ],
    );
    let text = identity("one", &token) + &identity("one", &token.replace('0', "1"));
    one_mistake(&text, &["identity[1].name", "already given"]);
}

#[test]
fn no_credential_is_in_the_message_that_refuses_it() {
    let token = format!("token_sha256 = \"{}\"", "aa".repeat(32));
    let jwt = "jwt = { issuer = \"i\", claim = \"sub\", value = \"whoever\" }";
    for (credential, secrets) in [(token.as_str(), ["170", "aaaa"]), (jwt, ["whoever", "JwtClaim"])]
    {
        let text = identity("one", credential) + &identity("two", credential) + ISSUER;
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(secrets.iter().all(|secret| !found[0].contains(secret)), "{found:#?}");
    }
    let unhashed = identity("one", "token_sha256 = \"the-token-itself\"");
    let found = mistakes(&unhashed).concat();
    assert!(found.contains("found text of 16 characters") && !found.contains("itself"), "{found}");
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
    let signed = format!("token_sha256 = \"{}\"", "+f".repeat(32));
    for (credential, words) in [
        ("token_sha256 = \"00\"", "64 hexadecimal digits"),
        (signed.as_str(), "64 hexadecimal digits"),
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
fn the_element_of_a_list_that_does_not_fit_is_named() {
    let token = format!("token_sha256 = \"{}\"", "00".repeat(32));
    for (roles, words) in [
        ("\"reader\", \"owner\"", "found \"owner\", element 2 of 2; accepted: an array of one"),
        ("\"reader\", 7", "found 7, element 2 of 2"),
        ("\"reader\", \"writer\", \"reader\"", "found \"reader\" twice, elements 1 and 3 of 3"),
        ("", "found an empty array"),
    ] {
        let text = identity("one", &token).replace("\"reader\"", roles);
        one_mistake(&text, &["identity[0].roles", words, "reader, writer, hook_decider"]);
    }
    let algorithms = ISSUER.replace("\"ES256\"", "\"ES256\", \"HS256\"");
    one_mistake(&algorithms, &["found \"HS256\", element 2 of 2", "RS256"]);
    one_mistake("[http]\nallowed_hosts = [\"a\", \"b:1\"]", &["found \"b:1\", element 2 of 2"]);
    one_mistake("[grpc]\nnuma_nodes = [0, 0]", &["found 0 twice, elements 1 and 2 of 2"]);
    for (jwt, words) in [
        ("{ issuer = \"i\", claim = \"c\" }", "found a table without value"),
        ("{ issuer = \"i\", claim = \"c\", valeu = \"v\" }", "found a table with \"valeu\""),
        ("{ issuer = \"i\", claim = \"c\", value = 7 }", "found a table with value = 7"),
    ] {
        let found = mistakes(&identity("one", &format!("jwt = {jwt}"))).concat();
        assert!(found.contains(words), "{found}");
    }
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
