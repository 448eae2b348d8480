//! A site: a virtual host, a directory with a store, settings, and a client that plays billing
//! and asset management. A test of its own each, so that tests run beside each other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use lapin::BasicProperties;
use lapin::types::FieldTable;
use serde_json::Value;
use tempfile::TempDir;

use super::bridge::{Bridge, Ended};
use super::command::{Output, Settings};
use super::wait::fail;
use super::{Client, Message, Request, Shared, has_rabbitmq, positive, properties, request, until};

/// The names of the queues, as promised.
pub(crate) mod queue {
    pub(crate) const REQUEST: &str = "ccb.sp.request";
    pub(crate) const LOCATION: &str = "wam.location.request";
    pub(crate) const ANSWER: &str = "wam.location.ack";
    pub(crate) const REPLY: &str = "ccb.sp.ack";
    pub(crate) const REQUEST_ERROR: &str = "ccb.sp.request.error";
    pub(crate) const ANSWER_ERROR: &str = "wam.location.ack.error";
    /// tieline's own; it works without it.
    pub(crate) const FENCE: &str = "tieline.fence";
    /// Every one that messages of either side are on.
    pub(crate) const ALL: [&str; 6] =
        [REQUEST, LOCATION, ANSWER, REPLY, REQUEST_ERROR, ANSWER_ERROR];
    /// A queue of the test's own on the error exchange.
    pub(crate) const TAP: &str = "test.errors";
}

/// A site.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) client: Client,
    dir: TempDir,
    settings: Settings,
}

impl Site {
    /// A site on the shared broker; nothing on a machine without RabbitMQ.
    pub(crate) fn open() -> Option<Self> {
        has_rabbitmq().then(|| Self::at(&Shared::broker().vhost()))
    }

    /// A site on this virtual host.
    pub(crate) fn at(url: &str) -> Self {
        let client = Client::connect(url);
        let dir = TempDir::with_prefix("tieline-site-").unwrap();
        let mut settings = Settings::default();
        settings.set("amqp.url", url);
        settings.set("store.url", &format!("sqlite:{}", dir.path().join("tieline.db").display()));
        settings.set("http.listen", "");
        settings.set("unreachable.retry_max", "500ms");
        Self { url: url.to_owned(), client, dir, settings }
    }

