//! Brings the evidence together: one story for each request of the store, with what billing sent
//! and heard about it and what asset management got and answered.
//!
//! What belongs together follows from identities alone, which are derived from contents
//! (`docs/lifecycle.md`, invariant 4); nothing is matched by guessing.

use std::collections::HashMap;

use tieline::domain::{Digest, MessageId, RequestId, SyncRequestId};

use super::checker::{Fault, Rule};
use super::evidence::{Assets, Billing, Evidence, Location, Reply, Row, Sending};

/// How many replies about one request are looked for; two is the most that can be.
const REPLIES_MAX: u16 = 4;

/// A request with everything that is known about it.
#[derive(Debug)]
pub(super) struct Story<'a> {
    pub(super) row: &'a Row,
    pub(super) content: Content<'a>,
    /// A later request of the same sync request came after it.
    pub(super) is_corrected: bool,
    /// As they came, repeats included.
    pub(super) locations: Vec<&'a Location>,
    /// The distinct ones in the order of their making; a gap is nothing.
    pub(super) replies: Vec<Option<&'a Reply>>,
    pub(super) reply_repeats: u64,
    /// A fault destroyed an asset location of it.
    pub(super) is_destroyed: bool,
    /// Why it went on although it was parked, if it was.
    pub(super) went_on: Option<WentOn>,
}

/// Why what was parked went on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WentOn {
    /// An operator had mended the mapping.
    Mended,
    /// The outage was over that had parked it.
    Released,
}

/// Something that billing sent: the same bytes are the same content.
#[derive(Clone, Debug)]
pub(super) struct Content<'a> {
    pub(super) first: &'a Sending,
    /// The sync requests that it was sent for: bytes that name none can be the same for several.
    sync_requests: Vec<&'a str>,
    /// How often the broker confirmed it to billing.
    pub(super) confirmed: u64,
}

impl Story<'_> {
    /// How asset management answers it, if it has it.
    pub(super) fn answer(&self) -> Option<&str> {
        self.locations.first()?.answer.as_deref()
    }

    /// Whether it was settled by an answer although asset management never had it.
    pub(super) fn is_settled_unseen(&self) -> bool {
        self.locations.is_empty() && matches!(&*self.row.state, "applied" | "rejected")
    }

    /// How often billing heard at first that it was parked.
    pub(super) fn parkings(&self) -> usize {
        self.outcomes().iter().take_while(|outcome| **outcome == "parked").count()
    }

    pub(super) fn outcomes(&self) -> Vec<&str> {
        let all = self.replies.iter();
        all.map(|reply| reply.as_ref().map_or("lost", |reply| reply.outcome.as_str())).collect()
    }
}

/// Writes the stories, in the order of arrival, and notes what belongs to none.
pub(super) fn write<'a>(evidence: &'a Evidence, faults: &mut Vec<Fault>) -> Vec<Story<'a>> {
    let mut known: HashMap<_, _> =
        evidence.requests.iter().map(|row| (hash_of(&row.id), row)).collect();
    let mut found = HashMap::new();
    for content in contents(&evidence.billing) {
        let rows: Vec<_> =
            content.hashes().iter().filter_map(|hash| known.remove(&**hash)).collect();
        match rows[..] {
            [row] => drop(found.insert(&*row.id, content)),
            [] if content.confirmed == 0 => {}
            [] => faults.push(Fault::new(Rule::Lost, format!("{:?}", content.first))),
            _ => faults.push(Fault::new(Rule::Invented, format!("twice in the store: {rows:?}"))),
        }
    }
    faults.extend(known.values().map(|row| Fault::new(Rule::Invented, format!("{row:?}"))));
    let mut stories: Vec<_> = evidence
        .requests
        .iter()
        .filter_map(|row| Some(Story::begin(row, found.remove(&*row.id)?)))
        .collect();
    mark_corrected(&mut stories);
    for story in &mut stories {
        story.went_on = WentOn::of(story.row, evidence);
    }
    let by_id: HashMap<_, _> =
        stories.iter().enumerate().map(|(at, story)| (&*story.row.id, at)).collect();
    add_locations(&mut stories, &by_id, &evidence.assets, faults);
    mark_destroyed(&mut stories, &by_id, evidence, faults);
    add_replies(&mut stories, &evidence.billing, faults);
    stories
}

impl<'a> Story<'a> {
    fn begin(row: &'a Row, content: Content<'a>) -> Self {
        let (locations, replies) = (Vec::new(), Vec::new());
        Self {
            row,
            content,
            is_corrected: false,
            locations,
            replies,
            reply_repeats: 0,
            is_destroyed: false,
            went_on: None,
        }
    }
}

