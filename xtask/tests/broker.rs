//! What a private node promises, on a real RabbitMQ.
//!
//! On a machine without one the tests say so and pass, unless `TIELINE_TEST_REQUIRE` is `all`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use xtask::broker::{Cluster, Install, Node, Options};

/// How long the kernel and the watcher may take to clear up after a killed process.
const CLEAR_WAIT_MAX: Duration = Duration::from_secs(10);

/// Says whether this machine can start nodes.
fn has_rabbitmq() -> bool {
    let Err(absent) = Install::find() else { return true };
    let require = std::env::var("TIELINE_TEST_REQUIRE");
    assert!(require.as_deref() != Ok("all"), "{absent}");
    eprintln!("left out: {absent}");
    false
}

/// The processes whose command line or environment names the directory: broker, epmd, watcher.
fn processes_of(dir: &Path) -> Vec<u32> {
    let needle = dir.to_str().unwrap().as_bytes();
    let names_dir = |pid: &u32| {
        ["cmdline", "environ"].iter().any(|file| {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    };
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(names_dir).collect()
}

fn await_no_process_of(dir: &Path) {
    let start = Instant::now();
    loop {
        let left = processes_of(dir);
        if left.is_empty() {
            return;
        }
        assert!(
            start.elapsed() < CLEAR_WAIT_MAX,
            "left of the node in {}: {left:?}",
            dir.display()
        );
        thread::yield_now();
    }
}

#[test]
fn nodes_that_start_at_once_do_not_meet() {
    if !has_rabbitmq() {
        return;
    }
    let nodes: Vec<Node> = thread::scope(|scope| {
        let starts = [(); 2].map(|()| scope.spawn(Node::start));
        starts.into_iter().map(|start| start.join().unwrap().unwrap()).collect()
    });
    nodes[0].vhost("only-here").unwrap();
    assert!(nodes[0].ctl(&["list_vhosts"]).unwrap().contains("only-here"));
    assert!(!nodes[1].ctl(&["list_vhosts"]).unwrap().contains("only-here"));
    assert!(
        nodes.iter().all(|node| node.version().starts_with(|char: char| char.is_ascii_digit()))
    );
    for node in nodes {
        let dir = node.dir().to_owned();
        assert!(processes_of(&dir).len() >= 3, "broker, epmd and watcher");
        drop(node);
        await_no_process_of(&dir);
        assert!(!dir.exists(), "{} is a temporary directory", dir.display());
    }
}

#[test]
fn a_node_listens_on_the_loopback_address_only() {
    static NODE: OnceLock<Node> = OnceLock::new();
    if !has_rabbitmq() {
        return;
    }
    let node = NODE.get_or_init(|| Node::start_with(Options::new().management()).unwrap());
    let listeners = node.ctl(&["status", "--formatter", "json"]).unwrap();
    let interfaces: Vec<&str> = listeners.split("\"interface\":\"").skip(1).collect();
    assert!(interfaces.len() >= 3, "AMQP, management, distribution: {listeners}");
    // The distribution port is reported with the wildcard address whatever it is bound to.
    for port in listening_ports(node.pid().unwrap()) {
        assert!(port.starts_with("0100007F:"), "{port} is 127.0.0.1");
    }
    assert!(node.management_url().unwrap().starts_with("http://guest:guest@127.0.0.1:"));
}

/// The addresses at which a process listens, as the kernel writes them.
fn listening_ports(pid: u32) -> Vec<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let sockets: Vec<PathBuf> =
        links.filter_map(|link| fs::read_link(link.unwrap().path()).ok()).collect();
    let table = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/{pid}/net/{name}")));
    let table = table.into_iter().map(Result::unwrap_or_default).collect::<String>();
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening = rows.filter(|row| {
        row.get(3) == Some(&"0A")
            && sockets.contains(&PathBuf::from(format!("socket:[{}]", row[9])))
    });
    let found: Vec<String> = listening.map(|row| row[1].to_owned()).collect();
    assert!(!found.is_empty(), "no listening socket of process {pid}");
    found
}

#[test]
fn a_restart_keeps_ports_and_data_and_a_stop_leaves_no_process() {
    if !has_rabbitmq() {
        return;
    }
    let dir = std::env::temp_dir().join(format!("tieline-kept-{}", std::process::id()));
    let mut node = Node::start_in(&dir, Options::new()).unwrap();
    let (url, pid) = (node.amqp_url(), node.pid().unwrap());
    node.vhost("kept").unwrap();
    let refusal = Node::start_in(&dir, Options::new()).err().unwrap();
    assert!(refusal.to_string().contains("another node"), "{refusal}");

    node.kill().unwrap();
    assert_eq!(node.pid(), None);
    assert!(node.ctl(&["list_vhosts"]).is_err(), "no epmd is left that a command could ask");
    node.restart().unwrap();
    assert_eq!(node.amqp_url(), url);
    assert_ne!(node.pid().unwrap(), pid);
    assert!(node.ctl(&["list_vhosts"]).unwrap().contains("kept"));

    node.stop().unwrap();
    assert_eq!(processes_of(&dir).len(), 1, "the watcher alone");
    drop(node);
    await_no_process_of(&dir);
    assert!(dir.exists());
    let node = Node::start_in(&dir, Options::new()).unwrap();
    assert!(node.ctl(&["list_vhosts"]).unwrap().contains("kept"));
    drop(node);
    fs::remove_dir_all(&dir).unwrap();
}

/// Another process with a node, the developer tool, once it has said something; and the node's
/// directory.
fn process_with_node(args: &[&str], said: &str) -> (Child, PathBuf) {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("node")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines().map(Result::unwrap);
    let dir = lines.find_map(|line| line.strip_prefix("directory ").map(PathBuf::from)).unwrap();
    lines.find(|line| line.starts_with(said)).unwrap();
    (owner, dir)
}

#[test]
fn a_killed_process_leaves_no_node_behind() {
    if !has_rabbitmq() {
        return;
    }
    let (mut owner, dir) = process_with_node(&[], "amqp ");
    assert!(processes_of(&dir).len() >= 3, "broker, epmd and watcher");
    owner.kill().unwrap();
    owner.wait().unwrap();
    await_no_process_of(&dir);
    assert!(!dir.exists(), "{} is a temporary directory", dir.display());
}

#[test]
fn a_program_in_the_foreground_decides_when_its_node_ends() {
    if !has_rabbitmq() {
        return;
    }
    let waits = ["--", "sh", "-c", "echo running; exec sleep 1000"];
    let (mut owner, dir) = process_with_node(&waits, "running");
    let signal = |name: &str| {
        let status = Command::new("kill").args([name, &owner.id().to_string()]).status();
        assert!(status.unwrap().success(), "kill {name}");
    };
    // At a terminal the program has its own copy of Ctrl-C, so nothing else may act on it.
    signal("-INT");
    signal("-TERM");
    assert_eq!(owner.wait().unwrap().code(), Some(128 + 15), "the program's, by SIGTERM");
    await_no_process_of(&dir);
    assert!(!dir.exists(), "{} is a temporary directory", dir.display());

    let (mut owner, dir) = process_with_node(&["--", "sh", "-c", "exit 7"], "amqp ");
    assert_eq!(owner.wait().unwrap().code(), Some(7), "the program's");
    await_no_process_of(&dir);
}

#[test]
fn a_node_that_cannot_start_shows_its_log() {
    if !has_rabbitmq() {
        return;
    }
    let options = Options::new().config_line("no.such.setting = 1");
    let Err(error) = Node::start_with(options) else { panic!("a wrong setting was accepted") };
    let error = error.to_string();
    assert!(error.contains("its process ended") && error.contains("no.such.setting"), "{error}");
}

#[test]
fn a_directory_without_a_rabbitmq_is_refused_with_what_is_expected() {
    let dir = std::env::temp_dir();
    let expected = "expected rabbitmq-server, rabbitmqctl and rabbitmq-env there";
    assert!(Install::at(&dir).unwrap_err().to_string().ends_with(expected));
    let refusal = Install::in_root(&dir).unwrap_err().to_string();
    assert!(refusal.contains("`cargo xtask rabbitmq4 DIR` makes such a directory"), "{refusal}");
}

#[test]
fn nodes_of_a_cluster_are_one_broker_and_one_may_die() {
    if !has_rabbitmq() {
        return;
    }
    let mut cluster = Cluster::start(2, &Options::new()).unwrap();
    let names: Vec<_> = cluster.nodes().iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(names, ["tieline-1@localhost", "tieline-2@localhost"]);
    cluster.nodes()[0].vhost("shared").unwrap();
    let has_vhost = |node: &Node| node.ctl(&["list_vhosts"]).unwrap().contains("shared");
    assert!(has_vhost(&cluster.nodes()[1]));
    cluster.nodes_mut()[0].kill().unwrap();
    assert!(has_vhost(&cluster.nodes()[1]), "without the first and its directory");
    cluster.nodes_mut()[0].restart().unwrap();
    cluster.nodes()[1].ctl(&["await_online_nodes", "2"]).unwrap();
    let dirs: Vec<_> = cluster.nodes().iter().map(|node| node.dir().to_owned()).collect();
    drop(cluster);
    for dir in dirs {
        await_no_process_of(&dir);
        assert!(!dir.exists());
    }
}
