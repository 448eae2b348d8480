//! `cargo xtask setup`: finds a RabbitMQ, or installs the distribution's.
//!
//! Four places are asked, in this order: an AMQP URL that was given, the machine's own
//! `rabbitmq-server`, Docker with the repository's `docker-compose.yml`, the package manager. The
//! first and third are brokers that run already; the other two are programs of which every command
//! starts private nodes. Nothing here leaves a system-wide broker running.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use xtask::broker::Install;
use xtask::{Error, Result, is_root};

use crate::run::{program, root, run, succeeds, without_password};

/// How long a broker that was just started by Docker may take to answer.
const DOCKER_WAIT_MAX: Duration = Duration::from_secs(90);
/// How long a broker that is said to run may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Installs a package without starting the system's service: `policy-rc.d` denies the package's own start
/// for as long as the script runs, and what stood there before comes back however it ends. An
/// earlier run that was killed has left its own file in place and the true one saved.
const INSTALL_PACKAGE: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
saved=$policy.before-tieline
restore() { rm -f "$policy"; if [ -e "$saved" ]; then mv "$saved" "$policy"; fi; }
trap restore EXIT
trap 'exit 130' INT TERM HUP
if [ -e "$policy" ] && [ ! -e "$saved" ]; then mv "$policy" "$saved"; fi
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=120 update
apt-get -q -y -o DPkg::Lock::Timeout=120 install --no-install-recommends "$1"
if [ "$1" = rabbitmq-server ] && command -v systemctl >/dev/null; then
    systemctl disable --quiet rabbitmq-server.service || true
fi
"#;

/// What a command has to work with.
pub(crate) enum Broker {
    /// A broker that runs already, by its AMQP URL.
    Url(String),
    /// None yet, but a RabbitMQ from which private nodes can be started.
    Private,
}

/// Runs `cargo xtask setup`.
pub(crate) fn command(mut args: Vec<String>) -> Result<ExitCode> {
    let url = take_amqp_url(&mut args)?;
    if let Some(unknown) = args.first() {
        return Err(Error::new(format!("setup: found `{unknown}`, expected --amqp-url URL only")));
    }
    setup(url)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes `--amqp-url URL` (or `--amqp-url=URL`) out of the arguments; without it the environment's
/// `TIELINE_TEST_AMQP_URL` counts.
pub(crate) fn take_amqp_url(args: &mut Vec<String>) -> Result<Option<String>> {
    let name = "--amqp-url";
    let is_name = |arg: &String| arg == name || arg.starts_with("--amqp-url=");
    let Some(at) = args.iter().position(is_name) else {
        return Ok(env::var("TIELINE_TEST_AMQP_URL").ok().filter(|url| !url.is_empty()));
    };
    let arg = args.remove(at);
    if let Some((_, url)) = arg.split_once('=') {
        return Ok(Some(url.to_owned()));
    }
    if at == args.len() {
        return Err(Error::new("--amqp-url: found nothing after it, expected an AMQP URL"));
    }
    Ok(Some(args.remove(at)))
}

/// Finds a broker, or makes one findable, and says which.
pub(crate) fn setup(url: Option<String>) -> Result<Broker> {
    if let Some(url) = url {
        await_answer(&url, ANSWER_WAIT_MAX)?;
        println!("setup: using the RabbitMQ at {}", without_password(&url));
        return Ok(Broker::Url(url));
    }
    if let Some(install) = Install::named()? {
        println!("setup: using the RabbitMQ that was named, in {}", install.shown());
        return Ok(Broker::Private);
    }
    if let Ok(install) = Install::find() {
        println!("setup: using the machine's RabbitMQ in {}", install.shown());
        return Ok(Broker::Private);
    }
    if let Some(compose) = compose() {
        println!("setup: no rabbitmq-server on this machine; starting one by Docker");
        return start_by_docker(&compose).map(Broker::Url);
    }
    println!("setup: no rabbitmq-server and no Docker engine; installing the package");
    install_package("rabbitmq-server", "start a Docker engine, or give --amqp-url URL")?;
    let install = Install::find()?;
    println!("setup: installed RabbitMQ in {}", install.shown());
    Ok(Broker::Private)
}

/// The command for the repository's compose file, when there is such a file, a Docker engine that
/// answers, and a compose to ask it with.
fn compose() -> Option<Vec<&'static str>> {
    if !root().join("docker-compose.yml").is_file() || !succeeds(program("docker").arg("info")) {
        return None;
    }
    compose_program()
}

/// Docker's compose, as a part of `docker` or as a program of its own.
pub(crate) fn compose_program() -> Option<Vec<&'static str>> {
    if succeeds(program("docker").args(["compose", "version"])) {
        Some(vec!["docker", "compose"])
    } else if succeeds(program("docker-compose").arg("version")) {
        Some(vec!["docker-compose"])
    } else {
        None
    }
}

