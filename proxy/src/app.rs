//! What every request needs: the ledger, the vendors, the keys, the clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use keybrake_core::{
    access::{ApiKey, Grant},
    budget::Corrupt,
    ids::{CallId, KeyId},
    ledger::{Command, Recovered, Reply, rows::VaultKey},
    path::CanonicalPath,
    rates::Rates,
    refusal::Refusal,
    token::{ApiToken, TokenHash, VaultToken},
    vendor::definition::{CredentialPlace, Definition},
};
use memchr::memmem::Finder;
use secrecy::{ExposeSecret, SecretBox, SecretString};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::{
    config::{Config, VendorConfig},
    failures::Failures,
    gate::InFlight,
    limits::Limits,
    metrics::Metrics,
    outside::{Clock, Ids},
    seal::SealKey,
    store::{
        StoreError,
        reader::{ListedApiKey, Readers},
        sqlite::{Durability, SqliteStore},
        writer::{Decided, Writer},
    },
    upstream::Upstream,
    waiters::Waiters,
};

/// How many vault keys are remembered by their tokens. What is remembered never changes.
const REMEMBERED_KEYS: usize = 10_000;
/// How many API keys are remembered.
const REMEMBERED_API_KEYS: usize = 1_000;
/// For how long one is remembered: a revoked one works for so long at most.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);
/// How exactly it is known when an API key was last used.
const LAST_USE_WITHIN: Duration = Duration::from_mins(1);

/// A vendor with its secret.
pub struct Vendor {
    /// Its definition.
    pub definition: Definition,
    /// Where all of it is reached, where the operator says so.
    pub own_address: Option<String>,
    /// The account that the secret is for, where the vendor's paths name it.
    pub account: Option<String>,
    /// Whether its objects are tagged.
    pub tags: bool,
    secret: Option<VendorSecret>,
    request_headers: Vec<HeaderName>,
    answer_headers: Vec<HeaderName>,
}

struct VendorSecret {
    value: SecretString,
    finder: Finder<'static>,
}

impl Vendor {
    /// The real secret, for the one request that carries it.
    #[must_use]
    pub fn secret(&self) -> Option<&SecretString> {
        self.secret.as_ref().map(|secret| &secret.value)
    }

    /// Where a path is reached.
    #[must_use]
    pub fn address_of(&self, path: &str) -> &str {
        self.own_address.as_deref().unwrap_or_else(|| self.definition.address_of(path))
    }

    /// The path with our account in the place where the vendor's paths name one.
    ///
    /// # Errors
    /// [`Refusal::EndpointNotAllowed`] for another account.
    pub fn own_account_in(&self, path: CanonicalPath) -> Result<CanonicalPath, Refusal> {
        let Some(place) = &self.definition.account else {
            return Ok(path);
        };
        let Some(own) = self.account.as_deref() else {
            let name = self.definition.name();
            return Err(Refusal::InvalidRequest {
                why: format!("the operator has not said which account of {name} to use"),
            });
        };
        match path.segment_after(&place.after) {
            Some(given) if place.placeholders.iter().any(|placeholder| placeholder == given) => {
                Ok(path.with_segment_after(&place.after, own))
            }
            Some(given) if given != own => Err(Refusal::EndpointNotAllowed {
                attempted: path.to_string(),
                allowed: Vec::new(),
            }),
            Some(_) | None => Ok(path),
        }
    }

    /// Whether these bytes contain the real secret.
    #[must_use]
    pub fn leaks_into(&self, bytes: &[u8]) -> bool {
        self.secret.as_ref().is_some_and(|secret| secret.finder.find(bytes).is_some())
    }

    /// What passes of a caller's headers.
    #[must_use]
    pub fn passing_request(&self, headers: &HeaderMap) -> HeaderMap {
        passing(&self.request_headers, headers, |_| true)
    }

    /// What passes of this vendor's headers: nothing that contains the real secret.
    #[must_use]
    pub fn passing_answer(&self, headers: &HeaderMap) -> HeaderMap {
        passing(&self.answer_headers, headers, |value| !self.leaks_into(value.as_bytes()))
    }

    /// How many bytes of the secret could stand at the end of a chunk without its being seen.
    #[must_use]
    pub fn secret_overlap(&self) -> usize {
        self.secret
            .as_ref()
            .map_or(0, |secret| secret.value.expose_secret().len().saturating_sub(1))
    }
}

