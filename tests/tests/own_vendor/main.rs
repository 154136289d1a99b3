//! Vendors of an operator's own: the worked examples of docs/vendors.md, as they are printed there,
//! checked by the real binary, loaded by a real proxy, and called.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what is not there fails the test"
)]

mod fake;
mod files;
mod guide;
mod reference;

use std::{fs, path::Path};

use fake::{Fake, SECRETS};
use keybrake_tests::{
    API_KEY,
    process::{self, Process},
    rig::{Answer, eventually, read},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The guide.
fn document() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/vendors.md")).unwrap()
}

/// The definitions in it, with their names.
fn examples() -> Vec<(String, String)> {
    let document = document();
    let blocks = document.split("```toml\n").skip(1);
    let named = |block: &str| {
        let text = block.split_once("```").unwrap().0.to_owned();
        let name = text.strip_prefix("name = \"").unwrap().split_once('"').unwrap().0.to_owned();
        (name, text)
    };
    blocks.map(named).collect()
}

/// A proxy with the guide's vendors, before the fake of them.
struct Shop {
    fake: Fake,
    proxy: Process,
    http: reqwest::Client,
    _files: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let fake = Fake::default();
        let url = fake.serve().await;
        let files = tempfile::tempdir().unwrap();
        fs::create_dir(files.path().join("vendors")).unwrap();
        for (name, text) in examples() {
            fs::write(files.path().join(format!("vendors/{name}.toml")), text).unwrap();
        }
        // One address in the file, the others in the environment.
        let config = files.path().join("keybrake.toml");
        let text = format!(
            "vendor_files = [\"vendors/postcheck.toml\", \"vendors/wordy.toml\", \"vendors/parcel.toml\"]\n\
             [vendor.postcheck]\nbase_url = \"{url}\"\n"
        );
        fs::write(&config, text).unwrap();
        let secrets =
            SECRETS.map(|(name, secret)| (format!("KEYBRAKE_VENDOR_{name}_SECRET"), secret));
        let mut variables: Vec<_> =
            secrets.iter().map(|(name, secret)| (name.as_str(), *secret)).collect();
        let config = config.display().to_string();
        variables.extend([
            ("KEYBRAKE_CONFIG", config.as_str()),
            ("KEYBRAKE_VENDOR_WORDY_BASE_URL", url.as_str()),
            ("KEYBRAKE_VENDOR_PARCEL_BASE_URL", url.as_str()),
        ]);
        let data = files.path().join("data");
        let proxy =
            tokio::task::block_in_place(|| process::proxy(&data, "http://127.0.0.1:1", &variables));
        Self { fake, proxy, http: keybrake_tests::http(), _files: files }
    }

    /// A token for any endpoint of a vendor.
    async fn key(&self, vendor: &str, cap: &str) -> String {
        let body = json!({
            "vendor": vendor, "total_usd_cap": cap, "expires_in": "1h", "agent_run_label": "own/1",
            "allowed_endpoints": ["GET /*", "POST /*"],
        });
        let request = self.http.post(format!("{}/vault/keys", self.proxy.url));
        let answer = read(request.bearer_auth(API_KEY).json(&body)).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        answer.text("/vault_key").to_owned()
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.proxy.url))
    }

    /// A form, with the token as Basic user name.
    fn form(&self, path: &str, token: &str, form: impl Into<String>) -> reqwest::RequestBuilder {
        let request = self.post(path).basic_auth(token, Some(""));
        request.header("content-type", "application/x-www-form-urlencoded").body(form.into())
    }

    /// The audit row of a call, once it has ended.
    async fn row(&self, answer: &Answer) -> Value {
        let call = answer.header("x-keybrake-call-id").unwrap();
        let url = format!("{}/audit/calls/{call}", self.proxy.url);
        eventually("the call has ended", || async {
            let row = read(self.http.get(&url).bearer_auth(API_KEY)).await.body;
            (row["state"] == "settled").then_some(row)
        })
        .await
    }

    /// No request to the vendor carries the vault key, or a header of Keybrake's own. Beyond that
    /// the fake takes no credential but its own.
    fn assert_nothing_of(&self, token: &str) {
        for seen in self.fake.seen() {
            let all = format!("{} {:?} {}", seen.line, seen.headers, seen.body);
            assert!(!all.contains(token) && !all.contains("vault_key_"), "{all}");
            assert!(!all.contains("x-keybrake"), "{all}");
        }
    }
}
