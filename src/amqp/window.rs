//! A window of publishes: sent without waiting for one another, settled as a whole.
//!
//! lapin hangs a returned message on whichever confirm it handles next, not on its own, so a
//! confirm alone proves nothing about its message (see `complete_pending` in lapin's
//! `acknowledgement.rs`). The broker sends a return before the confirm of the same message, so once
//! every confirm of a window is in, every return has been seen; then they are matched by message
//! id. Nothing of a window is told before that.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{Channel, Confirmation, PublisherConfirm};
use tokio::time::{Instant, timeout_at};

use super::headers::{Envelope, short};
use super::problem::{reply_code, sentence};

/// A message to be published.
pub(super) struct Post<'a> {
    pub(super) envelope: &'a Envelope,
    pub(super) payload: &'a [u8],
    /// Whether the broker gives it back if no queue takes it.
    pub(super) mandatory: bool,
}

impl Post<'_> {
    /// The message id, by which a returned message is recognised.
    pub(super) fn message_id(&self) -> Option<&str> {
        self.envelope.properties.message_id().as_ref().map(lapin::types::ShortString::as_str)
    }
}

/// How a publish ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// A queue has it.
    Confirmed,
    /// No queue takes it.
    Returned,
    /// The broker said no: a queue is full or has no leader.
    Nacked,
    /// The broker closed the channel over this message or another of the window: its reply code
    /// and text. The message may have been taken.
    Closed(u16, String),
    /// Whether the broker has it is unknown.
    Unconfirmed(String),
    /// It was not sent.
    Unsent(String),
}

impl Fate {
    /// Whether the broker has spoken about this very message.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Confirmed | Self::Returned | Self::Nacked)
    }
}

/// Publishes a window in order on a channel in confirm mode and waits until every message of it is
/// settled or `wait` is over. If any is not settled then, nothing more may be published on this
/// channel. One fate per message, in order.
pub(super) async fn publish(channel: &Channel, posts: &[Post<'_>], wait: Duration) -> Vec<Fate> {
    let deadline = Instant::now() + wait;
    let mut sending = VecDeque::with_capacity(posts.len());
    for post in posts {
        sending.push_back(send(channel, post).await);
    }
    point!("window.sent" @ key(posts), return posts.iter().map(|_| lost()).collect());
    // All are under way. Awaiting each in order costs no more than awaiting the slowest.
    let mut fates = Vec::with_capacity(posts.len());
    let mut returned = HashSet::new();
    for sending in sending {
        fates.push(settle(sending, deadline, &mut returned).await);
    }
    attribute_returns(posts, &mut fates, &returned);
    fates
}

/// Where the messages of a window go.
#[cfg(feature = "points")]
fn key<'a>(posts: &'a [Post<'_>]) -> &'a str {
    posts.first().map_or("", |post| &post.envelope.routing_key)
}

/// The fate of what was sent on a connection that was lost then.
#[cfg(feature = "points")]
fn lost() -> Fate {
    Fate::Unconfirmed(crate::points::FAILED.to_owned())
}

type Sending<'a> = Pin<Box<dyn Future<Output = lapin::Result<PublisherConfirm>> + Send + 'a>>;

/// Begins to send a message: the first poll puts its frames into lapin's queue, in the order of the
/// calls. To wait until each is written to the socket would cost two changes of thread a message.
async fn send<'a>(channel: &'a Channel, post: &'a Post<'_>) -> Sending<'a> {
    let envelope = post.envelope;
    let mut sending: Sending<'a> = Box::pin(channel.basic_publish(
        short(&envelope.exchange),
        short(&envelope.routing_key),
        BasicPublishOptions { mandatory: post.mandatory, immediate: false },
        post.payload,
        envelope.properties.clone(),
    ));
    match poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await {
        Poll::Ready(done) => Box::pin(async { done }),
        Poll::Pending => sending,
    }
}

/// Waits for the broker's word on one message, and notes the returned message that came with it,
/// whosever it is.
async fn settle(sending: Sending<'_>, deadline: Instant, returned: &mut HashSet<String>) -> Fate {
    let confirm = match timeout_at(deadline, sending).await {
        Ok(Ok(confirm)) => confirm,
        Ok(Err(error)) => return Fate::Unsent(sentence(&error)),
        Err(_) => return Fate::Unconfirmed("it could not be written in time".to_owned()),
    };
    let (fate, message) = match timeout_at(deadline, confirm).await {
        Ok(Ok(Confirmation::Ack(message))) => (Fate::Confirmed, message),
        Ok(Ok(Confirmation::Nack(message))) => (Fate::Nacked, message),
        Ok(Ok(Confirmation::NotRequested)) => {
            return Fate::Unconfirmed("the channel is not in confirm mode".to_owned());
        }
        Ok(Err(error)) => {
            return match reply_code(&error) {
                Some(code) if is_about_a_message(code) => Fate::Closed(code, sentence(&error)),
                _ => Fate::Unconfirmed(sentence(&error)),
            };
        }
        Err(_) => return Fate::Unconfirmed("the broker was silent".to_owned()),
    };
    if let Some(message) = message {
        let id = message.delivery.properties.message_id().as_ref();
        returned.insert(id.map(ToString::to_string).unwrap_or_default());
    }
    fate
}

/// The reply codes with which RabbitMQ closes a channel because of what was published on it: too
/// large, no permission, no such exchange, precondition failed.
/// <https://www.rabbitmq.com/amqp-0-9-1-reference#constants>
fn is_about_a_message(code: u16) -> bool {
    matches!(code, 311 | 403 | 404 | 406)
}

