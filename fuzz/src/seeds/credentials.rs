//! Tokens, JWTs and their keys, identities, certificates and revocations.

use crate::known::{self, JWTS, KEYS, TOKENS};
use crate::targets::credentials;

pub(super) fn credentials() -> Vec<Vec<u8>> {
    let with = |kind: u8, text: &str| [&[kind], text.as_bytes()].concat();
    let mut seeds: Vec<Vec<u8>> =
        TOKENS.iter().map(|(token, _)| with(0, &format!("Bearer {token}"))).collect();
    seeds.extend(JWTS.iter().map(|(token, _)| with(0, &format!("Bearer {token}"))));
    let texts =
        ["", "Basic YTpi", "Bearer", "Bearer ", "bearer  lmt_", "Bearer a.b.c", "Bearer e30.e30."];
    seeds.extend(texts.map(|text| with(0, text)));
    // One key at a time: all of them are longer than an input.
    let set: serde_json::Value = serde_json::from_str(KEYS).expect("the issuer's");
    let keys = set["keys"].as_array().cloned().unwrap_or_default();
    for key in &keys {
        for which in 0..4 {
            seeds.push(with(3, &format!("{which}{{\"keys\":[{key}]}}")));
        }
    }
    seeds.extend(["0{}", "0{\"keys\":[]}", "0{\"keys\":[{}]}", "0["].map(|text| with(3, text)));
    let hash = |token: &str| -> String {
        known::hash(token).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (one, two) = (hash(&TOKENS[0].0), hash(&TOKENS[1].0));
    let identity = |name: &str, rest: &str| {
        format!(
            "[[identity]]\nname = \"{name}\"\ntenant = \"default\"\nroles = [\"reader\"]\n{rest}\n"
        )
    };
    let issuer = |algorithms: &str| {
        format!(
            "[[jwt_issuer]]\nissuer = \"https://issuer\"\naudience = \"linmemd\"\n\
             jwks_file = \"/keys\"\nalgorithms = [{algorithms}]\n"
        )
    };
    let tenant = "[[tenant]]\nname = \"default\"\n";
    let jwt = "jwt = { issuer = \"https://issuer\", claim = \"sub\", value = \"alice\" }";
    let second = "jwt = { issuer = \"https://issuer\", claim = \"aud\", value = \"linmemd\" }";
    let by_one = identity("a", &format!("token_sha256 = \"{one}\""));
    let late = format!("token_sha256 = \"{two}\"\nexpire_time = \"2001-01-01T00:00:00Z\"");
    let tls = "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"a\"\n";
    let certificates =
        [identity("e", "san_uri = \"spiffe://x/bob\""), identity("f", "san_dns = \"Bob.Example\"")];
    let sections = [
        format!("{tenant}{by_one}{}", identity("b", &late)),
        format!("{}{tenant}{by_one}{}", issuer("\"EdDSA\", \"ES256\""), identity("c", jwt)),
        format!("{}{tenant}{}{}", issuer("\"EdDSA\""), identity("c", jwt), identity("d", second)),
        format!("{}{tenant}{}", issuer("\"PS256\""), identity("c", jwt)),
        format!("{tls}{tenant}{}", certificates.concat()),
        format!("[grpc]\nunix_socket = \"/s\"\n{tenant}{}", identity("g", "uid = 7")),
        format!("{tenant}{by_one}{by_one}"),
        format!("{tenant}{}", identity("h", "uid = 7")),
    ];
    seeds.extend(sections.iter().map(|text| with(4, text)));
    let [certificate, key, ca, crl] = credentials::MARKS;
    for text in [
        format!("\u{0}{certificate}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{certificate}{ca}%%{key}%%{ca}{ca}%%{crl}"),
        format!("\u{0}{ca}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{key}%%{certificate}%%{crl}%%{ca}"),
        format!("\u{0}%%{key}%%{ca}%%{crl}"),
        format!("\u{0}{certificate}%%{key}%%%%"),
        format!("\u{0}{certificate}%%{key}%%{ca}%%x"),
        format!("\u{1}\u{7f}\u{0}\u{1}{certificate}%%{key}%%{ca}%%{crl}"),
    ] {
        seeds.push(with(5, &text));
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    seeds.push(with(5, &format!("\u{0}{garbage}%%{key}%%{ca}%%{crl}")));
    seeds.push(with(5, &format!("\u{0}{certificate}%%{key}%%{garbage}%%{crl}")));
    let keys = std::str::from_utf8(credentials::MARK_OF_KEYS).expect("a word");
    let good = format!("{certificate}%%{key}%%{ca}%%{crl}");
    let longer = format!("{certificate}{ca}%%{key}%%{ca}%%{crl}");
    let twice = format!("{tenant}{by_one}{by_one}");
    for text in [
        format!("{{\"keys\":[]}}%%{good}%%{twice}"),
        format!("{keys}%%{longer}%%{twice}"),
        format!("{{\"keys\":[]}}%%%%{key}%%{ca}%%{crl}%%"),
        format!("x%%{longer}%%"),
        format!("{keys}%%{good}%%{tenant}{by_one}"),
    ] {
        seeds.push(with(2, &text));
    }
    for text in
        ["0", "1", "0GET / HTTP/1.1\r\n\r\n", "1GET / HTTP/1.1\r\n\r\n", "0\u{16}\u{3}\u{1}"]
    {
        seeds.push(with(1, text));
    }
    for text in ["0uspiffe://x/alice", "0dClient.example", "1uspiffe://x/alice", "0", "0ux\ndy"] {
        seeds.push(with(6, text));
    }
    seeds.push(with(6, "0uspiffe://x/alice\ndclient.example"));
    seeds.extend([[7, 0xE8, 3, 0, 0, 1], [7, 0, 0, 0, 0, 0], [7, 1, 0, 0, 0, 1]].map(Vec::from));
    seeds
}
