//! Ports that nobody else uses.
//!
//! They are taken from below the range from which the kernel serves outgoing connections
//! (`ip_local_port_range`, from 32768 by default): while a node is down between a stop and a
//! restart, no client's connection can sit on the port that the node wants back.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

const RANGE: Range<u16> = 10_240..32_000;
/// How many ports one `rabbitmqctl` may choose from, so that several can run at once.
pub(super) const CTL_PORTS: u16 = 20;
/// How many ports are tried before giving up.
const ATTEMPTS_MAX: usize = 1000;

/// Ports that this process gave to a node. They stay taken: a node that is stopped wants them back.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// The ports of one node.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) epmd: u16,
    /// Erlang distribution: where `rabbitmqctl` reaches the node.
    pub(super) distribution: u16,
    /// The first of [`CTL_PORTS`] ports for `rabbitmqctl`'s own end.
    pub(super) ctl: u16,
}

impl Ports {
    /// Finds free ports. Each is bound while the others are looked for; between this function's
    /// return and the node's own bind another process can still take one, so the caller tries
    /// again when the node finds an address in use.
    pub(super) fn find() -> Result<Self> {
        let mut held = Vec::new();
        Ok(Self {
            amqp: hold_one(&mut held)?,
            management: hold_one(&mut held)?,
            epmd: hold_one(&mut held)?,
            distribution: hold_one(&mut held)?,
            ctl: random_port(RANGE.end..RANGE.end + 700),
        })
    }
}

fn hold_one(held: &mut Vec<TcpListener>) -> Result<u16> {
    for _ in 0..ATTEMPTS_MAX {
        let port = random_port(RANGE);
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        if given.get_or_insert_default().insert(port) {
            held.push(listener);
            return Ok(port);
        }
    }
    Err(Error::new(format!(
        "no free port on 127.0.0.1 in {RANGE:?}: {ATTEMPTS_MAX} were tried, expected one"
    )))
}

/// A port by the randomness with which the standard library seeds its hash maps.
fn random_port(range: Range<u16>) -> u16 {
    let random = RandomState::new().build_hasher().finish();
    let offset = random % u64::from(range.end - range.start);
    range.start + u16::try_from(offset).unwrap_or_default()
}