    /// With this setting, named as in the settings file.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.set(name, value);
        self
    }

    /// Changes a setting for the next start.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.settings.set(name, value);
    }

    /// With a copy of the mappings that come with the bridge, to be changed.
    pub(crate) fn with_own_mappings(self) -> Self {
        let folder = self.mappings();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("transforms"), &folder);
        let folder = folder.display().to_string();
        self.with("transforms.folder", &folder)
    }

    /// Where this site's own mappings are.
    pub(crate) fn mappings(&self) -> PathBuf {
        self.path("mappings")
    }

    /// Adds an entry to a value map of this site's own mappings.
    pub(crate) fn add_entry(&self, map: &str, from: &str, to: &str) {
        let path = self.mappings().join(format!("maps/{map}.toml"));
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{}\n\"{from}\" = \"{to}\"\n", text.trim_end())).unwrap();
    }

    /// A path in the directory in which the bridge runs.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Leaves the directory behind, for whoever looks into what went wrong.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    /// The file of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("tieline.db")
    }

    /// The command line of this site, for another thread or another machine.
    pub(crate) fn beside(&self) -> Desk {
        Desk { dir: self.dir.path().to_owned(), settings: self.settings.clone() }
    }

    /// Starts the bridge and returns when it is up.
    #[track_caller]
    pub(crate) fn start(&self) -> Bridge {
        Bridge::start(self.dir.path(), &self.settings)
    }

    /// Starts a bridge that will refuse to run.
    #[track_caller]
    pub(crate) fn start_in_vain(&self) -> Ended {
        Bridge::start_in_vain(self.dir.path(), &self.settings)
    }

    /// Connects again to a broker that was away.
    pub(crate) fn reconnect(&mut self) {
        self.client = Client::connect(&self.url);
    }

    /// Runs a command.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        Output::of(self.dir.path(), &self.settings, args)
    }

    /// Starts a command beside the test.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.spawn_at(&self.settings.value("amqp.url"), args)
    }

    /// Starts a command beside the test that goes to the broker by this URL.
    pub(crate) fn spawn_at(&self, url: &str, args: &[&str]) -> Child {
        let mut settings = self.settings.clone();
        settings.set("amqp.url", url);
        let mut command = settings.command(self.dir.path());
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Billing sends a request.
    #[track_caller]
    pub(crate) fn send(&self, request: &Request) {
        self.send_bytes(&request.bytes());
    }

    /// Billing sends some bytes.
    #[track_caller]
    pub(crate) fn send_bytes(&self, bytes: &[u8]) {
        self.client.publish(queue::REQUEST, bytes, properties());
    }

    /// Asset management takes the next asset location, which must be of this sync request.
    #[track_caller]
    pub(crate) fn location_of(&self, sync_request: &str) -> Message {
        let location = self.client.next(queue::LOCATION);
        assert_eq!(location.sync_request(), sync_request, "the next asset location");
        location
    }

    /// Billing takes the next reply, which must be about this sync request.
    #[track_caller]
    pub(crate) fn reply_to(&self, sync_request: &str) -> Message {
        let reply = self.client.next(queue::REPLY);
        assert_eq!(reply.sync_request(), sync_request, "the next reply: {}", reply.text());
        reply
    }

    /// Billing takes the next reply, which must be a positive one about this sync request.
    #[track_caller]
    pub(crate) fn positive_reply_to(&self, sync_request: &str) -> Message {
        let reply = self.reply_to(sync_request);
        assert!(reply.is_positive(), "{}", reply.text());
        reply
    }

    /// Billing takes the next reply, which must be a negative one about this sync request.
    #[track_caller]
    pub(crate) fn negative_reply_to(&self, sync_request: &str) -> Message {
        let reply = self.reply_to(sync_request);
        assert!(!reply.is_positive(), "{}", reply.text());
        reply
    }

    /// Asset management answers an asset location, correlated as it should be.
    #[track_caller]
    pub(crate) fn answer(&self, location: &Message, answer: &[u8]) {
        let correlation = location.correlation_id();
        self.answer_with(answer, properties().with_correlation_id(correlation.into()));
    }

    /// Asset management sends an answer with these properties.
    #[track_caller]
    pub(crate) fn answer_with(&self, answer: &[u8], properties: BasicProperties) {
        self.client.publish(queue::ANSWER, answer, properties);
    }

    /// Asset management takes the next asset location and answers it positively; returns it.
    #[track_caller]
    pub(crate) fn accept(&self, sync_request: &str) -> Message {
        let location = self.location_of(sync_request);
        self.answer(&location, &positive(sync_request, &format!("KEY-{sync_request}")));
        location
    }

    /// A request goes the whole way: location, answer, reply. Returns location and reply.
    #[track_caller]
    pub(crate) fn synchronise(&self, request: &Request) -> (Message, Message) {
        self.send(request);
        let location = self.accept(&request.id);
        (location, self.positive_reply_to(&request.id))
    }

    /// Proves that neither asset management nor billing got anything more: a request that is sent
    /// now is the next that both hear of.
    #[track_caller]
    pub(crate) fn nothing_more(&self, marker: &str) {
        self.synchronise(&request(marker, &format!("9{marker}")));
    }

    /// Follows all that is published to the error exchange from now on.
    pub(crate) fn tap_errors(&self) {
        self.client.declare(queue::TAP, FieldTable::default());
        self.client.bind(queue::TAP, "tieline.errors", "#");
    }

    /// The newest request with this sync request id, once it is in this state.
    #[track_caller]
    pub(crate) fn request_is(&self, id: &str, state: &str) -> Value {
        until(&format!("request {id} to be {state}"), || {
            let shown = self.cli(&["requests", "show", id, "--json"]);
            (shown.code == 0).then(|| shown.json()).filter(|request| request["state"] == state)
        })
    }

    /// The timeline of the newest request with this sync request id, once it says that billing
    /// was told: until then a bridge that ends tells it again.
    #[track_caller]
    pub(crate) fn is_told(&self, id: &str) -> Value {
        until(&format!("a timeline of {id} with a delivered reply"), || {
            let traced = self.cli(&["requests", "trace", id, "--json"]).ended(0).json();
            let told = traced["timeline"].as_array()?.iter().any(|line| line["kind"] == "replied");
            told.then_some(traced)
        })
    }

    /// The open error records, newest first.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<Value> {
        let listed = self.cli(&["errors", "list", "--limit", "5000", "--json"]).ended(0);
        match listed.json() {
            Value::Array(errors) => errors,
            other => fail(&format!("errors list --json: expected a list, found {other}")),
        }
    }

    /// The open error record with this code, once there is one.
    #[track_caller]
    pub(crate) fn error(&self, code: &str) -> Value {
        until(&format!("an open error record with {code}"), || {
            self.errors().into_iter().find(|error| error["code"] == code)
        })
    }

    /// The id of the open error record with this code, once there is one.
    #[track_caller]
    pub(crate) fn error_id(&self, code: &str) -> String {
        self.error(code)["id"].as_str().unwrap().to_owned()
    }

    /// What `errors show` tells about a record.
    #[track_caller]
    pub(crate) fn show_error(&self, id: &str) -> Value {
        self.cli(&["errors", "show", id, "--json"]).ended(0).json()
    }

    /// Waits until there is no open error record.
    #[track_caller]
    pub(crate) fn no_errors(&self) {
        until("no open error record", || self.errors().is_empty().then_some(()));
    }

    /// An operator sends what a record is about again.
    #[track_caller]
    pub(crate) fn retry(&self, id: &str) -> Output {
        self.cli(&["errors", "retry", id, "--reason", "mended", "--json"])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The shared broker keeps every queue's log in memory as long as the queue is there.
        for name in queue::ALL.into_iter().chain([queue::TAP, queue::FENCE]) {
            self.client.try_delete(name);
        }
    }
}

/// The command line of a site, or of another machine on the same queues.
pub(crate) struct Desk {
    dir: PathBuf,
    settings: Settings,
}

impl Desk {
    /// Runs a command.
    pub(crate) fn cli(&self, args: &[&str]) -> Output {
        Output::of(&self.dir, &self.settings, args)
    }

    /// With this setting, named as in the settings file.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.set(name, value);
        self
    }

    /// With the store in this file.
    pub(crate) fn on_store(self, path: &Path) -> Self {
        let url = format!("sqlite:{}", path.display());
        self.with("store.url", &url)
    }

    /// Starts a bridge and returns when it is up.
    #[track_caller]
    pub(crate) fn start(&self) -> Bridge {
        Bridge::start(&self.dir, &self.settings)
    }

    /// Starts a bridge and does not wait.
    pub(crate) fn spawn(&self) -> Bridge {
        Bridge::spawn(&self.dir, &self.settings)
    }

    /// Starts a bridge that will refuse to run.
    #[track_caller]
    pub(crate) fn start_in_vain(&self) -> Ended {
        Bridge::start_in_vain(&self.dir, &self.settings)
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
