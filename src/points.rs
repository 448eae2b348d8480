//! Crash points: named steps of the real code at which a test build can be killed, delayed or made to
//! fail. And planted bugs: lines that spoil the bridge, to see whether the tests find it.
//! `docs/reliability.md` tells how they are run; `tests/it/torture/points` lists them all.
//!
//! Without the feature `points` a point is nothing and a planted bug is `false`, and with it there is no
//! optimised build. Nothing happens unless the environment says so:
//!
//! - `TIELINE_POINT`: orders, separated by `;`, each `NAME=ACTION@VISIT` or `NAME:SCOPE=ACTION@VISIT`.
//!   An action is `kill`, `fail`, or `delay` with so many milliseconds behind a dot (`delay.500`).
//! - `TIELINE_CLOCK`: a file; by how many seconds the clock is off, read whenever somebody asks for the
//!   time.
//! - `TIELINE_POINTS_SEEN`: a file; a line for each point when it is first visited, and one for each
//!   order when it is carried out.
//! - `TIELINE_PLANTED`: the name of a bug.

/// Marks a step: its name and, where several of a kind take it, whose step it is. What stands behind
/// the comma happens where the step is made to fail.
#[cfg(not(feature = "points"))]
macro_rules! point {
    ($($marked:tt)*) => {};
}

#[cfg(feature = "points")]
macro_rules! point {
    ($name:literal) => {
        $crate::points::visit($name, "")
    };
    ($name:literal @ $scope:expr) => {
        $crate::points::visit($name, $scope)
    };
    ($name:literal, $failing:expr) => {
        if $crate::points::fails($name, "") {
            $failing
        }
    };
    ($name:literal @ $scope:expr, $failing:expr) => {
        if $crate::points::fails($name, $scope) {
            $failing
        }
    };
}

/// Whether this bug is planted; or, with something behind the comma, what it does then.
#[cfg(not(feature = "points"))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
    ($($planted:tt)*) => {};
}

#[cfg(feature = "points")]
macro_rules! planted {
    ($name:literal) => {
        $crate::points::is_planted($name)
    };
    ($name:literal, $spoiling:expr) => {
        if $crate::points::is_planted($name) {
            $spoiling
        }
    };
    ($name:literal if $is_met:expr, $spoiling:expr) => {
        if $crate::points::is_planted($name) && $is_met {
            $spoiling
        }
    };
}

#[cfg(all(feature = "points", not(debug_assertions)))]
compile_error!("the feature `points` is for tests: no optimised build has it");

#[cfg(feature = "points")]
pub(crate) use armed::{FAILED, clock_shift, fails, full, is_planted, visit};

#[cfg(feature = "points")]
mod armed {
    use std::collections::HashMap;
    use std::env;
    use std::ffi::OsString;
    use std::fs::{self, File, OpenOptions};
    use std::io::Write as _;
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::thread;
    use std::time::Duration;

    use jiff::SignedDuration;

    use crate::bridge::StoreError;

    /// Why a step failed that was made to.
    pub(crate) const FAILED: &str = "made to fail";

    /// What this process was ordered to do, and where it has been.
    struct Armed {
        orders: Vec<Order>,
        seen: Option<File>,
        visits: Mutex<HashMap<String, u32>>,
    }

    /// Something to be done at one visit of a point.
    struct Order {
        text: String,
        point: String,
        action: Action,
        visit: u32,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Action {
        Kill,
        Fail,
        Delay(Duration),
    }

    /// Visits a step that cannot fail.
    pub(crate) fn visit(name: &str, scope: &str) {
        assert!(!fails(name, scope), "the point {name} cannot be made to fail");
    }

    /// Visits a step; whether it is to fail.
    pub(crate) fn fails(name: &str, scope: &str) -> bool {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        let armed = ARMED.get_or_init(Armed::of_environment);
        armed.as_ref().is_some_and(|armed| armed.fails(name, scope))
    }

