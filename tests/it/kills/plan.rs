//! How large a run is, and where the bridge is killed: all of it follows from three numbers.

use std::time::Duration;

use crate::support::fail;

/// How many asset locations and replies together come of a request, at the least: where the last
/// kill must lie to be on the way.
const FACTS_PER_REQUEST: f64 = 1.4;

/// The numbers of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) requests: u32,
    pub(super) kills: u32,
    pub(super) seed: u32,
}

impl Plan {
    /// What the environment asks for; by default what a test run can afford.
    pub(super) fn of_environment() -> Self {
        let number = |name, usual| {
            let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty()) else {
                return usual;
            };
            let number = text.to_str().and_then(|text| text.parse().ok());
            number.unwrap_or_else(|| {
                fail(&format!("{name}: found {}, expected a number", text.display()))
            })
        };
        Self {
            requests: number("TIELINE_TEST_KILL_REQUESTS", 3_000),
            kills: number("TIELINE_TEST_KILLS", 3),
            seed: number("TIELINE_TEST_SEED", 1),
        }
    }

    /// After how many asset locations and replies together each kill comes, in order.
    pub(super) fn kill_points(&self) -> Vec<u64> {
        let step = f64::from(self.requests) * FACTS_PER_REQUEST / f64::from(self.kills + 1);
        let mut random = u64::from(self.seed);
        let points = (1..=self.kills).map(|kill| {
            let shift = fraction(&mut random) * 0.8 - 0.4;
            rounded(step * (f64::from(kill) + shift))
        });
        points.collect()
    }

    /// How long the run may take between two facts that it waits for.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_mins(1) + Duration::from_millis(10) * self.requests
    }
}

/// The next number from 0 to just below 1 (`SplitMix64`).
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
fn fraction(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive count")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[test]
fn kills_lie_on_the_way_and_follow_from_the_seed() {
    let plan = Plan { requests: 3_000, kills: 10, seed: 7 };
    let points = plan.kill_points();
    assert!(points.is_sorted() && points.len() == 10, "{points:?}");
    assert!(points[0] > 0 && points[9] < 4_200, "{points:?}");
    assert_eq!(points, plan.kill_points());
    assert_ne!(points, Plan { seed: 8, ..plan }.kill_points());
}
