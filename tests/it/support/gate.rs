//! A door before a broker, to be opened and shut: the network between it and the bridge.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A TCP relay. While it is shut, connections end at once.
pub(crate) struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: bool,
    passing: Vec<TcpStream>,
}

impl Gate {
    /// A shut gate before the broker of an AMQP URL.
    pub(crate) fn before(url: &str) -> (Self, String) {
        let (login, rest) = url.rsplit_once('@').unwrap();
        let (broker, vhost) = rest.split_once('/').unwrap();
        let broker = broker.to_owned();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut state = lock(&shared);
                if state.open {
                    drop(relay(stream, &broker, &mut state.passing));
                }
            }
        });
        (Self { address, state }, format!("{login}@{address}/{vhost}"))
    }

    /// Lets connections through.
    pub(crate) fn open(&self) {
        lock(&self.state).open = true;
    }

    /// Cuts the connections that are there and lets no new ones through.
    pub(crate) fn shut(&self) {
        let mut state = lock(&self.state);
        state.open = false;
        for stream in state.passing.drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    /// Where it listens, as host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

fn relay(stream: TcpStream, broker: &str, passing: &mut Vec<TcpStream>) -> io::Result<()> {
    let other = TcpStream::connect(broker)?;
    passing.extend([stream.try_clone()?, other.try_clone()?]);
    let (mut from, mut to) = (stream.try_clone()?, other.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    let (mut from, mut to) = (other, stream);
    thread::spawn(move || {
        drop(io::copy(&mut from, &mut to));
        drop(to.shutdown(Shutdown::Both));
    });
    Ok(())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