/// Gives each returned message to the publish it belongs to. While a confirm is missing, a return
/// may be missing too, and what was confirmed is not certain.
fn attribute_returns(posts: &[Post<'_>], fates: &mut [Fate], returned: &HashSet<String>) {
    let is_complete = fates.iter().all(Fate::is_settled);
    for (post, fate) in posts.iter().zip(fates) {
        planted!("ignores what is returned", return);
        if returned.contains(post.message_id().unwrap_or_default()) {
            *fate = Fate::Returned;
        } else if !is_complete && post.mandatory && *fate == Fate::Confirmed {
            let why = "the connection ended before the whole window was settled";
            *fate = Fate::Unconfirmed(why.to_owned());
        }
    }
}

/// Cuts messages into windows within which a returned message can be told by its id: a message
/// that has none, or the same as an earlier one, begins a window and, without an id, ends it.
pub(super) fn windows<'w, 'a>(posts: &'w [Post<'a>]) -> Vec<&'w [Post<'a>]> {
    let mut windows = Vec::new();
    let mut begin = 0;
    let mut ids = HashSet::new();
    for (index, post) in posts.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| posts[before].message_id());
        let id = post.message_id();
        let fits = id.is_some_and(|id| ids.insert(id)) && before.is_some();
        if index > begin && !fits {
            windows.push(&posts[begin..index]);
            begin = index;
            ids = id.into_iter().collect();
        }
    }
    if begin < posts.len() {
        windows.push(&posts[begin..]);
    }
    windows
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;

    use super::*;

    fn envelopes(ids: &[&str]) -> Vec<Envelope> {
        let properties = |id: &&str| {
            let properties = BasicProperties::default();
            if id.is_empty() { properties } else { properties.with_message_id(short(id)) }
        };
        let envelope = |id| Envelope {
            exchange: String::new(),
            routing_key: String::new(),
            properties: properties(id),
        };
        ids.iter().map(envelope).collect()
    }

    fn posts(envelopes: &[Envelope]) -> Vec<Post<'_>> {
        let post = |envelope| Post { envelope, payload: b"", mandatory: true };
        envelopes.iter().map(post).collect()
    }

    #[test]
    fn a_window_holds_each_id_once_and_a_message_without_one_stands_alone() {
        let lengths = |ids: &[&str]| {
            let envelopes = envelopes(ids);
            windows(&posts(&envelopes)).iter().map(|window| window.len()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(&[]), [0; 0]);
        assert_eq!(lengths(&["a", "b", "c"]), [3]);
        assert_eq!(lengths(&["a", "b", "a", "b", "c"]), [2, 3]);
        assert_eq!(lengths(&["", "", "a", "b", "", "c"]), [1, 1, 2, 1, 1]);
    }

    #[test]
    fn a_returned_message_is_told_by_its_id_and_not_by_its_confirm() {
        let envelopes = envelopes(&["a", "b", "c"]);
        let mut fates = vec![Fate::Confirmed; 3];
        attribute_returns(&posts(&envelopes), &mut fates, &HashSet::from(["b".to_owned()]));
        assert_eq!(fates, [Fate::Confirmed, Fate::Returned, Fate::Confirmed]);
    }

    #[test]
    fn while_a_confirm_is_missing_no_message_counts_as_taken() {
        let envelopes = envelopes(&["a", "b", "c"]);
        let mut fates = vec![Fate::Confirmed, Fate::Nacked, Fate::Unconfirmed(String::new())];
        attribute_returns(&posts(&envelopes), &mut fates, &HashSet::new());
        assert!(matches!(fates[..], [Fate::Unconfirmed(_), Fate::Nacked, Fate::Unconfirmed(_)]));
    }

    proptest::proptest! {
        /// lapin hangs a returned message on whichever confirm it handles next, and the broker
        /// confirms several at once.
        #[test]
        fn whichever_confirm_a_return_hangs_on_only_its_own_message_is_returned(
            messages in proptest::collection::vec((0..3_u8, proptest::bool::ANY), 1..20),
            is_cut in proptest::bool::ANY,
        ) {
            let ids: Vec<_> = (0..messages.len()).map(|at| format!("m{at}")).collect();
            let envelopes = envelopes(&ids.iter().map(String::as_str).collect::<Vec<_>>());
            let truly = |(kind, _): &(u8, bool)| match kind {
                0 => Fate::Returned,
                1 => Fate::Nacked,
                _ => Fate::Confirmed,
            };
            // The confirm of a returned message is a confirm like any other. Those that come with
            // a message come in any order, so that all that counts is which messages came at all.
            let mut fates: Vec<_> = messages.iter().map(|it| match truly(it) {
                Fate::Returned => Fate::Confirmed,
                fate => fate,
            }).collect();
            let came = |(kind, seen): &(u8, bool)| *kind == 0 && (!is_cut || *seen);
            let returned = ids.iter().zip(&messages).filter(|(_, it)| came(it));
            let returned = returned.map(|(id, _)| id.clone()).collect();
            if is_cut {
                fates[0] = Fate::Unconfirmed(String::new());
            }
            attribute_returns(&posts(&envelopes), &mut fates, &returned);
            for (found, message) in fates.iter().zip(&messages) {
                let is_right = *found == truly(message) || matches!(found, Fate::Unconfirmed(_));
                proptest::prop_assert!(is_right, "{found:?} of {:?}", truly(message));
                proptest::prop_assert!(is_cut || *found == truly(message));
            }
        }
    }
}