impl WentOn {
    fn of(row: &Row, evidence: &Evidence) -> Option<Self> {
        let is_released = || evidence.released.contains(&row.id);
        let is_mended = evidence.mended.contains(&row.id);
        is_mended.then_some(Self::Mended).or_else(|| is_released().then_some(Self::Released))
    }
}

impl Content<'_> {
    /// What the identity of its request can be: with billing's id, or without if the bridge could
    /// not read that.
    fn hashes(&self) -> Vec<String> {
        let digest = Digest(bytes(&self.first.digest));
        let named = self.sync_requests.iter().map(|id| SyncRequestId::new(id).ok());
        let hash = |id: Option<SyncRequestId>| {
            hash_of(&RequestId::derive(id.as_ref(), None, &digest).to_string()).to_owned()
        };
        named.chain([None]).map(hash).collect()
    }
}

/// What of an identity follows from the content alone: all but the time that it begins with.
fn hash_of(id: &str) -> &str {
    id.split_once('-').map_or(id, |(_, hash)| hash)
}

/// The contents that billing sent, in the order of their first sending.
fn contents(billing: &[Billing]) -> Vec<Content<'_>> {
    let mut contents: Vec<Content<'_>> = Vec::new();
    let (mut by_digest, mut by_place) = (HashMap::new(), HashMap::new());
    for event in billing {
        match event {
            Billing::Sending(sending) => {
                let next = contents.len();
                let at = *by_digest.entry(&sending.digest).or_insert(next);
                if at == next {
                    let sync_requests = Vec::new();
                    contents.push(Content { first: sending, sync_requests, confirmed: 0 });
                }
                by_place.insert(sending.place, at);
                let names = &mut contents[at].sync_requests;
                if !names.contains(&&*sending.sync_request) {
                    names.push(&sending.sync_request);
                }
            }
            Billing::Sent { place } => contents[by_place[place]].confirmed += 1,
            Billing::Unknown {} | Billing::Reply(_) => {}
        }
    }
    contents
}

fn mark_corrected(stories: &mut [Story<'_>]) {
    let mut last = HashMap::new();
    for (at, story) in stories.iter().enumerate() {
        if let Some(sync_request) = story.row.sync_request.clone() {
            last.insert(sync_request, at);
        }
    }
    for (at, story) in stories.iter_mut().enumerate() {
        let newest = story.row.sync_request.as_ref().map(|id| last[id]);
        story.is_corrected = newest.is_some_and(|newest| newest > at);
    }
}

fn add_locations<'a>(
    stories: &mut [Story<'a>],
    by_id: &HashMap<&str, usize>,
    assets: &'a [Assets],
    faults: &mut Vec<Fault>,
) {
    for event in assets {
        let Assets::Location(location) = event else { continue };
        let id = location.message.parse().map(MessageId::request);
        let at = id.ok().and_then(|id| by_id.get(&*id.to_string()));
        match at {
            Some(at) => stories[*at].locations.push(location),
            None => faults.push(Fault::new(Rule::Invented, format!("{location:?}"))),
        }
    }
}

fn mark_destroyed(
    stories: &mut [Story<'_>],
    by_id: &HashMap<&str, usize>,
    evidence: &Evidence,
    faults: &mut Vec<Fault>,
) {
    for message in &evidence.destroyed {
        let id = message.parse().map(MessageId::request);
        match id.ok().and_then(|id| by_id.get(&*id.to_string())) {
            Some(at) => stories[*at].is_destroyed = true,
            None => faults.push(Fault::new(Rule::Invented, format!("destroyed: {message}"))),
        }
    }
}

fn add_replies<'a>(stories: &mut [Story<'a>], billing: &'a [Billing], faults: &mut Vec<Fault>) {
    let mut messages = HashMap::new();
    for (at, story) in stories.iter().enumerate() {
        let Ok(id) = story.row.id.parse::<RequestId>() else { continue };
        for number in 1..=REPLIES_MAX {
            messages.insert(id.reply(number), (at, number));
        }
    }
    for event in billing {
        let Billing::Reply(reply) = event else { continue };
        let place = reply.message.parse().ok().and_then(|id: MessageId| messages.get(&id));
        let Some((at, number)) = place else {
            faults.push(Fault::new(Rule::Invented, format!("{reply:?}")));
            continue;
        };
        let (story, number) = (&mut stories[*at], usize::from(*number));
        if story.replies.len() < number {
            story.replies.resize(number, None);
        }
        match &mut story.replies[number - 1] {
            Some(_) => story.reply_repeats += 1,
            place => *place = Some(reply),
        }
    }
}

/// The bytes of a digest that is written as hexadecimal digits.
fn bytes(digest: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    assert_eq!(digest.len(), 64, "the digest {digest}");
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[2 * at..2 * at + 2], 16).unwrap();
    }
    bytes
}
