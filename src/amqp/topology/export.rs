//! Writes the topology as definitions, for the broker's own import.
//! <https://www.rabbitmq.com/docs/definitions>

use serde_json::{Map, Value, json};

use super::arguments::{Argument, Version, arguments};
use super::model::{Role, Topology};

impl Topology {
    /// The definitions of exchanges, queues and bindings in a virtual host, as
    /// `rabbitmqctl import_definitions` and `load_definitions` take them. No users: passwords do
    /// not belong into a file like this.
    ///
    /// The form differs by the broker's version in one thing: before 4.0 error queues have no
    /// delivery limit at all, since then they must lift it.
    pub fn definitions(&self, vhost: &str, version: Version) -> Value {
        let exchanges = self.exchanges().map(|(name, kind)| {
            json!({
                "name": name, "vhost": vhost, "type": kind, "durable": true,
                "auto_delete": false, "internal": false, "arguments": {},
            })
        });
        let queues = Role::ALL.map(|role| {
            json!({
                "name": self.queue(role), "vhost": vhost, "durable": true, "auto_delete": false,
                "arguments": argument_map(&arguments(self, role, version)),
            })
        });
        let bindings = self.bindings(&Role::ALL);
        let bindings = bindings.into_iter().map(|binding| {
            json!({
                "source": binding.exchange, "vhost": vhost, "destination": binding.queue,
                "destination_type": "queue", "routing_key": binding.key, "arguments": {},
            })
        });
        json!({
            "vhosts": [{ "name": vhost }],
            "exchanges": exchanges,
            "queues": queues,
            "bindings": bindings.collect::<Vec<_>>(),
        })
    }
}

fn argument_map(arguments: &[(&'static str, Argument)]) -> Map<String, Value> {
    let value = |value: &Argument| match value {
        Argument::Text(text) => json!(text),
        Argument::Integer(number) => json!(number),
        Argument::Flag(flag) => json!(flag),
    };
    arguments.iter().map(|(key, argument)| ((*key).to_owned(), value(argument))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITIONS: &str = include_str!("../../../queues/definitions.json");

    /// What docker-compose.yml imports: the same, and a user, because RabbitMQ makes none of its
    /// own when it starts with definitions.
    const COMPOSE: &str = include_str!("../../../queues/compose.json");

    #[test]
    fn the_definitions_file_is_what_the_built_in_topology_exports() {
        let exported = Topology::built_in().definitions("/", Version::CURRENT);
        let exported = format!("{exported:#}\n");
        assert!(DEFINITIONS == exported, "queues/definitions.json must be:\n{exported}");
    }

    #[test]
    fn what_compose_imports_adds_nothing_but_a_user() {
        let mut compose: Value = serde_json::from_str(COMPOSE).unwrap();
        let more = compose.as_object_mut().unwrap();
        assert!(more.remove("users").is_some() && more.remove("permissions").is_some());
        assert_eq!(compose, Topology::built_in().definitions("/", Version::CURRENT));
    }
}
