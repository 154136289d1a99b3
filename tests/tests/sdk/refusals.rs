//! How a call comes to be refused, for vendors whose SDKs are asked for one paid call.

use keybrake_tests::{
    rig::{self, Key},
    sdk::{Scene, Sdk},
};
use serde_json::{Value, json};

use crate::denied;

/// A vendor's SDK in the hands of a run that will be refused.
pub(crate) struct Refused<'a> {
    /// The script that makes paid calls until one is refused.
    pub(crate) script: &'a str,
    /// The key's vendor and endpoints.
    pub(crate) key: Value,
    /// A cap for one paid call and not for two.
    pub(crate) cap: &'a str,
    /// What the vendor counts, as a JSON pointer into its requests.
    pub(crate) counted: &'a str,
}

impl Refused<'_> {
    /// After one paid call the next one does not fit.
    pub(crate) async fn by_the_cap(&self, sdk: Sdk) {
        let scene = Scene::start();
        let key = self.issue(&scene, json!({ "total_usd_cap": self.cap })).await;
        self.run(&scene, sdk, &key, (1, 429, "cap_exhausted")).await;
    }

    /// The key is good for other endpoints.
    pub(crate) async fn by_the_allowlist(&self, sdk: Sdk) {
        let scene = Scene::start();
        let key = self.issue(&scene, json!({ "allowed_endpoints": ["GET /nothing"] })).await;
        self.run(&scene, sdk, &key, (0, 403, "endpoint_not_allowed")).await;
    }

    /// The key's second is over.
    pub(crate) async fn by_the_expiry(&self, sdk: Sdk) {
        let scene = Scene::start();
        let short = json!({ "expires_in": null, "expires_in_seconds": 1 });
        let key = self.issue(&scene, short).await;
        rig::eventually("the key is expired", || async {
            let shown = scene.ask("GET", &format!("/vault/keys/{}", key.id)).await;
            (shown.text("/state") == "expired").then_some(())
        })
        .await;
        self.run(&scene, sdk, &key, (0, 401, "key_expired")).await;
    }

    /// The run was stopped.
    pub(crate) async fn by_a_revocation(&self, sdk: Sdk) {
        let scene = Scene::start();
        let key = self.issue(&scene, json!({})).await;
        scene.ask("DELETE", &format!("/vault/keys/{}", key.id)).await;
        self.run(&scene, sdk, &key, (0, 401, "key_revoked")).await;
    }

    async fn issue(&self, scene: &Scene, more: Value) -> Key {
        let mut key = self.key.clone();
        if let (Some(key), Value::Object(more)) = (key.as_object_mut(), more) {
            key.extend(more);
        }
        scene.issue(key).await
    }

    /// Runs the script: so many calls are paid, and the next one is refused like that, once, and
    /// never seen by the vendor.
    async fn run(
        &self,
        scene: &Scene,
        sdk: Sdk,
        key: &Key,
        (paid, status, code): (u64, u16, &str),
    ) {
        let variables =
            [("PAID", paid.to_string()), ("STATUS", status.to_string()), ("CODE", code.to_owned())];
        let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        scene.run_with(sdk, self.script, key, &variables).await;
        assert_eq!(scene.count(self.counted).await, paid);
        assert_eq!(denied(scene).await, [code]);
    }
}