/// Shared by all requests.
pub struct App {
    /// The way to the ledger.
    pub writer: Writer,
    /// Questions beside the ledger.
    pub readers: Arc<Readers>,
    /// The time.
    pub clock: Clock,
    /// The vendors by name.
    pub vendors: BTreeMap<String, Arc<Vendor>>,
    /// Headers of their own that vendors take their credential in: SDKs put a vault key there too.
    pub credential_headers: Vec<HeaderName>,
    /// The way to the vendors.
    pub upstream: Upstream,
    /// The requests that may send something.
    pub in_flight: InFlight,
    /// The calls that wait for money.
    pub waiters: Waiters,
    /// What outlives its request.
    pub tasks: TaskTracker,
    /// Seals stored answers.
    pub seal: SealKey,
    /// What the server puts up with.
    pub limits: Limits,
    /// Who failed to authenticate of late.
    pub failures: Failures,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// How long a vendor may take to answer.
    pub vendor_timeout: Duration,
    /// How long a call waits for money that others hold.
    pub contention_wait: Duration,
    /// How long answers are kept.
    pub answers_kept: Duration,
    /// How callers reach this proxy, where it is configured.
    pub public_url: Option<String>,
    rates: RwLock<Arc<Rates>>,
    token_key: SecretBox<[u8; 32]>,
    api_key: SecretString,
    ids: Ids,
    keys: quick_cache::sync::Cache<TokenHash, Arc<VaultKey>>,
    named_keys: quick_cache::sync::Cache<KeyId, Arc<VaultKey>>,
    api_keys: quick_cache::sync::Cache<TokenHash, (Arc<ApiKey>, Instant)>,
}

impl App {
    /// Opens the ledger and makes everything ready. The receiver hears when the ledger is closed.
    pub async fn open(
        config: Config,
        clock: Clock,
        durability: Durability,
    ) -> anyhow::Result<(Arc<Self>, oneshot::Receiver<()>)> {
        let mut store = SqliteStore::open(&config.data_dir, durability)?;
        let master = &config.master_key;
        let data_key = store.wrapped_key("data", || master.wrap_new_key("data"))?;
        let token_key = store.wrapped_key("token", || master.wrap_new_key("token"))?;
        let seal = SealKey::new(master.unwrap_key("data", &data_key)?);
        let token_key = SecretBox::new(Box::new(master.unwrap_key("token", &token_key)?));
        let vendors = vendors(config.vendors, &store, &seal)?;
        let readers = Arc::new(Readers::open(&config.data_dir)?);
        let waiters = Waiters::default();
        let metrics = Arc::new(Metrics::default());
        store.measure(Arc::clone(&metrics))?;
        let (writer, closed) = Writer::start(store, clock.clone(), waiters.clone())?;
        if let Reply::Recovered(recovered) = writer.decide(Command::Recover).await?.reply {
            report(&recovered);
        }
        let app = Self {
            writer,
            readers,
            clock,
            credential_headers: credential_headers(&vendors)?,
            vendors,
            upstream: Upstream::new()?,
            in_flight: InFlight::default(),
            waiters,
            tasks: TaskTracker::new(),
            seal,
            limits: config.limits,
            metrics,
            failures: Failures::new(config.limits.failures_per_minute, Instant::now()),
            vendor_timeout: config.vendor_timeout,
            contention_wait: config.contention_wait,
            answers_kept: config.answers_kept,
            public_url: config.public_url,
            rates: RwLock::new(Arc::new(config.rates)),
            token_key,
            api_key: config.api_key,
            ids: Ids::default(),
            keys: quick_cache::sync::Cache::new(REMEMBERED_KEYS),
            named_keys: quick_cache::sync::Cache::new(REMEMBERED_KEYS),
            api_keys: quick_cache::sync::Cache::new(REMEMBERED_API_KEYS),
        };
        Ok((Arc::new(app), closed))
    }

