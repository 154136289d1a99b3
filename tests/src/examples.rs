//! The examples in TypeScript, type-checked, built and run as a user would, with the real SDKs.

use std::{path::Path, process::Command};

use crate::{
    API_KEY,
    process::{self, Process},
    sdk,
};

/// Starts the example of this name on a free port of loopback, for this proxy.
///
/// # Panics
/// Where it does not build or start.
#[must_use]
#[expect(clippy::expect_used, reason = "an example that does not start fails its test")]
pub fn typescript(name: &str, proxy_url: &str, variables: &[(&str, &str)]) -> Process {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a repository");
    let (source, built) = (root.join("examples").join(name), sdk::tool(name));
    let mut copy = Command::new("cp");
    copy.arg("-r").args([source.join("src"), source.join("tsconfig.json")]).arg(&built);
    assert!(copy.status().expect("cp runs").success(), "{name} is not installed: run make test");
    let mut compile = Command::new("node");
    compile.arg("node_modules/typescript/bin/tsc").current_dir(&built);
    assert!(compile.status().expect("node runs").success(), "{name} does not build");
    let port = process::free_port();
    let mut command = Command::new("node");
    command
        // What some SDKs take from Node 22, for tests on Node 20.
        .args([Path::new("--import"), &root.join("tests/restate/polyfill.mjs")])
        .arg("dist/main.js")
        .current_dir(&built)
        .env("PORT", port.to_string())
        .env("KEYBRAKE_URL", proxy_url)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .envs(variables.iter().copied());
    process::started_listening(command, port)
}
