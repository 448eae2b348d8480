//! A gate before a broker: the network between it and who goes through, fair or foul.
//!
//! Read [`Weather`] (what holds for every connection), [`Strike`] (what befalls one), then [`pump`].

mod frames;

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::frames::{Frames, Sieve};

/// How many bytes are passed on at once, at most.
const CHUNK: usize = 64 * 1024;

/// How many times a second a slow network passes something on.
const SLOW_BEATS: u32 = 20;

/// A TCP relay before a broker.
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// How the network is, for every connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Weather {
    Open,
    /// Connections end at once.
    Shut,
    /// Connections are there and what is sent is swallowed: half-open.
    Silent,
    /// What passes is held up by so much.
    Delayed(Duration),
    /// So many bytes a second pass in each direction of a connection.
    Slow(u32),
    /// Everything passes but what the broker delivers to consumers.
    Undelivered,
}

/// What befalls one connection, the first that it meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Strike {
    /// It is reset after so many bytes, whichever way they go and in the middle of whatever.
    ResetAfter(u64),
    /// It is cut when a confirm of the broker would pass, the next after so many.
    AtConfirm(u32),
    /// It is cut when a consumer's settlement would pass, the next after so many.
    AtSettlement(u32),
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Cut,
    Reset,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    FromBroker,
}

#[derive(Clone, Copy)]
struct Air {
    weather: Weather,
    /// Connections of an earlier era end.
    era: u64,
    end: End,
}

struct Shared {
    air: watch::Sender<Air>,
    /// Where connections lead: to the first that takes them.
    brokers: Mutex<Vec<String>>,
    strike: Mutex<Option<Strike>>,
}

impl Gate {
    /// A shut gate before the broker of an AMQP URL, and the URL that leads through it.
    pub(crate) fn before(url: &str) -> (Self, String) {
        Self::before_any(&[url.to_owned()])
    }

