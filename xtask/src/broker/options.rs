//! What a node is started with.

use super::Install;

/// The data directory is named after the node, so the name never changes: under another name a
/// restart would begin empty. The private `epmd` keeps nodes of the same name apart.
const NODE_NAME: &str = "tieline@localhost";

/// Plugins and configuration of a [`Node`](super::Node). The default is a bare broker.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) plugins: Vec<String>,
    pub(super) config: Vec<String>,
    pub(super) install: Option<Install>,
    pub(super) member: Option<Member>,
}

/// What a node of a cluster has of its cluster.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) cookie: String,
    /// Where the cluster's `epmd` listens; the node starts none.
    pub(super) epmd_port: u16,
}

impl Options {
    /// A bare broker: no plugins, the default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the management plugin, which gives the node a `management_url`.
    ///
    /// A node with it starts slower and takes five seconds longer to stop cleanly.
    #[must_use]
    pub fn management(self) -> Self {
        self.plugin("rabbitmq_management")
    }

    /// Adds the shovel plugin.
    #[must_use]
    pub fn shovel(self) -> Self {
        self.plugin("rabbitmq_shovel")
    }

    /// Adds any other plugin that comes with RabbitMQ.
    #[must_use]
    pub fn plugin(mut self, name: impl Into<String>) -> Self {
        self.plugins.push(name.into());
        self
    }

    /// Adds a line to `rabbitmq.conf`, for example `consumer_timeout = 60000`.
    #[must_use]
    pub fn config_line(mut self, line: impl Into<String>) -> Self {
        self.config.push(line.into());
        self
    }

    /// Starts the node from this RabbitMQ; without it, from the one that [`Install::find`] finds.
    #[must_use]
    pub fn install(mut self, install: Install) -> Self {
        self.install = Some(install);
        self
    }

    pub(super) fn member(mut self, member: Member) -> Self {
        self.member = Some(member);
        self
    }

    pub(super) fn node_name(&self) -> &str {
        self.member.as_ref().map_or(NODE_NAME, |member| &member.name)
    }

    pub(super) fn has_management(&self) -> bool {
        self.plugins.iter().any(|plugin| plugin == "rabbitmq_management")
    }
}
