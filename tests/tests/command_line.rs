//! The command line as a person meets it: at a terminal of 80 columns, by its help and exit codes.
//! The quickstart's commands run here too, as they are printed, on other ports.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Output},
};

use keybrake_tests::{API_KEY, SECRET, process};

fn keybrake(arguments: &[&str]) -> Command {
    let mut command = Command::new(process::binary());
    command.args(arguments).env_remove("KEYBRAKE_API_KEY");
    command
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Every command with its subcommands, as the help lists them.
fn commands(of: &[&str]) -> Vec<Vec<String>> {
    let mut arguments = of.to_vec();
    arguments.push("--help");
    let (help, _) = said(&keybrake(&arguments).output().unwrap());
    let mut all = vec![of.iter().map(ToString::to_string).collect()];
    let list = help.split_once("Commands:\n").map(|(_, rest)| rest.to_owned());
    for line in list.iter().flat_map(|list| list.lines()).take_while(|line| !line.is_empty()) {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        if let Some(name) = line.split_whitespace().next().filter(|name| is_name && *name != "help")
        {
            let mut below = of.to_vec();
            below.push(name);
            all.extend(commands(&below));
        }
    }
    all
}

#[test]
fn the_help_of_each_command_says_what_it_and_its_options_are_for() {
    let all = commands(&[]);
    let names: BTreeSet<_> = all.iter().map(|command| command.join(" ")).collect();
    for expected in [
        "serve",
        "key issue",
        "run revoke",
        "audit export",
        "report runs",
        "api-key create",
        "doctor",
    ] {
        assert!(names.contains(expected), "{expected}: {names:?}");
    }
    for command in &all {
        let mut arguments: Vec<_> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let (help, _) = said(&keybrake(&arguments).env("COLUMNS", "80").output().unwrap());
        let about = help.lines().next().unwrap();
        assert!(about.len() > 10 && !about.starts_with("Usage"), "{command:?}: {help}");
        let options: Vec<_> = help.lines().map(str::trim).collect();
        for (index, line) in options.iter().enumerate().filter(|(_, line)| line.starts_with("--")) {
            let here = line.split_once("  ").is_some();
            let below = options
                .get(index + 1)
                .is_some_and(|next| !next.starts_with('-') && !next.is_empty());
            assert!(here || below, "{command:?} says nothing of {line}");
        }
    }
}

struct Running {
    sandbox: process::Process,
    proxy: process::Process,
    data: tempfile::TempDir,
}

fn running() -> Running {
    let data = tempfile::tempdir().unwrap();
    let sandbox = process::sandbox(&[]);
    let proxy = process::proxy(data.path(), &sandbox.url, &[]);
    Running { sandbox, proxy, data }
}

impl Running {
    fn run(&self, arguments: &[&str]) -> Output {
        keybrake(arguments)
            .env("KEYBRAKE_API_KEY", API_KEY)
            .env("KEYBRAKE_URL", &self.proxy.url)
            .env("KEYBRAKE_DATA_DIR", self.data.path())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    /// What a command shows at a terminal of 80 columns.
    fn at_a_terminal(&self, arguments: &str) -> String {
        let line = format!("stty cols 80 rows 40; {} {arguments}", process::binary().display());
        let output = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("KEYBRAKE_API_KEY", API_KEY)
            .env("KEYBRAKE_URL", &self.proxy.url)
            .env("NO_COLOR", "1")
            .env_remove("COLUMNS")
            .output()
            .unwrap();
        let (shown, complained) = said(&output);
        assert!(output.status.success(), "{arguments}: {shown} {complained}");
        shown.replace('\r', "")
    }
}

#[test]
#[ignore = "needs script(1): `make test` installs it"]
fn tables_and_help_fit_a_terminal_of_80_columns() {
    let running = running();
    let issued = running.run(&[
        "key",
        "issue",
        "--total-usd-cap",
        "100",
        "--allow",
        "POST /v1/charges",
        "--json",
        "--label",
        "a-label-that-is-quite-long/with-a-run-id/0195f3a2-7e1c-7d0b-9c55-2b1f8d3e4a60",
    ]);
    let issued: serde_json::Value = serde_json::from_slice(&issued.stdout).unwrap();
    let token = issued.get("vault_key").and_then(serde_json::Value::as_str).unwrap();
    for index in 0..3 {
        let key = format!("0195f3a2-7e1c-7d0b-9c55-2b1f8d3e4a60-of-the-customer-{index}");
        let url = format!("{}/stripe/v1/charges", running.proxy.url);
        let sent = Command::new("curl")
            .args(["-sf", &url, "-H", &format!("Authorization: Bearer {token}")])
            .args(["-H", &format!("Idempotency-Key: {key}")])
            .args(["-d", "amount=100&currency=usd&source=tok_visa"])
            .output()
            .unwrap();
        assert!(sent.status.success());
    }
    let created = running.run(&["api-key", "create", "--name", "a name", "--role", "auditor"]);
    assert!(created.status.success());
    for list in [
        "key list",
        "audit list",
        "audit actions",
        "api-key list",
        "run revoked",
        "report runs",
        "report agents",
        "report vendors",
        "report anomalies",
    ] {
        let shown = running.at_a_terminal(list);
        assert!(shown.lines().count() >= 1, "{shown}");
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{list}: {} columns: {line}", line.chars().count());
        }
        for id in shown.split_whitespace().filter(|word| word.starts_with("call_")) {
            assert_eq!(id.len(), "call_0000000000000".len(), "an id is broken in two: {shown}");
        }
    }
    let runs = running.at_a_terminal("report runs");
    // Allowed, replayed, denied.
    let has_figures = |line: &str| line.split_whitespace().rev().take(3).eq(["0", "0", "3"]);
    assert!(runs.lines().any(has_figures), "{runs}");
    for command in commands(&[]) {
        for line in running.at_a_terminal(&format!("{} --help", command.join(" "))).lines() {
            assert!(line.chars().count() <= 80, "{command:?}: {line}");
        }
    }
}

#[test]
fn an_exit_code_says_how_a_command_ended() {
    let running = running();
    let key = "vk_0000000000000";
    for (arguments, code, says) in [
        (&["key", "list"][..], 0, ""),
        (&["key", "lst"], 2, "unrecognized"),
        (&["audit", "list", "--vendor", "stripe", "--since", "2026-01-01T00:00:00Z"], 0, ""),
        (&["audit", "export", "--state", "in_doubt", "--until", "yesterday"], 4, "instants"),
        (
            &[
                "audit",
                "resolve",
                "--yes",
                "call_0000000000000",
                "--settled",
                "--who",
                "a",
                "--why",
                "b",
            ],
            4,
            "there is no call",
        ),
        (&["report", "runs", "--label-prefix", "a/"], 0, ""),
        (&["report", "anomalies", "--since", "yesterday"], 4, "instants"),
        (&["key", "list", "--url", "http://127.0.0.1:1"], 3, "is the server running"),
        (&["key", "show", key], 4, "there is no vault key"),
        (&["key", "revoke", key], 5, "--yes"),
        (&["run", "revoke", "--label", "a"], 5, "nothing was changed"),
        (
            &["audit", "resolve", "call_0000000000000", "--settled", "--who", "a", "--why", "b"],
            5,
            "--yes",
        ),
        (&["api-key", "revoke", "ak_0000000000000"], 5, "--yes"),
        (&["key", "revoke", "--yes", key], 4, "not_found"),
        (&["run", "revoke", "--label-prefix", "", "--yes"], 4, "all=true"),
        (&["vendor", "list"], 1, "stop it first"),
    ] {
        let output = running.run(arguments);
        let (_, complained) = said(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complained}");
        assert!(complained.contains(says), "{arguments:?}: {complained}");
    }
}

#[test]
fn completions_are_there_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = keybrake(&["completions", shell]).output().unwrap();
        let (script, _) = said(&output);
        assert!(script.contains("keybrake") && script.contains("revoke"), "{shell}");
    }
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let running = running();
    let doctor = |variables: &[(&str, &str)]| {
        let output = keybrake(&["doctor"])
            .env("KEYBRAKE_API_KEY", API_KEY)
            .env("KEYBRAKE_DATA_DIR", running.data.path())
            .env("KEYBRAKE_VENDOR_STRIPE_BASE_URL", &running.sandbox.url)
            .env("KEYBRAKE_VENDOR_STRIPE_SECRET", SECRET)
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let (shown, _) = said(&output);
        (output.status.success(), shown.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (is_well, shown) = doctor(&[]);
    assert!(is_well, "{shown}");
    let other_key = "11".repeat(32);
    for (name, value, says) in [
        ("KEYBRAKE_VENDOR_STRIPE_BASE_URL", "http://127.0.0.1:1", "does not answer"),
        ("KEYBRAKE_VENDOR_STRIPE_SECRET", "", "keybrake vendor set stripe"),
        ("KEYBRAKE_MASTER_KEY", &other_key, "KEYBRAKE_MASTER_KEY"),
        ("KEYBRAKE_LISTEN", "nowhere", "KEYBRAKE_LISTEN"),
    ] {
        let (is_well, shown) = doctor(&[(name, value)]);
        assert!(!is_well && shown.contains("WRONG") && shown.contains(says), "{name}: {shown}");
        assert!(!shown.contains(SECRET));
    }
}

#[test]
fn a_secret_is_read_from_standard_input_or_the_environment_and_never_shown() {
    let data = tempfile::tempdir().unwrap();
    let set = |arguments: &[&str]| {
        keybrake(&[&["vendor", "set", "stripe"], arguments].concat())
            .env("KEYBRAKE_DATA_DIR", data.path())
            .env("MY_SECRET", SECRET)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    };
    let (_, complained) = said(&set(&[]));
    assert!(complained.contains("nothing was changed"), "{complained}");
    let (_, complained) = said(&set(&["--from-env", "NOT_THERE"]));
    assert!(complained.contains("NOT_THERE") && complained.contains("nothing was changed"));
    let done = set(&["--from-env", "MY_SECRET"]);
    let (shown, talk) = said(&done);
    assert!(done.status.success() && !shown.contains(SECRET) && !talk.contains(SECRET), "{talk}");
    let list =
        keybrake(&["vendor", "list"]).env("KEYBRAKE_DATA_DIR", data.path()).output().unwrap();
    let (shown, _) = said(&list);
    assert!(shown.contains("stored") && !shown.contains(SECRET), "{shown}");
}

#[test]
#[ignore = "needs jq: `make test` installs it"]
fn the_quickstarts_commands_work() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/quickstart.md");
    let text = fs::read_to_string(guide).unwrap();
    let blocks: Vec<_> =
        text.split("```sh\n").skip(1).map(|piece| piece.split_once("```").unwrap().0).collect();
    assert_eq!(blocks.len(), 6, "{blocks:?}");
    let (vendor, proxy) = (process::free_port(), process::free_port());
    let script = blocks
        .join("\n")
        .replace("127.0.0.1:8788", &format!("127.0.0.1:{vendor}"))
        .replace("127.0.0.1:8787", &format!("127.0.0.1:{proxy}"));
    let folder = process::binary().parent().unwrap().display().to_string();
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c"])
        .arg(format!("trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n{script}"))
        .current_dir(scratch.path())
        .env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()))
        .env("KEYBRAKE_LISTEN", format!("127.0.0.1:{proxy}"))
        .env("KEYBRAKE_URL", format!("http://127.0.0.1:{proxy}"))
        .env_remove("KEYBRAKE_API_KEY")
        .output()
        .unwrap();
    let (shown, complained) = said(&output);
    assert!(output.status.success(), "{shown}\n{complained}");
    let expected = [
        "succeeded",
        "succeeded",
        "cap_exhausted",
        "is exhausted: 3.00 USD",
        "key_revoked",
        "runs_lifted",
    ];
    let mut rest = shown.as_str();
    for text in expected {
        let Some((_, after)) = rest.split_once(text) else {
            panic!("no {text} in\n{shown}\n{complained}")
        };
        rest = after;
    }
    let calls = fs::read_to_string(scratch.path().join("calls.csv")).unwrap();
    assert!(calls.contains("biller") && calls.contains("item-3"), "{calls}");
}