    /// What foreign money is in dollars.
    #[must_use]
    pub fn rates(&self) -> Arc<Rates> {
        Arc::clone(&self.rates.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number for a new id.
    #[must_use]
    pub fn new_id(&self) -> i64 {
        self.ids.next(&self.clock)
    }

    /// An id for a new call.
    #[must_use]
    pub fn new_call(&self) -> CallId {
        CallId::from_number(self.new_id())
    }

    /// The token of a vault key.
    #[must_use]
    pub fn token_of(&self, key: KeyId) -> VaultToken {
        VaultToken::derive(self.token_key.expose_secret(), key)
    }

    /// Whether this is the admin's API key. Takes the same time wherever the two differ.
    fn is_admins(&self, given: &str) -> bool {
        use subtle::ConstantTimeEq;
        self.api_key.expose_secret().as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// What an API key grants now.
    pub async fn grant_of(&self, given: &str) -> Result<Grant, Refusal> {
        if self.is_admins(given) {
            return Ok(Grant::admin());
        }
        let hash = ApiToken::parse(given).ok_or(Refusal::InvalidKey)?.hash();
        let now = self.clock.now();
        if let Some((key, read)) = self.api_keys.get(&hash)
            && read.elapsed() < REMEMBERED_FOR
        {
            return Grant::of(&key, now);
        }
        let read = Instant::now();
        let found = self.read(move |readers| readers.api_key_by_token(&hash)).await?;
        let ListedApiKey { key, last_used_at } = found.ok_or(Refusal::InvalidKey)?;
        let grant = Grant::of(&key, now)?;
        if last_used_at.is_none_or(|at| now.since(at) >= LAST_USE_WITHIN) {
            self.writer.touch_api_key(key.id, now).await.map_err(|error| unavailable(&error))?;
        }
        self.api_keys.insert(hash, (Arc::new(key), read));
        Ok(grant)
    }

    /// The vault key with this id or, where it has expired, the last that refreshes made of it.
    pub async fn key_named(&self, id: KeyId) -> Result<Option<Arc<VaultKey>>, Refusal> {
        let lives = |key: &Arc<VaultKey>| self.clock.now() < key.expires_at;
        if let Some(key) = self.named_keys.get(&id).filter(lives) {
            return Ok(Some(key));
        }
        let Some((mut key, rows)) = self.read(move |readers| readers.key_by_id(id)).await? else {
            return Ok(None);
        };
        while let Some(next) = key.successor.and_then(|next| rows.keys.get(&next)) {
            key = next.clone();
        }
        let key = Arc::new(key);
        self.named_keys.insert(id, Arc::clone(&key));
        Ok(Some(key))
    }

    /// Has the ledger decide; a ledger that can't is a refusal.
    pub async fn decide(&self, command: Command) -> Result<Decided, Refusal> {
        self.writer.decide(command).await.map_err(|error| unavailable(&error))
    }

    /// Asks the ledger's readers, off the async workers.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Readers) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let readers = Arc::clone(&self.readers);
        let asked = tokio::task::spawn_blocking(move || question(&readers)).await;
        asked.map_err(|_| Refusal::LedgerUnavailable)?.map_err(|error| unavailable(&error))
    }

    /// The vault key with this token.
    pub async fn key_of(&self, token: &VaultToken) -> Result<Arc<VaultKey>, Refusal> {
        let hash = token.hash();
        if let Some(key) = self.keys.get(&hash) {
            return Ok(key);
        }
        self.metrics.token_looked_up();
        let found = self.read(move |readers| readers.key_by_token(&hash)).await?;
        let key = Arc::new(found.ok_or(Refusal::InvalidKey)?);
        self.keys.insert(hash, Arc::clone(&key));
        Ok(key)
    }
}

fn report(recovered: &Recovered) {
    if recovered.in_doubt > 0 {
        tracing::warn!(
            calls = recovered.in_doubt,
            "calls were in flight when the last process stopped; they are in doubt and will be looked up"
        );
    }
    for (call, Corrupt(budget)) in &recovered.stay_held {
        tracing::error!(%call, %budget, "the amounts of a budget do not add up; its call stays held");
    }
}

fn unavailable(error: &StoreError) -> Refusal {
    tracing::error!(%error, source = ?std::error::Error::source(error), "the ledger is not available");
    Refusal::LedgerUnavailable
}

/// The table that vendor secrets are sealed for.
pub const VENDOR_SECRETS: &str = "vendor_secrets";

fn vendors(
    configs: BTreeMap<String, VendorConfig>,
    store: &SqliteStore,
    seal: &SealKey,
) -> anyhow::Result<BTreeMap<String, Arc<Vendor>>> {
    let mut stored = BTreeMap::new();
    for (name, sealed, _) in store.vendor_secrets()? {
        let secret = String::from_utf8(seal.open(VENDOR_SECRETS, &name, &sealed)?)?;
        stored.insert(name, SecretString::from(secret));
    }
    let vendor = |(name, config): (String, VendorConfig)| {
        let secret = config.secret.or_else(|| stored.remove(&name)).map(|value| {
            let finder = Finder::new(value.expose_secret().as_bytes()).into_owned();
            VendorSecret { value, finder }
        });
        let headers = &config.definition.headers;
        let vendor = Vendor {
            request_headers: header_names(headers.request.iter().chain(&headers.account))?,
            answer_headers: header_names(headers.response.iter())?,
            definition: config.definition,
            own_address: config.own_address,
            account: config.account,
            tags: config.tags,
            secret,
        };
        Ok((name, Arc::new(vendor)))
    };
    configs.into_iter().map(vendor).collect()
}

fn credential_headers(vendors: &BTreeMap<String, Arc<Vendor>>) -> anyhow::Result<Vec<HeaderName>> {
    let own = |vendor: &Arc<Vendor>| match &vendor.definition.credential_to {
        CredentialPlace::Header(name) => Some(name.clone()),
        CredentialPlace::Bearer | CredentialPlace::BasicUser | CredentialPlace::BasicPassword => {
            None
        }
    };
    // Two vendors can have the same.
    let names: BTreeSet<String> = vendors.values().filter_map(own).collect();
    header_names(names.iter())
}

fn header_names<'a>(names: impl Iterator<Item = &'a String>) -> anyhow::Result<Vec<HeaderName>> {
    let name = |name: &String| {
        HeaderName::try_from(name).with_context(|| format!("{name:?} is not a header's name"))
    };
    names.map(name).collect()
}

fn passing(
    names: &[HeaderName],
    headers: &HeaderMap,
    may_pass: impl Fn(&HeaderValue) -> bool,
) -> HeaderMap {
    let mut passing = HeaderMap::with_capacity(names.len());
    for name in names {
        if let Some(value) = headers.get(name).filter(|value| may_pass(value)) {
            passing.insert(name.clone(), value.clone());
        }
    }
    passing
}
