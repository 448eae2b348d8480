//! What happens in a simulation, one operation a line, and how a seed chooses it.
//!
//! A line is a verb and its words; an operation that finds nothing to do does nothing, so that any
//! part of a script is a script.

use std::fmt;
use std::str::FromStr;

/// How many operations a seed makes, at the least and at the most.
const LENGTH: (u64, u64) = (15, 60);

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(super) enum $name { $($variant),+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),+ })
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(format!(concat!("'{}' is no ", stringify!($name)), text)),
                }
            }
        }
    };
}

words! {
    /// The queues that the bridge consumes.
    Queue {
        Requests = "requests",
        Answers = "answers",
        RequestErrors = "request-errors",
        AnswerErrors = "answer-errors",
    }
}

words! {
    /// The systems on both sides.
    Side { Billing = "billing", Assets = "assets" }
}

words! {
    /// What becomes of a batch after the bridge has taken it.
    Settling {
        Settled = "settled",
        Lost = "lost",
        LostToTheBack = "lost-to-the-back",
    }
}

words! {
    /// How the publish of a message ends; `unknown` is no confirm although the broker took it,
    /// `late` the same and it appears later, `vanished` the same and it never does.
    Fate {
        Confirmed = "confirmed",
        Returned = "returned",
        Nacked = "nacked",
        Unknown = "unknown",
        Late = "late",
        Vanished = "vanished",
        Unsent = "unsent",
    }
}

words! {
    /// What asset management does with an asset location.
    Behaviour {
        Positive = "positive",
        Negative = "negative",
        Twice = "twice",
        Changes = "negative-then-positive",
        Contradicts = "positive-then-negative",
        ByBody = "by-body",
        NegativeByBody = "negative-by-body",
        LatePositive = "late-positive",
        LateNegative = "late-negative",
        Never = "never",
        Nonsense = "nonsense",
        DeadLetters = "dead-letters",
    }
}

words! {
    /// What an operator does with an error record.
    Order { Check = "check", Retry = "retry", Discard = "discard", Restore = "restore" }
}

words! {
    /// How a request is made.
    Shape { Good = "good", Unmapped = "unmapped", NoXml = "no-xml" }
}

words! {
    /// What a call of the store comes to.
    Mishap { DiesBefore = "dies-before", DiesAfter = "dies-after", Fails = "fails" }
}

words! {
    /// The lanes.
    Way { Location = "location", Reply = "reply", Note = "note" }
}

/// Something that happens.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Operation {
    Send { sync: u64, point: u64, version: u64, content: u64, shape: Shape },
    Take { queue: Queue, count: u64, settling: Settling },
    Begin { way: Way },
    End { way: Way, fates: Vec<Fate> },
    Answer { behaviour: Behaviour },
    LateAnswersCome,
    LateFramesCome,
    Orphan { sync: u64 },
    ReplyReturns,
    Order { order: Order, pick: u64 },
    OrderAll { order: Order },
    Sweep,
    Wait { seconds: u64 },
    Away { side: Side },
    Back { side: Side },
    ReleasesByItself,
    Mishap { after: u64, mishap: Mishap },
    Kill { fate: Fate },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send { sync, point, version, content, shape } => {
                write!(f, "send {sync} {point} {version} {content} {shape}")
            }
            Self::Take { queue, count, settling } => write!(f, "take {queue} {count} {settling}"),
            Self::Begin { way } => write!(f, "begin {way}"),
            Self::End { way, fates } => {
                write!(f, "end {way}")?;
                fates.iter().try_for_each(|fate| write!(f, " {fate}"))
            }
            Self::Answer { behaviour } => write!(f, "answer {behaviour}"),
            Self::LateAnswersCome => f.write_str("late-answers-come"),
            Self::LateFramesCome => f.write_str("late-frames-come"),
            Self::Orphan { sync } => write!(f, "orphan {sync}"),
            Self::ReplyReturns => f.write_str("reply-returns"),
            Self::Order { order, pick } => write!(f, "order {order} {pick}"),
            Self::OrderAll { order } => write!(f, "order-all {order}"),
            Self::Sweep => f.write_str("sweep"),
            Self::Wait { seconds } => write!(f, "wait {seconds}"),
            Self::Away { side } => write!(f, "away {side}"),
            Self::Back { side } => write!(f, "back {side}"),
            Self::ReleasesByItself => f.write_str("releases-by-itself"),
            Self::Mishap { after, mishap } => write!(f, "mishap {after} {mishap}"),
            Self::Kill { fate } => write!(f, "kill {fate}"),
        }
    }
}