    /// Whether the process was started with this bug.
    pub(crate) fn is_planted(name: &str) -> bool {
        static PLANTED: OnceLock<Option<OsString>> = OnceLock::new();
        let planted = PLANTED.get_or_init(|| env::var_os("TIELINE_PLANTED"));
        planted.as_ref().is_some_and(|planted| planted == name)
    }

    /// By how much the clock of this process is off.
    pub(crate) fn clock_shift() -> SignedDuration {
        static FILE: OnceLock<Option<OsString>> = OnceLock::new();
        let Some(file) = FILE.get_or_init(|| env::var_os("TIELINE_CLOCK")) else {
            return SignedDuration::ZERO;
        };
        let seconds = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        SignedDuration::from_secs(seconds.unwrap_or(0))
    }

    /// What the store says when its disk is full.
    pub(crate) fn full() -> StoreError {
        StoreError::Work { what: "work in the message store", source: FAILED.into() }
    }

    impl Armed {
        fn of_environment() -> Option<Self> {
            let (orders, seen) = (env::var_os("TIELINE_POINT"), env::var_os("TIELINE_POINTS_SEEN"));
            if orders.is_none() && seen.is_none() {
                return None;
            }
            let orders = orders.unwrap_or_default().to_string_lossy().into_owned();
            let orders =
                orders.split(';').filter(|text| !text.is_empty()).map(Order::read).collect();
            let open = |path| OpenOptions::new().create(true).append(true).open(path).ok();
            Some(Self { orders, seen: seen.and_then(open), visits: Mutex::default() })
        }

        fn fails(&self, name: &str, scope: &str) -> bool {
            let scoped = format!("{name}:{scope}");
            let full = if scope.is_empty() { name } else { &scoped };
            let mut names = vec![name];
            names.extend((full != name).then_some(full));
            let counts: Vec<_> = names.iter().map(|name| (*name, self.count(name))).collect();
            if counts.last().is_some_and(|(_, count)| *count == 1) {
                self.note(full);
            }
            let mut fails = false;
            for order in &self.orders {
                if counts.contains(&(order.point.as_str(), order.visit)) {
                    self.note(&order.text);
                    fails |= order.action.act();
                }
            }
            fails
        }

        fn count(&self, name: &str) -> u32 {
            let mut visits = self.visits.lock().unwrap_or_else(PoisonError::into_inner);
            let count = visits.entry(name.to_owned()).or_default();
            *count += 1;
            *count
        }

        /// One write a line: several threads and processes share the file.
        fn note(&self, text: &str) {
            if let Some(mut seen) = self.seen.as_ref() {
                drop(seen.write_all(format!("{text}\n").as_bytes()));
            }
        }
    }

    impl Order {
        #[expect(clippy::panic, reason = "a test that orders nonsense must not seem to pass")]
        fn read(text: &str) -> Self {
            let parts = || {
                let (point, what) = text.split_once('=')?;
                let (action, visit) = what.split_once('@')?;
                let action = match action.split_once('.') {
                    None if action == "kill" => Action::Kill,
                    None if action == "fail" => Action::Fail,
                    Some(("delay", time)) => {
                        Action::Delay(Duration::from_millis(time.parse().ok()?))
                    }
                    _ => return None,
                };
                Some((point.to_owned(), action, visit.parse().ok()?))
            };
            let Some((point, action, visit)) = parts() else {
                panic!("TIELINE_POINT: found '{text}', expected NAME=ACTION@VISIT");
            };
            Self { text: text.to_owned(), point, action, visit }
        }
    }

    impl Action {
        /// Whether the step is to fail.
        fn act(self) -> bool {
            match self {
                Self::Kill => kill(),
                Self::Fail => true,
                Self::Delay(time) => {
                    // What else this thread of the runtime has to do, another one takes over.
                    tokio::task::block_in_place(|| thread::sleep(time));
                    false
                }
            }
        }
    }

    /// SIGKILL: nothing is unwound, dropped or flushed.
    fn kill() -> ! {
        use rustix::process::{Signal, getpid, kill_process};
        kill_process(getpid(), Signal::KILL).ok();
        loop {
            thread::park();
        }
    }
}
