//! A virtual host: a broker of its own for a test, at the price of one command.

use std::fs;

use super::Node;
use crate::{Error, Result};

/// A virtual host of a [`Node`], empty when it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vhost {
    /// Its name.
    pub name: String,
    /// The AMQP URL of the node with this virtual host.
    pub url: String,
}

impl Node {
    /// Makes a virtual host in which the user `guest` may do everything. One that exists stays as
    /// it is, with its queues.
    pub fn vhost(&self, name: &str) -> Result<Vhost> {
        let allowed = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
        if name.is_empty() || !name.chars().all(allowed) {
            return Err(Error::new(format!(
                "make a virtual host: found the name `{name}`, expected letters, digits, - _ ."
            )));
        }
        // One command instead of two (`add_vhost`, `set_permissions`), each of which costs most of
        // a second of processor time.
        let definitions = format!(
            r#"{{"vhosts":[{{"name":"{name}"}}],"permissions":[{{"user":"guest","vhost":"{name}","configure":".*","write":".*","read":".*"}}]}}"#
        );
        let path = self.dir().join(format!("vhost-{name}.json"));
        fs::write(&path, definitions)
            .map_err(|error| Error::new(format!("write {}: {error}", path.display())))?;
        self.ctl(&["import_definitions", &path.display().to_string()])?;
        Ok(Vhost { name: name.to_owned(), url: format!("{}/{name}", self.base_url()) })
    }
}
