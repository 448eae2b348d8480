//! Frames and methods of AMQP 0-9-1, as far as a consumer needs them.
//! <https://www.rabbitmq.com/amqp-0-9-1-protocol>

use std::io;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::connection::Wire;

/// The kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// The last byte of each frame.
const END: u8 = 0xce;

/// The largest frame that is read, whatever was agreed upon: the broker itself sends more than that
/// when it adds to the headers of a message.
const FRAME_BYTES_MAX: usize = 129 << 20;

/// A frame.
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

/// Reads a frame.
pub(super) async fn read(stream: &mut Wire) -> io::Result<Frame> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await?;
    let [kind, _, _, a, b, c, d] = head;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    if size > FRAME_BYTES_MAX {
        let why = format!("found a frame of {size} bytes, expected at most {FRAME_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let mut payload = vec![0; size + 1];
    stream.read_exact(&mut payload).await?;
    match payload.pop() {
        Some(END) => Ok(Frame { kind, payload }),
        other => {
            let why = format!("found {other:?} at the end of a frame, expected {END}");
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
    }
}

/// Writes a method.
pub(super) async fn write(stream: &mut Wire, channel: u16, method: Writing) -> io::Result<()> {
    let payload = method.0;
    let mut frame = vec![METHOD];
    frame.extend(channel.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(payload);
    frame.push(END);
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// A method that is being put together.
pub(super) struct Writing(Vec<u8>);

impl Writing {
    pub(super) fn method(class: u16, method: u16) -> Self {
        Self([class.to_be_bytes(), method.to_be_bytes()].concat())
    }

    pub(super) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(super) fn short(mut self, number: u16) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: u32) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn long_long(mut self, number: u64) -> Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn short_string(mut self, text: &str) -> Self {
        let bytes = &text.as_bytes()[..text.len().min(usize::from(u8::MAX))];
        self.0.push(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        self.0.extend(bytes);
        self
    }

    pub(super) fn long_string(self, bytes: &[u8]) -> Self {
        let mut this = self.long(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        this.0.extend(bytes);
        this
    }
}

/// Bytes that are read from the front. Whatever is too short is `None`.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a>(pub(super) &'a [u8]);

impl<'a> Reading<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn long_long(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn short_string(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.bytes(usize::from(length))
    }

    pub(super) fn long_string(&mut self) -> Option<&'a [u8]> {
        let length = self.long()?;
        self.bytes(length as usize)
    }
}
