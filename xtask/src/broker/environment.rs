//! A node's directory and environment: everything that keeps it apart from other nodes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::ports::{CTL_PORTS, Ports};
use super::{Install, Options};
use crate::{Error, Result};

/// Makes the directory of a node and returns its absolute path. Without a cookie it gets one of its
/// own.
pub(super) fn make_dir(dir: &Path, cookie: Option<&str>) -> Result<PathBuf> {
    for part in ["data", "log", "config"] {
        let part = dir.join(part);
        fs::create_dir_all(&part).map_err(failed("make the directory", &part))?;
    }
    let dir = fs::canonicalize(dir).map_err(failed("resolve the directory", dir))?;
    write_cookie(&dir.join(".erlang.cookie"), cookie)?;
    Ok(dir)
}

/// Locks a node's directory. Fails while another node runs in it.
pub(super) fn lock_dir(dir: &Path) -> Result<File> {
    let path = dir.join("watcher.log");
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed("open the lock", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::new(format!(
            "start a node in {}: found another node running there, expected none",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// Writes the configuration that the node reads at its start.
pub(super) fn write_config(dir: &Path, ports: &Ports, options: &Options) -> Result<()> {
    let mut lines = vec![
        format!("listeners.tcp.default = 127.0.0.1:{}", ports.amqp),
        "log.console = false".to_owned(),
        "log.file.level = info".to_owned(),
        // What RabbitMQ 3 lets pass unless told; since 4.0 it is 16 MiB.
        // <https://github.com/rabbitmq/rabbitmq-server/blob/main/release-notes/4.0.1.md>
        "max_message_size = 134217728".to_owned(),
    ];
    if options.has_management() {
        lines.push("management.tcp.ip = 127.0.0.1".to_owned());
        lines.push(format!("management.tcp.port = {}", ports.management));
    }
    lines.extend(options.config.iter().cloned());
    lines.push(String::new());
    let plugins = format!("[{}].\n", options.plugins.join(","));
    for (name, text) in [
        ("rabbitmq.conf", lines.join("\n").as_str()),
        ("advanced.config", "[].\n"),
        ("enabled_plugins", &plugins),
        // Without a file of our own the machine's /etc/rabbitmq/rabbitmq-env.conf would be read.
        ("rabbitmq-env.conf", ""),
    ] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(failed("write", &path))?;
    }
    Ok(())
}

/// The whole environment of the node and of the programs that command it.
pub(super) fn variables(
    install: &Install,
    dir: &Path,
    ports: &Ports,
    name: &str,
) -> Vec<(&'static str, String)> {
    let within = |name: &str| dir.join(name).display().to_string();
    let path = format!(
        "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        install.erlang.display()
    );
    vec![
        ("PATH", path),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("HOME", dir.display().to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("ERL_EPMD_PORT", ports.epmd.to_string()),
        ("ERL_CRASH_DUMP", within("erl_crash.dump")),
        ("RABBITMQ_NODENAME", name.to_owned()),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_NODE_PORT", ports.amqp.to_string()),
        ("RABBITMQ_DIST_PORT", ports.distribution.to_string()),
        ("RABBITMQ_CTL_DIST_PORT_MIN", ports.ctl.to_string()),
        ("RABBITMQ_CTL_DIST_PORT_MAX", (ports.ctl + CTL_PORTS).to_string()),
        ("RABBITMQ_MNESIA_BASE", within("data")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_LOGS", within("log/rabbit.log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins")),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", within("advanced.config")),
        ("RABBITMQ_CONF_ENV_FILE", within("rabbitmq-env.conf")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", within("config")),
        ("RABBITMQ_PID_FILE", within("pid")),
        // The distribution port would listen on every address otherwise.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
        // Lets the script become Erlang instead of waiting for it: the process that we started is
        // the broker, and SIGTERM stops it cleanly.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
    ]
}

/// Erlang refuses a cookie that others may read.
fn write_cookie(path: &Path, cookie: Option<&str>) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let cookie = cookie.map_or_else(new_cookie, |cookie| Ok(cookie.to_owned()))?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .and_then(|mut file| file.write_all(cookie.as_bytes()))
        .map_err(failed("write", path))
}

/// What only nodes that belong together know.
pub(super) fn new_cookie() -> Result<String> {
    let random = Path::new("/dev/urandom");
    let mut bytes = [0_u8; 24];
    File::open(random)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(failed("read", random))?;
    Ok(bytes.iter().map(|byte| char::from(b'A' + byte % 26)).collect())
}

fn failed(what: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::new(format!("{what} {}: {error}", path.display()))
}
