//! The documents' commands, run as they are printed, at other addresses.

use std::{fs, path::Path, process::Command};

use crate::{
    API_KEY, SECRET,
    process::{self, Process},
};

/// The shell blocks of a document from this heading on.
///
/// # Panics
/// Where there is no such document or heading.
#[must_use]
#[expect(clippy::expect_used, reason = "a guide that is not there fails its test")]
pub fn blocks(document: &str, heading: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a repository");
    let text = fs::read_to_string(root.join(document)).expect("the document");
    let (_, section) = text.split_once(heading).expect("the heading");
    let pieces = section.split("```sh\n").skip(1);
    pieces.map(|piece| piece.split_once("```").expect("the block's end").0.to_owned()).collect()
}

/// Runs a block and says what it printed. An HTTP answer that is an error fails it. The proxy stands
/// where the document has it by default, and what else does at the given addresses.
///
/// # Panics
/// Where a command fails, or prints the vendor's secret.
#[expect(
    clippy::expect_used,
    clippy::must_use_candidate,
    reason = "a command that fails fails its test"
)]
pub fn run(
    proxy: &Process,
    script: &str,
    addresses: &[(&str, &str)],
    variables: &[(&str, &str)],
) -> String {
    let mut script = script.replace("http://127.0.0.1:8787", &proxy.url);
    for (printed, real) in addresses {
        script = script.replace(printed, real);
    }
    let script = script.replace("export KEYBRAKE_API_KEY=kb_api_choose_a_long_random_one", ":");
    let script = format!("curl() {{ command curl --fail-with-body \"$@\"; }}\n{script}");
    let program = process::binary();
    let folder = program.parent().expect("a folder").display();
    let path = std::env::var("PATH").expect("a path");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("PATH", format!("{folder}:{path}"))
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_URL", &proxy.url)
        .envs(variables.iter().copied())
        .output()
        .expect("bash runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}\n{said}\n{complained}");
    assert!(!said.contains(SECRET) && !complained.contains(SECRET));
    said
}