    /// A shut gate before several brokers, and the URL that leads through it to the first of them
    /// that takes connections: login and virtual host are those of the first.
    pub(crate) fn before_any(urls: &[String]) -> (Self, String) {
        let (login, first) = urls[0].rsplit_once('@').unwrap();
        let (_, vhost) = first.split_once('/').unwrap();
        let brokers = urls.iter().map(|url| {
            let (_, rest) = url.rsplit_once('@').unwrap();
            rest.split_once('/').unwrap().0.to_owned()
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let air = Air { weather: Weather::Shut, era: 0, end: End::Cut };
        let shared = Arc::new(Shared {
            air: watch::Sender::new(air),
            brokers: Mutex::new(brokers.collect()),
            strike: Mutex::default(),
        });
        let keeper = Arc::clone(&shared);
        thread::spawn(move || keep(listener, &keeper));
        (Self { address, shared }, format!("{login}@{address}/{vhost}"))
    }

    /// Lets connections through.
    pub(crate) fn open(&self) {
        self.turn(Weather::Open);
    }

    /// Cuts the connections that are there and lets no new ones through.
    pub(crate) fn shut(&self) {
        self.turn(Weather::Shut);
    }

    /// Changes the weather. What was swallowed is missing, so that connections end with a silence;
    /// and frames are told apart from the first on only.
    pub(crate) fn turn(&self, weather: Weather) {
        self.shared.air.send_modify(|air| {
            let begins = matches!(weather, Weather::Shut | Weather::Undelivered);
            let ends = matches!(air.weather, Weather::Silent | Weather::Undelivered);
            air.era += u64::from(begins || ends);
            (air.weather, air.end) = (weather, End::Cut);
        });
    }

    /// Ends the connections that are there; new ones go through.
    pub(crate) fn cut(&self, end: End) {
        self.shared.air.send_modify(|air| {
            air.era += 1;
            air.end = end;
        });
    }

    /// Lies in wait for one connection.
    pub(crate) fn arm(&self, strike: Strike) {
        *self.shared.strike() = Some(strike);
    }

    /// Whether what lay in wait has struck.
    pub(crate) fn has_struck(&self) -> bool {
        self.shared.strike().is_none()
    }

    /// Where it listens, as host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Shared {
    fn strike(&self) -> MutexGuard<'_, Option<Strike>> {
        self.strike.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn brokers(&self) -> MutexGuard<'_, Vec<String>> {
        self.brokers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much of a chunk passes, and whether the connection ends there.
    fn judge(&self, way: Way, chunk: &[u8], frames: &mut Frames) -> (usize, Option<End>) {
        let mut strike = self.strike();
        let settles = frames.acks_in(chunk);
        let (at, end) = match &mut *strike {
            Some(Strike::ResetAfter(left)) if *left <= chunk.len() as u64 => {
                (usize::try_from(*left).ok(), End::Reset)
            }
            Some(Strike::ResetAfter(left)) => {
                *left -= chunk.len() as u64;
                (None, End::Reset)
            }
            Some(Strike::AtConfirm(skip)) if way == Way::FromBroker => {
                (pick(&settles, skip), End::Cut)
            }
            Some(Strike::AtSettlement(skip)) if way == Way::ToBroker => {
                (pick(&settles, skip), End::Cut)
            }
            _ => (None, End::Cut),
        };
        match at {
            Some(at) => {
                *strike = None;
                (at, Some(end))
            }
            None => (chunk.len(), None),
        }
    }
}

/// The place after `skip` others, which are counted down.
fn pick(places: &[usize], skip: &mut u32) -> Option<usize> {
    let passed = (*skip as usize).min(places.len());
    *skip -= u32::try_from(passed).unwrap_or(*skip);
    places.get(passed).copied()
}

/// Takes connections for as long as this process lives.
fn keep(listener: std::net::TcpListener, shared: &Arc<Shared>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                Ok((client, _)) = listener.accept() => {
                    drop(connections.spawn(relay(Arc::clone(shared), client)));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    });
}

async fn relay(shared: Arc<Shared>, mut client: TcpStream) {
    let Air { weather, era, .. } = *shared.air.borrow();
    if weather == Weather::Shut {
        return;
    }
    let Some(mut server) = dial(&shared).await else { return };
    drop(client.set_nodelay(true));
    drop(server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::try_join!(
            pump(&shared, era, Way::ToBroker, (from_client, to_server)),
            pump(&shared, era, Way::FromBroker, (from_server, to_client)),
        )
    };
    if ended == Err(End::Reset) {
        drop(client.set_zero_linger());
        drop(server.set_zero_linger());
    }
}

/// Connects to the first broker that takes connections. One that refuses goes to the end, as with a
/// balancer of connections that has found it dead.
async fn dial(shared: &Shared) -> Option<TcpStream> {
    let count = shared.brokers().len();
    for _ in 0..count {
        let broker = shared.brokers()[0].clone();
        if let Ok(server) = TcpStream::connect(&broker).await {
            return Some(server);
        }
        let mut brokers = shared.brokers();
        if brokers[0] == broker {
            brokers.rotate_left(1);
        }
    }
    None
}

/// Passes on what comes one way, as the network is, until that end closes it or the connection ends.
async fn pump(
    shared: &Shared,
    era: u64,
    way: Way,
    (mut from, mut to): (ReadHalf<'_>, WriteHalf<'_>),
) -> Result<(), End> {
    let mut changes = shared.air.subscribe();
    let (mut frames, mut sieve) = (Frames::default(), Sieve::default());
    let mut buffer = vec![0; CHUNK];
    loop {
        let air = *changes.borrow_and_update();
        if air.era != era {
            return Err(air.end);
        }
        let at_once = match air.weather {
            Weather::Slow(rate) => (rate / SLOW_BEATS).max(1) as usize,
            _ => CHUNK,
        };
        let count = tokio::select! {
            read = from.read(&mut buffer[..at_once.min(CHUNK)]) => read.map_err(|_| End::Cut)?,
            _ = changes.changed() => continue,
        };
        if count == 0 {
            drop(to.shutdown().await);
            return Ok(());
        }
        // This waiting is no synchronisation but the fault itself.
        match air.weather {
            Weather::Silent => continue,
            Weather::Delayed(time) => sleep(time).await,
            Weather::Slow(_) => sleep(Duration::from_secs(1) / SLOW_BEATS).await,
            Weather::Open | Weather::Shut | Weather::Undelivered => {}
        }
        let mut chunk = Cow::Borrowed(&buffer[..count]);
        if (air.weather, way) == (Weather::Undelivered, Way::FromBroker) {
            chunk = Cow::Owned(sieve.pass(&chunk));
        }
        let (passes, end) = shared.judge(way, &chunk, &mut frames);
        tokio::select! {
            written = to.write_all(&chunk[..passes]) => written.map_err(|_| End::Cut)?,
            end = era_end(&mut changes, era) => return Err(end),
        }
        if let Some(end) = end {
            return Err(end);
        }
    }
}

/// Returns when the era is over. Whether the weather changed meanwhile is seen at the next read.
async fn era_end(changes: &mut watch::Receiver<Air>, era: u64) -> End {
    let over = changes.wait_for(|air| air.era != era).await;
    over.map_or(End::Cut, |air| air.end)
}
