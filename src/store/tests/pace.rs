//! Requests that come faster than they go out.

use futures_util::FutureExt as _;

use super::world::{World, request, request_saying, requests_of};
use crate::bridge::ports::{Lane, Leased, NewRequest, Store as _};

/// Requests number so many to so many, each with this many bytes to send.
fn large(numbers: std::ops::Range<usize>, bytes: usize) -> Vec<NewRequest> {
    let one = |n: usize| {
        let says = format!("{n} {}", "x".repeat(bytes));
        request_saying(&format!("{n}"), &format!("SP-{n}"), 1, &says)
    };
    numbers.map(one).collect()
}

/// Whether the store takes a request in at once: what it takes in at the first poll, it does.
async fn is_open(world: &World, number: usize) -> bool {
    let before = recorded(world).await;
    let waits = world.store().record(large(number..number + 1, 1)).now_or_never();
    assert!(waits.is_none(), "the writer is a thread of its own");
    // Whatever is asked of the writer next, it does after that.
    world.lease(Lane::Note).await;
    recorded(world).await > before
}

async fn recorded(world: &World) -> u64 {
    let counts = world.store().counts().await.unwrap();
    counts.requests.iter().map(|(_, count)| count).sum()
}

#[tokio::test]
async fn they_are_held_up_until_something_is_leased() {
    let world = World::new();
    assert!(is_open(&world, 0).await);
    world.store().record(large(1..10, 128 << 10)).await.unwrap();
    assert!(!is_open(&world, 10).await);
    assert_eq!(world.store().lease(Lane::Location, 3, world.until()).await.unwrap().len(), 3);
    assert!(is_open(&world, 10).await);
}

#[tokio::test]
async fn they_come_in_also_while_nobody_leases_and_go_out_in_order() {
    let world = World::new();
    let batches = [large(0..16, 128 << 10), large(16..32, 128 << 10), large(32..33, 1)];
    let all: Vec<_> = batches.iter().flatten().map(|new| (new.id, outgoing(new))).collect();
    let [first, second, _] = batches;
    world.store().record(first).await.unwrap();
    world.store().record(second).await.unwrap();
    assert!(is_open(&world, 32).await, "nobody is waited for a second time");
    let leased = world.lease(Lane::Location).await;
    let sent =
        |one: &Leased| (requests_of(std::slice::from_ref(one))[0], one.message.payload.clone());
    assert_eq!(leased.iter().map(sent).collect::<Vec<_>>(), all);
    world.store().record(large(33..41, 128 << 10)).await.unwrap();
    assert!(!is_open(&world, 41).await, "but again once somebody takes what is there");
}

#[tokio::test]
async fn what_was_superseded_takes_no_room() {
    let world = World::new();
    world.store().record(large(0..7, 128 << 10)).await.unwrap();
    let newer = (0..7).map(|n| request(&format!("newer-{n}"), &format!("SP-{n}"), 2));
    world.store().record(newer.collect()).await.unwrap();
    world.store().record(large(7..14, 128 << 10)).await.unwrap();
    assert!(is_open(&world, 14).await);
}

fn outgoing(new: &NewRequest) -> Vec<u8> {
    new.translation.clone().unwrap().outgoing
}
