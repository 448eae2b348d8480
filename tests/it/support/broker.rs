//! The broker that all journeys share but those that stop or kill theirs.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use xtask::broker::{Install, Node};

/// How many virtual hosts are made by one command, which costs most of a second.
const BATCH: usize = 24;

/// Whether this machine can start brokers; says so if not.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn has_rabbitmq() -> bool {
    let Err(absent) = Install::find() else { return true };
    let required = std::env::var_os("TIELINE_TEST_REQUIRE").is_some_and(|value| value == "all");
    assert!(!required, "{absent}");
    eprintln!("left out: {absent}");
    false
}

/// The shared broker and its virtual hosts that nobody uses yet.
pub(crate) struct Shared {
    node: Node,
    free: Mutex<Free>,
}

#[derive(Default)]
struct Free {
    made: usize,
    urls: VecDeque<String>,
}

impl Shared {
    /// The shared broker, started when it is first asked for.
    pub(crate) fn broker() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| Self { node: Node::start().unwrap(), free: Mutex::default() })
    }

    /// The AMQP URL of an empty virtual host that nobody else uses.
    pub(crate) fn vhost(&self) -> String {
        let mut free = self.lock();
        if free.urls.is_empty() {
            self.make_more(&mut free);
        }
        free.urls.pop_front().unwrap()
    }

    fn make_more(&self, free: &mut Free) {
        let names: Vec<_> = (free.made..free.made + BATCH).map(|n| format!("site-{n}")).collect();
        free.made += BATCH;
        let (mut vhosts, mut permissions) = (String::new(), String::new());
        for name in &names {
            let comma = if vhosts.is_empty() { "" } else { "," };
            write!(vhosts, r#"{comma}{{"name":"{name}"}}"#).unwrap();
            write!(
                permissions,
                r#"{comma}{{"user":"guest","vhost":"{name}","configure":".*","write":".*","read":".*"}}"#
            )
            .unwrap();
        }
        let definitions = format!(r#"{{"vhosts":[{vhosts}],"permissions":[{permissions}]}}"#);
        self.import(&names[0], &definitions);
        let url = self.node.amqp_url();
        let base = url.strip_suffix("%2f").unwrap();
        free.urls.extend(names.into_iter().map(|name| format!("{base}{name}")));
    }

    /// The version of the broker.
    pub(crate) fn version(&self) -> &str {
        self.node.version()
    }

    /// Imports definitions with the broker's own means; `name` is that of a file.
    pub(crate) fn import(&self, name: &str, definitions: &str) {
        let path = self.node.dir().join(format!("{name}.json"));
        fs::write(&path, definitions).unwrap();
        self.node.ctl(&["import_definitions", &path.display().to_string()]).unwrap();
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
