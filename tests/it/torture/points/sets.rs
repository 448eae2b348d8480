//! Which orders are given: at every point a kill, a failure where there can be one, a few delays; or
//! everything, each alone, where `TIELINE_TEST_POINTS` says `all`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use super::run::{Job, assert_right, run};
use super::table::{Action, Failing, Met, Order, POINTS, Point};
use crate::support::has_rabbitmq;
use crate::torture::run::tell;

/// How many sites are at work at a time. They wait more than they work.
const AT_A_TIME: usize = 4;

/// How many orders a site gets at the most. A bridge dies of one, the next one of the next.
const OF_A_SITE: usize = 10;

/// At how many sites an order may find no visit.
const SITES_MAX: u32 = 3;

/// How long a delay is, in milliseconds, where everything is to be quick.
const SLOW: u32 = 500;

/// Whether the binary under test has points; says so if not.
pub(super) fn has_points() -> bool {
    let is_required = std::env::var_os("TIELINE_TEST_REQUIRE").is_some_and(|value| value == "all");
    let has = cfg!(feature = "points");
    assert!(has || !is_required, "expected the feature `points`");
    if !has {
        tell("left out: crash points; `cargo xtask test`, or `cargo test --features points`");
    }
    has && has_rabbitmq()
}

/// Whether somebody asked for everything.
pub(super) fn is_all_asked_for() -> bool {
    std::env::var_os("TIELINE_TEST_POINTS").is_some_and(|value| value == "all")
}

fn orders(action: Action, of: impl Fn(&Point) -> bool, visits: &[u32]) -> Vec<Order> {
    let points: Vec<_> = POINTS.iter().filter(|point| of(point)).collect();
    let order = |visit: &u32| {
        let visit = *visit;
        points.iter().map(move |point| Order { point: **point, action, visit }).collect::<Vec<_>>()
    };
    visits.iter().flat_map(order).collect()
}

/// Whether a bridge that runs passes a point again and again.
fn is_at_work(point: &Point) -> bool {
    point.met == Met::Work
}

/// Whether a point is met at sites of its own only.
fn is_apart(point: &Point) -> bool {
    matches!(point.met, Met::Parking | Met::Care)
}

/// Kills in the middle of a release: at the first visit it is the one that is tried before the others.
fn kills_in_a_release() -> Vec<Order> {
    let names = ["dispatch.releasing:location", "store.ordered", "dispatch.released:location"];
    let is_one = |it: &Point| it.met == Met::Parking && names.contains(&it.name);
    orders(Action::Kill, is_one, &[2])
}

/// Deals orders to sites. What is met once in a site's life comes first, and what comes first on the way.
fn deal(mut orders: Vec<Order>, of_a_site: usize) -> Vec<Vec<Order>> {
    let place = |order: &Order| POINTS.iter().position(|point| *point == order.point);
    orders.sort_by_key(|order| (order.point.met, place(order)));
    let sites = orders.len().div_ceil(of_a_site);
    let mut hands = vec![Vec::new(); sites];
    for (at, order) in orders.into_iter().enumerate() {
        hands[at % sites].push(order);
    }
    hands
}

/// Carries out orders at sites of several each. What one site's work did not come to is dealt again:
/// which message is the first of a window, for one, is chance.
fn carry_out(what: &str, orders: Vec<Order>, of_a_site: usize) {
    let (begun, many) = (Instant::now(), orders.len());
    let (apart, usual): (Vec<_>, Vec<_>) = orders.into_iter().partition(|it| is_apart(&it.point));
    let (parking, careful) = apart.into_iter().partition(|it| it.point.met == Met::Parking);
    let hands = [parking, careful, usual].map(|orders| deal(orders, of_a_site));
    let hands = hands.into_iter().flatten().map(|orders| (orders, 1));
    let hands = Mutex::new(hands.collect::<VecDeque<_>>());
    let take = || hands.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = |first: usize| {
        let mut seed = u32::try_from(first).unwrap();
        while let Some((orders, sites)) = take() {
            let job = Job { seed, orders, ..Job::default() };
            let done = run(&job);
            assert_right(&job, &done);
            tell(&format!("  {:>5.1?} {}", done.took, shown(&job.orders, &done.left)));
            let is_first_left = done.left.first() == job.orders.first();
            // Not every point is passed again.
            let is_first_visit = job.orders[0].visit == 1;
            let is_over = is_first_left && (sites == SITES_MAX || !is_first_visit);
            assert!(!is_over || !is_first_visit, "never visited: {}", job.orders[0]);
            if !done.left.is_empty() && !is_over {
                let sites = if is_first_left { sites + 1 } else { 1 };
                let again = (done.left, sites);
                hands.lock().unwrap_or_else(PoisonError::into_inner).push_back(again);
            }
            seed += u32::try_from(AT_A_TIME).unwrap();
        }
    };
    thread::scope(|scope| {
        for first in 1..=AT_A_TIME {
            scope.spawn(move || work(first));
        }
    });
    tell(&format!("{what}: {many} orders, {:.1?}", begun.elapsed()));
}

fn shown(orders: &[Order], left: &[Order]) -> String {
    let order = |order: &Order| {
        if left.contains(order) { format!("({order})") } else { order.to_string() }
    };
    orders.iter().map(order).collect::<Vec<_>>().join(" ")
}

#[test]
fn killed_at_any_point_every_request_ends_and_all_counts_agree() {
    if !has_points() {
        return;
    }
    if is_all_asked_for() {
        let mut kills = orders(Action::Kill, |_| true, &[1]);
        kills.extend(kills_in_a_release());
        kills.extend(orders(Action::Kill, is_at_work, &[2, 5]));
        carry_out("kills, each alone", kills, 1);
    } else {
        let mut kills = orders(Action::Kill, |_| true, &[1]);
        kills.extend(kills_in_a_release());
        carry_out("kills", kills, OF_A_SITE);
    }
}

#[test]
fn whatever_fails_at_any_point_every_request_ends_and_all_counts_agree() {
    if !has_points() {
        return;
    }
    let can_fail = |point: &Point| point.failing != Failing::Never;
    if is_all_asked_for() {
        let mut failures = orders(Action::Fail, can_fail, &[1]);
        failures.extend(orders(Action::Fail, |it| can_fail(it) && is_at_work(it), &[2, 5]));
        carry_out("failures, each alone", failures, 1);
    } else {
        // A site that is apart is slow as well: that costs no site more.
        let mut failures = orders(Action::Delay(SLOW), is_apart, &[1]);
        failures.extend(orders(Action::Fail, can_fail, &[1]));
        carry_out("failures", failures, 2 * OF_A_SITE);
    }
}

#[test]
fn however_slow_a_step_is_every_request_ends_and_all_counts_agree() {
    if !has_points() {
        return;
    }
    if is_all_asked_for() {
        let is_wanted = |it: &Point| is_at_work(it) || is_apart(it);
        carry_out("delays, each alone", orders(Action::Delay(5_000), is_wanted, &[1]), 1);
    } else {
        let few = ["consumer.recorded", "dispatch.published", "store.committed", "window.sent"];
        let is_one = |point: &Point| {
            matches!(point.met, Met::Start | Met::Work)
                && few.iter().any(|name| point.name.starts_with(name))
        };
        carry_out("delays", orders(Action::Delay(SLOW), is_one, &[2]), 2 * OF_A_SITE);
    }
}
