//! The file itself: checked before the server does, with errors that name file and line.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use keybrake_tests::process;

use crate::examples;

fn keybrake(arguments: &[&str], directory: &Path) -> (bool, String, String) {
    let run = Command::new(process::binary())
        .args(arguments)
        .current_dir(directory)
        .env("KEYBRAKE_DATA_DIR", directory.join("data"))
        // An address that is nobody's: a server that should not start does not stay either.
        .env("KEYBRAKE_LISTEN", "192.0.2.1:9")
        .env_remove("KEYBRAKE_API_KEY")
        .output();
    let Output { status, stdout, stderr } = run.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

#[test]
fn each_definition_of_the_guide_is_valid_and_its_endpoints_are_listed() {
    let examples = examples();
    let names: Vec<_> = examples.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["postcheck", "wordy", "parcel"]);
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in &examples {
        let file = format!("{name}.toml");
        fs::write(directory.path().join(&file), text).unwrap();
        let (is_valid, shown, said) = keybrake(&["vendor", "check", &file], directory.path());
        assert!(
            is_valid && said.contains(&format!("{file} is valid: {name} at https://")),
            "{said}"
        );
        let endpoints = text.lines().filter_map(|line| line.strip_prefix("endpoint = "));
        for endpoint in endpoints.map(|quoted| quoted.trim_matches('"')) {
            assert!(shown.lines().any(|line| line.contains(endpoint) && line.contains("priced")));
        }
    }
}

#[test]
fn a_wrong_definition_is_told_by_file_and_line_and_keeps_the_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let (_, text) = examples().remove(0);
    fs::write(directory.path().join("keybrake.toml"), "vendor_files = [\"own.toml\"]").unwrap();
    for (from, to, line, says) in [
        ("https://api.postcheck.example", "http://127.0.0.1:9", 2, "it is https://host"),
        (
            "https://api.postcheck.example",
            "https://10.0.0.1",
            2,
            "KEYBRAKE_VENDOR_POSTCHECK_BASE_URL",
        ),
        ("\"postcheck\"", "\"stripe\"", 1, "\"stripe\" is taken: the vendor is built in"),
        (
            "\"postcheck\"",
            "\"metrics\"",
            1,
            "\"metrics\" is taken: paths under it are Keybrake's own",
        ),
        ("units = [", "unit = [", 17, "unknown field `unit`"),
        ("\"0.02\"", "\"two cents\"", 17, "dollars with at most six decimals"),
    ] {
        fs::write(directory.path().join("own.toml"), text.replace(from, to)).unwrap();
        for command in [&["vendor", "check", "own.toml"][..], &["vendor", "list"], &["serve"]] {
            let (is_valid, _, said) = keybrake(command, directory.path());
            let told = said.lines().find(|told| told.starts_with(&format!("own.toml:{line}: ")));
            assert!(!is_valid && told.is_some_and(|told| told.contains(says)), "{to}: {said}");
        }
    }
}

#[test]
fn two_files_do_not_define_one_vendor() {
    let directory = tempfile::tempdir().unwrap();
    let (_, text) = examples().remove(0);
    for file in ["one.toml", "two.toml"] {
        fs::write(directory.path().join(file), &text).unwrap();
    }
    let config = "vendor_files = [\"one.toml\", \"two.toml\"]";
    fs::write(directory.path().join("keybrake.toml"), config).unwrap();
    let (is_valid, _, said) = keybrake(&["vendor", "list"], directory.path());
    assert!(!is_valid && said.contains("one.toml") && said.contains("two.toml"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (is_valid, _, said) = keybrake(&["vendor", "check", "none.toml"], directory.path());
    assert!(!is_valid && said.contains("none.toml can't be read"), "{said}");
}
