//! Tests of `context.rs`: precedence, the file's form and its replacement.

use super::*;

const NONE: Typed = Typed { endpoint: false, tenant: false };

fn globals(config: &Path) -> Globals {
    Globals { config: Some(config.to_owned()), ..Globals::default() }
}

fn file_with(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nested").join("config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    (folder, path)
}

const TWO: &str = "\
current = \"lab\"
[contexts.lab]
endpoint = \"http://lab:1\"
tenant = \"blue\"
[contexts.bare]
";

#[test]
fn a_flag_goes_before_the_context_and_that_before_the_default() {
    let (_folder, path) = file_with(TWO);
    let lab = settings(&globals(&path), NONE).unwrap();
    assert_eq!(lab.endpoint.to_string(), "http://lab:1");
    assert_eq!(lab.tenant.as_deref(), Some("blue"));
    assert_eq!(lab.endpoint_source, "context lab");

    let endpoint = Some("http://other:2".parse().unwrap());
    let flag = Globals { endpoint, ..globals(&path) };
    let typed = Typed { endpoint: true, tenant: false };
    let given = settings(&flag, typed).unwrap();
    assert_eq!(given.endpoint.to_string(), "http://other:2");
    assert_eq!(given.endpoint_source, "--endpoint");
    assert_eq!(given.tenant.as_deref(), Some("blue"));
    assert_eq!(settings(&flag, NONE).unwrap().endpoint_source, "LINMEMCTL_ENDPOINT");

    let bare = Globals { context: Some("bare".to_owned()), ..globals(&path) };
    let bare = settings(&bare, NONE).unwrap();
    assert_eq!(bare.endpoint.to_string(), DEFAULT_ENDPOINT);
    assert_eq!(bare.tenant, None);
}

#[test]
fn an_absent_file_means_defaults_but_an_unknown_context_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.toml");
    assert_eq!(settings(&globals(&path), NONE).unwrap().endpoint.to_string(), DEFAULT_ENDPOINT);
    let named = Globals { context: Some("x".to_owned()), ..globals(&path) };
    let error = settings(&named, NONE).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("no context `x`"), "{error}");
}

#[test]
fn an_unknown_key_and_a_wrong_endpoint_are_refused_by_name() {
    let (_folder, path) = file_with("[contexts.a]\nendpiont = \"x\"\n");
    let error = settings(&globals(&path), NONE).unwrap_err().to_string();
    assert!(error.contains("endpiont"), "{error}");
    let (_folder, path) = file_with("current = \"a\"\n[contexts.a]\nendpoint = \"ftp://h:1\"\n");
    let error = settings(&globals(&path), NONE).unwrap_err().to_string();
    assert!(error.contains("context `a`") && error.contains("https://"), "{error}");
}

#[test]
fn a_file_reads_back_as_it_was_written_into_a_folder_that_was_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").join("b").join("config.toml");
    let (_other, source) = file_with(TWO);
    let file = read(&source).unwrap();
    write(&path, &file).unwrap();
    assert_eq!(read(&path).unwrap(), file);
    assert!(!path.with_extension("toml.new").exists());
}

#[test]
fn set_stores_what_was_typed_and_not_what_the_environment_holds() {
    let mut context = Context::default();
    let endpoint = Some("http://h:1".parse().unwrap());
    let globals = Globals { endpoint, tenant: Some("t".to_owned()), ..Globals::default() };
    set(&mut context, &globals, Typed { endpoint: false, tenant: true }).unwrap();
    assert_eq!(context, Context { endpoint: None, tenant: Some("t".to_owned()) });
    assert!(matches!(set(&mut context, &globals, NONE), Err(CtlError::Usage(_))));
}

#[test]
fn names_are_plain() {
    assert!(checked("lab-1.eu_west").is_ok());
    assert!(checked("").is_err() && checked("a b").is_err());
}
