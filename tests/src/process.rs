//! Real processes: the `keybrake` binary as a proxy and as a sandbox, on free ports of loopback.

use std::{
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use keybrake::sandbox::{ResendSettings, TwilioSettings};

use crate::{API_KEY, SECRET};

/// How long a process may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The built `keybrake` binary of this profile.
#[must_use]
pub fn binary() -> PathBuf {
    program("keybrake")
}

/// A built program of this workspace and profile. Builds it where a plain `cargo test` did not.
///
/// # Panics
/// Where it can't be built.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't start fails")]
pub fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let programs = PROGRAMS.get_or_init(|| {
        let test = std::env::current_exe().expect("a test has a path");
        let folder = test.parent().expect("a program is in a folder");
        let profile = if folder.ends_with("deps") { folder.parent() } else { Some(folder) };
        let profile = profile.expect("target/<profile>/deps/<test> or target/<profile>/<program>");
        // What `make bench` has built is measured as it is.
        if profile.file_name().is_some_and(|name| name == "release") {
            return profile.to_owned();
        }
        let mut build = Command::new(env!("CARGO"));
        // As a whole, so that what the tests were built with is not built again with fewer features.
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        // What Cargo tells a test about its package would tell build scripts that they have changed,
        // and half of what is built would be built again each time.
        for (name, _) in std::env::vars_os() {
            let variable = name.to_string_lossy();
            if variable.starts_with("CARGO_PKG_") || variable.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        assert!(build.status().expect("cargo runs").success(), "the programs do not build");
        profile.to_owned()
    });
    programs.join(name)
}

/// A port that nobody listens on.
///
/// # Panics
/// Where loopback has none.
#[must_use]
#[expect(clippy::expect_used, reason = "a test that can't start fails")]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// A running process, killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Where it listens, such as `http://127.0.0.1:4711`.
    pub url: String,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would: no code of it runs any more.
    pub fn kill(mut self) {
        self.stop_now();
    }

    /// Asks it to stop, and waits until it has. Says whether it ended well.
    ///
    /// # Panics
    /// Where the signal can't be sent.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that can't go on fails")]
    pub fn stop(mut self) -> bool {
        let id = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        self.child.wait().is_ok_and(|status| status.success())
    }

    fn stop_now(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop_now();
    }
}

/// Starts the sandbox as a process of its own.
#[must_use]
pub fn sandbox(arguments: &[&str]) -> Process {
    let port = free_port();
    let mut command = Command::new(program("keybrake"));
    command
        .args(["sandbox", "--listen", &format!("127.0.0.1:{port}"), "--secret", SECRET])
        .args(arguments);
    started(command, port, "/sandbox/executed")
}

/// Starts the proxy as a process of its own, with its data in this directory.
#[must_use]
pub fn proxy(data_dir: &Path, vendor_url: &str, variables: &[(&str, &str)]) -> Process {
    let port = free_port();
    started(proxy_command(&binary(), data_dir, vendor_url, variables, port), port, "/healthz")
}

/// The command that starts a proxy on this port.
#[must_use]
pub fn proxy_command(
    program: &Path,
    data_dir: &Path,
    vendor_url: &str,
    variables: &[(&str, &str)],
    port: u16,
) -> Command {
    let mut command = Command::new(program);
    command
        .arg("serve")
        .env("KEYBRAKE_LISTEN", format!("127.0.0.1:{port}"))
        .env("KEYBRAKE_DATA_DIR", data_dir)
        .env("KEYBRAKE_API_KEY", API_KEY)
        .env("KEYBRAKE_VENDOR_STRIPE_BASE_URL", vendor_url)
        .env("KEYBRAKE_VENDOR_STRIPE_SECRET", SECRET)
        .env("KEYBRAKE_VENDOR_TWILIO_BASE_URL", vendor_url)
        .env("KEYBRAKE_VENDOR_TWILIO_SECRET", TwilioSettings::default().auth_token)
        .env("KEYBRAKE_VENDOR_TWILIO_ACCOUNT", TwilioSettings::default().account_sid)
        .env("KEYBRAKE_VENDOR_RESEND_BASE_URL", vendor_url)
        .env("KEYBRAKE_VENDOR_RESEND_SECRET", ResendSettings::default().api_key)
        .env("KEYBRAKE_LOG", "warn")
        .envs(variables.iter().copied());
    command
}

/// Starts a process and waits until it answers on this port. Its standard output is dropped.
///
/// # Panics
/// Where it does not start, or does not answer in time.
#[must_use]
pub fn started(command: Command, port: u16, ready_path: &str) -> Process {
    started_when(command, port, || answers(port, ready_path))
}

/// The same for one that need not speak HTTP/1.1: waits until it listens on this port.
///
/// # Panics
/// Where it does not start, or does not listen in time.
#[must_use]
pub fn started_listening(command: Command, port: u16) -> Process {
    started_when(command, port, || TcpStream::connect(("127.0.0.1", port)).is_ok())
}

#[expect(clippy::expect_used, clippy::panic, reason = "a test that can't start fails")]
fn started_when(mut command: Command, port: u16, ready: impl Fn() -> bool) -> Process {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the process starts");
    let mut process = Process { child, url: format!("http://127.0.0.1:{port}") };
    let begun = Instant::now();
    while !ready() {
        if let Ok(Some(status)) = process.child.try_wait() {
            panic!("the process ended before it was ready: {status}");
        }
        assert!(begun.elapsed() < READY_WITHIN, "the process was not ready in time");
        std::thread::sleep(Duration::from_millis(10));
    }
    process
}

/// Whether `GET path` is answered with 200 on this port.
#[must_use]
pub fn answers(port: u16, path: &str) -> bool {
    use std::io::{Read, Write};
    let Ok(mut socket) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    socket.set_read_timeout(Some(Duration::from_secs(5))).ok();
    let asked =
        write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok()
        && socket.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
