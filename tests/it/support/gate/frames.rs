//! Finds settlements in a stream of AMQP 0-9-1 frames, or leaves deliveries out, however the stream
//! is cut into chunks.
//!
//! A frame is a type (1 byte), a channel (2), a size (4), so many bytes and an end (1); a method's
//! bytes begin with its class and number (2 each). See <https://www.rabbitmq.com/amqp-0-9-1-protocol>.

const METHOD: u8 = 1;
const HEARTBEAT: u8 = 8;
/// `basic.ack`: from a consumer it settles, from the broker it confirms.
const BASIC_ACK: [u8; 4] = [0, 60, 0, 80];
/// `basic.deliver`: a message's header and body follow it at once.
const BASIC_DELIVER: [u8; 4] = [0, 60, 0, 60];
/// The first byte of the greeting, which is no frame.
const GREETING: u8 = b'A';
const GREETING_BYTES: usize = 8;
/// What a frame has around its payload.
const FRAME_BYTES: u64 = 8;
/// Up to where its size is known.
const HEAD_BYTES: usize = 7;
/// Up to where it is known which method it is.
const METHOD_BYTES: usize = 11;

/// One way of a connection.
#[derive(Default)]
pub(super) struct Frames {
    /// The beginning of the frame that comes, up to where it is known what it is.
    head: Vec<u8>,
    /// How much of a known frame is still to come.
    left: u64,
}

impl Frames {
    /// The places in a chunk at which it becomes clear that a frame is a `basic.ack`. A stream that
    /// ends before such a place does not hold it.
    pub(super) fn acks_in(&mut self, chunk: &[u8]) -> Vec<usize> {
        let (mut at, mut found) = (0, Vec::new());
        while at < chunk.len() {
            if self.left > 0 {
                let rest = chunk.len() - at;
                let step = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                self.left -= step as u64;
                at += step;
                continue;
            }
            self.head.push(chunk[at]);
            if self.take_head() {
                found.push(at);
            }
            at += 1;
        }
        found
    }

    /// Looks at the head as far as it came, and says whether it is that of a `basic.ack`.
    fn take_head(&mut self) -> bool {
        let known = self.head.len();
        if self.head[0] == GREETING {
            if known == GREETING_BYTES {
                self.head.clear();
            }
            return false;
        }
        if known < HEAD_BYTES {
            return false;
        }
        let size =
            self.head[3..HEAD_BYTES].iter().fold(0, |size, byte| size << 8 | u64::from(*byte));
        let whole = FRAME_BYTES + size;
        if self.head[0] == METHOD && known < METHOD_BYTES && whole > known as u64 {
            return false;
        }
        let is_ack = self.head[0] == METHOD && self.head[HEAD_BYTES..] == BASIC_ACK;
        self.left = whole - known as u64;
        self.head.clear();
        is_ack
    }
}

/// What comes from a broker, without what it delivers.
#[derive(Default)]
pub(super) struct Sieve {
    /// The beginning of the frame that comes.
    begun: Vec<u8>,
    is_delivery: bool,
}

impl Sieve {
    /// The whole frames that a chunk completes, those of deliveries left out.
    pub(super) fn pass(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.begun.extend_from_slice(chunk);
        let mut passes = Vec::new();
        while let Some(frame) = self.take_frame() {
            match frame[0] {
                METHOD => self.is_delivery = frame[HEAD_BYTES..].starts_with(&BASIC_DELIVER),
                HEARTBEAT => {
                    passes.extend(frame);
                    continue;
                }
                _ => {}
            }
            if !self.is_delivery {
                passes.extend(frame);
            }
        }
        passes
    }

    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let size = self.begun.get(3..HEAD_BYTES)?.try_into().unwrap();
        let whole = usize::try_from(FRAME_BYTES).unwrap() + u32::from_be_bytes(size) as usize;
        (self.begun.len() >= whole).then(|| self.begun.drain(..whole).collect())
    }
}

#[test]
fn deliveries_are_left_out_however_a_stream_is_cut() {
    let frame = |kind: u8, payload: &[u8]| {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], &size[..], payload, &[0xce]].concat()
    };
    let (header, body) = (frame(2, &[0, 60, 9, 9]), frame(3, b"body"));
    let (deliver, get_ok) = (frame(METHOD, &[0, 60, 0, 60, 7]), frame(METHOD, &[0, 60, 0, 71, 7]));
    let heartbeat = frame(HEARTBEAT, &[]);
    let content = [&header[..], &body].concat();
    let stream =
        [&deliver[..], &content, &heartbeat, &get_ok, &content, &deliver, &content].concat();
    let expected = [&heartbeat[..], &get_ok, &content].concat();
    for size in 1..stream.len() {
        let mut sieve = Sieve::default();
        let passed: Vec<u8> = stream.chunks(size).flat_map(|chunk| sieve.pass(chunk)).collect();
        assert_eq!(passed, expected, "in chunks of {size}");
    }
}

#[test]
fn settlements_are_found_however_a_stream_is_cut() {
    let frame = |kind: u8, payload: &[u8]| {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], &size[..], payload, &[0xce]].concat()
    };
    let ack = frame(METHOD, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    let deliver = frame(METHOD, &[0, 60, 0, 60, 7, 7]);
    let body = frame(3, &[0, 60, 0, 80, 9]);
    let heartbeat = frame(8, &[]);
    let stream =
        [b"AMQP\0\0\x09\x01".to_vec(), deliver, body, heartbeat, ack.clone(), ack.clone()].concat();
    let first = stream.len() - 2 * ack.len() + METHOD_BYTES - 1;
    let expected = [first, first + ack.len()];
    for size in 1..stream.len() {
        let mut frames = Frames::default();
        let chunks = stream.chunks(size).enumerate();
        let found: Vec<_> = chunks
            .flat_map(|(n, chunk)| frames.acks_in(chunk).into_iter().map(move |at| n * size + at))
            .collect();
        assert_eq!(found, expected, "in chunks of {size}");
    }
}
