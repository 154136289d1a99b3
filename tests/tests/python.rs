//! The Python package: what checks it, its own tests, its wheel, and its examples on Ray.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what is not there fails the test")]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use keybrake_tests::process;
use tempfile::TempDir;
use tokio::{process::Command, sync::Mutex};

/// How long one command may run. The longest one starts Ray and runs all of the package's tests.
const WITHIN: Duration = Duration::from_mins(10);
/// How long it may take to stop what it started, when it is asked to.
const STOPS_WITHIN: Duration = Duration::from_secs(30);

/// One version for all of Keybrake.
const WHEEL: &str = concat!("wheels/keybrake-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl");

/// Ray wants the machine for itself: one at a time.
static TURN: Mutex<()> = Mutex::const_new(());

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().canonicalize().unwrap()
}

/// Where `tests/install.sh` puts Python with Ray.
fn bin(program: &str) -> PathBuf {
    let tools = root().join("target/test-tools");
    assert!(tools.join("ray.stamp").exists(), "Ray is not installed in target: run make test");
    tools.join("ray/bin").join(program)
}

/// A command in the package's folder that writes nothing there and nothing to anybody's home.
fn command(program: &str, home: &TempDir) -> Command {
    let mut command = Command::new(bin(program));
    let ours = |name: &str| name.starts_with("KEYBRAKE_") || name.starts_with("RAY_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
        .current_dir(root().join("integrations/python"))
        .env("HOME", home.path())
        .env("KEYBRAKE_BIN", process::binary())
        .env("NO_PROXY", "*")
        .env("no_proxy", "*")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", root().join("integrations/python/src"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs it to its end, and expects success. Says what it printed.
async fn run(mut command: Command) -> String {
    let child = command.spawn().unwrap();
    let id = child.id().unwrap().to_string();
    let mut ended = Box::pin(child.wait_with_output());
    let Ok(output) = tokio::time::timeout(WITHIN, &mut ended).await else {
        // As a person would: it then stops what it started.
        Command::new("kill").args(["-INT", &id]).status().await.unwrap();
        let output = tokio::time::timeout(STOPS_WITHIN, ended).await;
        panic!(
            "{command:?} did not end within {WITHIN:?}\n{}",
            output.map_or_else(|_| String::new(), said)
        );
    };
    let output = output.unwrap();
    let success = output.status.success();
    let said = said(Ok(output));
    assert!(success, "{command:?}\n{said}");
    said
}

fn said(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test]
#[ignore = "needs Ray: run make test"]
async fn the_package_and_its_examples_are_clean() {
    let _turn = TURN.lock().await;
    let home = tempfile::tempdir().unwrap();
    let all = ["src", "tests", "../../examples/ray"];
    for arguments in [&["check", "--no-cache"][..], &["format", "--no-cache", "--check"][..]] {
        let mut ruff = command("ruff", &home);
        ruff.args(arguments).args(all);
        run(ruff).await;
    }
    let mut mypy = command("mypy", &home);
    // Without what it read before, it reads all of Ray's and Stripe's types each time.
    mypy.arg("--strict").arg("--cache-dir").arg(root().join("target/test-tools/mypy")).args(all);
    run(mypy).await;
}

#[tokio::test]
#[ignore = "needs Ray: run make test"]
async fn the_packages_own_tests_pass_on_the_real_program_and_on_ray() {
    let _turn = TURN.lock().await;
    let home = tempfile::tempdir().unwrap();
    let mut pytest = command("python", &home);
    pytest.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=10"]);
    let said = run(pytest).await;
    assert!(said.contains(" passed") && !said.contains("skipped"), "{said}");
}

#[tokio::test]
#[ignore = "needs Ray: run make test"]
async fn a_wheel_builds_and_is_typed_and_brings_its_fixtures() {
    let _turn = TURN.lock().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().display().to_string();
    let pip = |arguments: &[&str]| {
        let mut pip = command("python", &home);
        // A build leaves files beside what it is made of.
        pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(arguments);
        pip.current_dir(&folder);
        pip
    };
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(root().join("integrations/python")).arg(home.path().join("source"));
    assert!(copy.status().await.unwrap().success());
    run(pip(&[
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        "wheels",
        "./source",
    ]))
    .await;
    run(pip(&["install", "--no-index", "--no-deps", "--target", "site", WHEEL])).await;
    let mut installed = command("python", &home);
    installed.current_dir(&folder).env("PYTHONPATH", "site").args([
        "-c",
        "import importlib.metadata, pathlib, keybrake, keybrake.ray, keybrake.testing\n\
         folder = pathlib.Path(keybrake.__file__).parent\n\
         assert folder == pathlib.Path('site/keybrake').absolute(), folder\n\
         assert (folder / 'py.typed').exists()\n\
         plugins = importlib.metadata.distribution('keybrake').entry_points.select(group='pytest11')\n\
         assert [plugin.value for plugin in plugins] == ['keybrake.testing.plugin'], plugins",
    ]);
    run(installed).await;
}

#[tokio::test]
#[ignore = "needs Ray: run make test"]
async fn the_examples_say_what_the_engine_the_ledger_and_the_vendor_each_saw() {
    let _turn = TURN.lock().await;
    let home = tempfile::tempdir().unwrap();
    let mut example = command("python", &home);
    example.arg(root().join("examples/ray/run_all.py")).current_dir(root());
    let said = run(example).await;
    let (_, said) = said.split_once("Everything is stopped.").unwrap();
    let vendor: Vec<_> =
        said.lines().filter(|line| line.contains("vendor:")).map(str::trim).collect();
    assert_eq!(
        vendor,
        [
            "vendor: 4 charges executed, $119.96",
            "vendor: 1 charge executed, $29.99",
            "vendor: 100 charges executed, $20000.00",
            "vendor: 0 charges executed, $0.00",
            "vendor: 2 charges executed, $59.98",
            "vendor: 1 charge executed, $29.99",
        ]
    );
    for told in [
        "engine: the task failed: ConnectionError",
        "ledger: 1 allowed, 3 replayed by 1 vault key; $29.99 spent",
        "ledger: 100 denied by 100 vault keys; $0.00 spent",
        "ledger: 1 allowed, 1 replayed by 2 vault keys; $29.99 spent",
        "engine: 2 requests, the last one answered by another replica",
    ] {
        assert!(said.contains(told), "{told}\n{said}");
    }
}