impl FromStr for Operation {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        let words: Vec<_> = line.split_whitespace().collect();
        Ok(match words.as_slice() {
            ["send", sync, point, version, content, shape] => Self::Send {
                sync: number(sync)?,
                point: number(point)?,
                version: number(version)?,
                content: number(content)?,
                shape: shape.parse()?,
            },
            ["take", queue, count, settling] => Self::Take {
                queue: queue.parse()?,
                count: number(count)?,
                settling: settling.parse()?,
            },
            ["begin", way] => Self::Begin { way: way.parse()? },
            ["end", way, fates @ ..] => {
                let fates = fates.iter().map(|fate| fate.parse()).collect::<Result<_, _>>()?;
                Self::End { way: way.parse()?, fates }
            }
            ["answer", behaviour] => Self::Answer { behaviour: behaviour.parse()? },
            ["late-answers-come"] => Self::LateAnswersCome,
            ["late-frames-come"] => Self::LateFramesCome,
            ["orphan", sync] => Self::Orphan { sync: number(sync)? },
            ["reply-returns"] => Self::ReplyReturns,
            ["order", order, pick] => Self::Order { order: order.parse()?, pick: number(pick)? },
            ["order-all", order] => Self::OrderAll { order: order.parse()? },
            ["sweep"] => Self::Sweep,
            ["wait", seconds] => Self::Wait { seconds: number(seconds)? },
            ["away", side] => Self::Away { side: side.parse()? },
            ["back", side] => Self::Back { side: side.parse()? },
            ["releases-by-itself"] => Self::ReleasesByItself,
            ["mishap", after, mishap] => {
                Self::Mishap { after: number(after)?, mishap: mishap.parse()? }
            }
            ["kill", fate] => Self::Kill { fate: fate.parse()? },
            _ => return Err(format!("'{line}' is no operation")),
        })
    }
}

/// Reads a script; lines that begin with `#` are for people.
pub(super) fn read(text: &str) -> Result<Vec<Operation>, String> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::parse).collect()
}

pub(super) fn written(script: &[Operation]) -> String {
    let lines: Vec<_> = script.iter().map(ToString::to_string).collect();
    lines.join("\n") + "\n"
}

/// The operations that follow from a seed.
pub(super) fn of_seed(seed: u64) -> Vec<Operation> {
    let mut random = Random(Random(seed).bits());
    let length = LENGTH.0 + random.below(LENGTH.1 - LENGTH.0);
    let mut script = Vec::new();
    if random.below(3) == 0 {
        script.push(Operation::ReleasesByItself);
    }
    while script.len() < usize::try_from(length).unwrap() {
        few(&mut random, &mut script);
    }
    script
}

/// One operation, and often those that would follow on an ordinary day.
fn few(random: &mut Random, script: &mut Vec<Operation>) {
    let first = one(random);
    let mut next = Some(first);
    while let Some(operation) = next {
        next = following(&operation, random).filter(|_| random.below(10) < 7);
        script.push(operation);
    }
}

/// What would come next if nothing came between.
fn following(operation: &Operation, random: &mut Random) -> Option<Operation> {
    let next = match operation {
        Operation::Send { .. } => take(Queue::Requests, random),
        Operation::Take { queue: Queue::Requests, .. } => Operation::Begin { way: Way::Location },
        Operation::Begin { way } => {
            let fates = (0..=random.below(3)).map(|_| fate(random)).collect();
            Operation::End { way: *way, fates }
        }
        Operation::End { way: Way::Location, .. } => {
            Operation::Answer { behaviour: behaviour(random) }
        }
        Operation::Answer { behaviour: Behaviour::DeadLetters } => {
            take(Queue::RequestErrors, random)
        }
        Operation::Answer { .. } => take(Queue::Answers, random),
        Operation::Take { queue: Queue::RequestErrors, .. } => {
            Operation::OrderAll { order: order(random) }
        }
        Operation::OrderAll { order: Order::Retry } => Operation::Begin { way: Way::Location },
        Operation::ReplyReturns => take(Queue::AnswerErrors, random),
        _ => return None,
    };
    Some(next)
}