fn start_by_docker(compose: &[&str]) -> Result<String> {
    let base = || {
        let mut command = program(compose[0]);
        command.args(&compose[1..]);
        command
    };
    run(base().args(["up", "-d", "rabbitmq"]))?;
    let output = base()
        .args(["port", "rabbitmq", "5672"])
        .output()
        .map_err(|error| Error::new(format!("cannot run `{} port`: {error}", compose.join(" "))))?;
    let published = String::from_utf8_lossy(&output.stdout);
    let port = published.trim().rsplit(':').next().filter(|port| !port.is_empty());
    let port = port.ok_or_else(|| {
        Error::new("docker-compose.yml: service rabbitmq publishes no port for 5672, expected one")
    })?;
    let url = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
    await_answer(&url, DOCKER_WAIT_MAX)?;
    println!("setup: RabbitMQ runs in Docker at {}", without_password(&url));
    Ok(url)
}

/// Installs the one program that the build of the bridge needs beside Rust and a C compiler.
pub(crate) fn have_make() -> Result<()> {
    if succeeds(program("make").arg("--version")) {
        return Ok(());
    }
    println!("setup: no make on this machine, which the build needs; installing the package");
    install_package("make", "or build the bridge by cargo with --no-default-features")
}

fn install_package(package: &str, instead: &str) -> Result<()> {
    if !Path::new("/usr/bin/apt-get").is_file() {
        return Err(Error::new(format!(
            "no {package} and no way to install it: found no apt-get; install it by hand, {instead}"
        )));
    }
    let mut shell = if is_root() {
        Command::new("sh")
    } else if succeeds(program("sudo").arg("--version")) {
        let mut sudo = Command::new("sudo");
        sudo.arg("sh");
        sudo
    } else {
        return Err(Error::new(format!(
            "installing {package} needs root: found another user and no sudo; run \
             `cargo xtask setup` as root once, {instead}"
        )));
    };
    println!("$ apt-get update && apt-get install --no-install-recommends {package}");
    let status = shell
        .args(["-c", INSTALL_PACKAGE, "sh", package])
        .stdin(Stdio::inherit())
        .status()
        .map_err(|error| Error::new(format!("cannot run a shell for apt-get: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::new(format!("install {package} by apt-get: {status}, expected success")))
    }
}

/// Waits until a broker greets at the URL's address. An `amqps` broker greets only inside TLS, so
/// there an open port has to do.
fn await_answer(url: &str, wait_max: Duration) -> Result<()> {
    let (address, is_plain) = address_of(url)?;
    let start = Instant::now();
    loop {
        let found = match greeting(&address, is_plain) {
            Ok(()) => return Ok(()),
            Err(found) => found,
        };
        if start.elapsed() > wait_max {
            return Err(Error::new(format!(
                "no RabbitMQ at {address}: found {found}, expected AMQP 0-9-1 within {wait_max:?}"
            )));
        }
        sleep(Duration::from_millis(250));
    }
}

/// The host and port of an AMQP URL, and whether it is without TLS.
fn address_of(url: &str) -> Result<(String, bool)> {
    let (rest, is_plain, port) = if let Some(rest) = url.strip_prefix("amqp://") {
        (rest, true, 5672)
    } else if let Some(rest) = url.strip_prefix("amqps://") {
        (rest, false, 5671)
    } else {
        return Err(Error::new(format!(
            "AMQP URL: found `{}`, expected amqp://… or amqps://…",
            without_password(url)
        )));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Ok((if has_port { host.to_owned() } else { format!("{host}:{port}") }, is_plain))
}

fn greeting(address: &str, is_plain: bool) -> Result<(), String> {
    let mut addresses = address.to_socket_addrs().map_err(|error| error.to_string())?;
    let address = addresses.next().ok_or("no such host")?;
    let timeout = Duration::from_secs(3);
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, timeout).map_err(text)?;
    if !is_plain {
        return Ok(());
    }
    stream.set_read_timeout(Some(timeout)).map_err(text)?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").map_err(text)?;
    // A broker that speaks 0-9-1 answers with a method frame; any other answer is a header.
    let mut frame_type = [0];
    stream.read_exact(&mut frame_type).map_err(text)?;
    if frame_type == [1] { Ok(()) } else { Err("another protocol".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amqp_url_has_a_host_and_a_port() {
        let address = |url| address_of(url).unwrap();
        assert_eq!(address("amqp://localhost"), ("localhost:5672".to_owned(), true));
        assert_eq!(address("amqp://a:b@host:7/%2f"), ("host:7".to_owned(), true));
        assert_eq!(address("amqps://a:b@host/x?y=z"), ("host:5671".to_owned(), false));
        assert_eq!(address("amqp://[::1]"), ("[::1]:5672".to_owned(), true));
        assert!(address_of("http://host").is_err());
    }

    #[test]
    fn the_amqp_url_is_taken_out_of_the_arguments() {
        for form in [&["a", "--amqp-url", "amqp://x", "b"][..], &["a", "--amqp-url=amqp://x", "b"]]
        {
            let mut args = form.iter().copied().map(str::to_owned).collect();
            assert_eq!(take_amqp_url(&mut args).unwrap().as_deref(), Some("amqp://x"));
            assert_eq!(args, ["a", "b"]);
        }
        assert!(take_amqp_url(&mut vec!["--amqp-url".to_owned()]).is_err());
    }
}