fn take(queue: Queue, random: &mut Random) -> Operation {
    let lost = [(12, Settling::Settled), (1, Settling::Lost), (1, Settling::LostToTheBack)];
    Operation::Take { queue, count: 1 + random.below(4), settling: random.pick(&lost) }
}

fn one(random: &mut Random) -> Operation {
    match random.below(100) {
        0..16 => Operation::Send {
            sync: random.below(6),
            point: random.below(3),
            version: random.below(4),
            content: random.below(2),
            shape: random.pick(&[(18, Shape::Good), (1, Shape::Unmapped), (1, Shape::NoXml)]),
        },
        16..30 => {
            use Queue::{AnswerErrors, Answers, RequestErrors, Requests};
            let queue = [(5, Requests), (4, Answers), (3, RequestErrors), (2, AnswerErrors)];
            let queue = random.pick(&queue);
            take(queue, random)
        }
        30..50 => Operation::Begin { way: way(random) },
        50..58 => {
            let fates = (0..=random.below(3)).map(|_| fate(random)).collect();
            Operation::End { way: way(random), fates }
        }
        58..72 => Operation::Answer { behaviour: behaviour(random) },
        72..74 => Operation::LateAnswersCome,
        74 => Operation::LateFramesCome,
        75 => Operation::Orphan { sync: random.below(6) },
        76 => Operation::ReplyReturns,
        77..84 => {
            let order = order(random);
            Operation::Order { order, pick: random.below(16) }
        }
        84..86 => Operation::OrderAll { order: order(random) },
        86 => Operation::Sweep,
        87..90 => Operation::Wait { seconds: random.pick(&[(1, 1), (2, 61), (1, 601), (1, 1000)]) },
        90 => Operation::Away { side: side(random) },
        91..93 => Operation::Back { side: side(random) },
        93..97 => {
            use Mishap::{DiesAfter, DiesBefore, Fails};
            let mishap = random.pick(&[(1, DiesBefore), (2, DiesAfter), (1, Fails)]);
            Operation::Mishap { after: random.below(4), mishap }
        }
        _ => Operation::Kill { fate: fate(random) },
    }
}

fn way(random: &mut Random) -> Way {
    random.pick(&[(3, Way::Location), (2, Way::Reply), (1, Way::Note)])
}

fn side(random: &mut Random) -> Side {
    random.pick(&[(1, Side::Billing), (1, Side::Assets)])
}

fn order(random: &mut Random) -> Order {
    use Order::{Check, Discard, Restore, Retry};
    random.pick(&[(1, Check), (5, Retry), (2, Discard), (1, Restore)])
}

fn fate(random: &mut Random) -> Fate {
    use Fate::{Confirmed, Late, Nacked, Returned, Unknown, Unsent, Vanished};
    let shares = [
        (10, Confirmed),
        (2, Returned),
        (1, Nacked),
        (2, Unknown),
        (1, Late),
        (1, Vanished),
        (1, Unsent),
    ];
    random.pick(&shares)
}

fn behaviour(random: &mut Random) -> Behaviour {
    use Behaviour as B;
    let shares = [
        (6, B::Positive),
        (3, B::Negative),
        (1, B::Twice),
        (1, B::Changes),
        (1, B::Contradicts),
        (1, B::ByBody),
        (1, B::NegativeByBody),
        (1, B::LatePositive),
        (1, B::LateNegative),
        (1, B::Never),
        (1, B::Nonsense),
        (4, B::DeadLetters),
    ];
    random.pick(&shares)
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// One of the things, each with its share.
    fn pick<T: Copy>(&mut self, shares: &[(u64, T)]) -> T {
        let mut left = self.below(shares.iter().map(|(share, _)| share).sum());
        for (share, thing) in shares {
            match left.checked_sub(*share) {
                Some(rest) => left = rest,
                None => return *thing,
            }
        }
        unreachable!("the shares add up")
    }
}

#[test]
fn a_script_is_read_as_it_is_written() {
    for seed in 0..50 {
        let script = of_seed(seed);
        assert_eq!(read(&written(&script)), Ok(script));
    }
}
