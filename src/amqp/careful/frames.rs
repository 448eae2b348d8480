//! Frames and methods of AMQP 0-9-1, as far as a consumer needs them.
//! <https://www.rabbitmq.com/amqp-0-9-1-protocol>

use std::io;
use std::time::Duration;

use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::super::connection::Wire;

/// The kinds of frames.
pub(super) const METHOD: u8 = 1;
pub(super) const HEADER: u8 = 2;
pub(super) const BODY: u8 = 3;

/// Kind, channel and size.
const HEAD_BYTES: usize = 7;

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

/// How long the rest of something may take to go on once it has begun.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(10);

/// How many bytes are read at once, at most.
const CHUNK_BYTES: usize = 16 * 1024;

/// Reads a frame, of which `begun` holds what came before. Given up half-way it can be taken up
/// again: nothing that arrived is lost. Nothing at all for as long as the patience lasts is
/// [`io::ErrorKind::TimedOut`].
pub(super) async fn read(
    stream: &mut Wire,
    begun: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<Frame> {
    loop {
        if let Some(frame) = first(begun)? {
            return Ok(frame);
        }
        let wait = if begun.is_empty() { patience } else { WAIT_MAX };
        let mut chunk = vec![0; CHUNK_BYTES];
        match timeout(wait, stream.read(&mut chunk)).await?? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => begun.extend(&chunk[..count]),
        }
    }
}

/// Takes the first frame out of what has come, if it is there as a whole.
fn first(begun: &mut Vec<u8>) -> io::Result<Option<Frame>> {
    let Some(&[kind, _, _, a, b, c, d]) = begun.first_chunk() else { return Ok(None) };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    if size > FRAME_BYTES_MAX {
        let why = format!("found a frame of {size} bytes, expected at most {FRAME_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    let Some(end) = begun.get(HEAD_BYTES + size).copied() else { return Ok(None) };
    let rest = begun.split_off(HEAD_BYTES + size + 1);
    let mut payload = std::mem::replace(begun, rest);
    payload.truncate(HEAD_BYTES + size);
    payload.drain(..HEAD_BYTES);
    if end == END {
        return Ok(Some(Frame { kind, payload }));
    }
    let why = format!("found {end} at the end of a frame, expected {END}");
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_util::{AsyncRead, AsyncWrite, FutureExt as _};

    use super::*;

    /// A stream of pieces; one that is empty has not come yet.
    struct Pieces(VecDeque<&'static [u8]>);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match self.0.pop_front() {
                Some([]) => Poll::Pending,
                piece => {
                    let piece = piece.unwrap_or_default();
                    to[..piece.len()].copy_from_slice(piece);
                    Poll::Ready(Ok(piece.len()))
                }
            }
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_frame_that_was_given_up_half_way_is_taken_up_again() {
        let pieces: [&[u8]; 5] =
            [b"\x03\0\x01\0\0", b"", b"\0\x02a", b"", b"b\xce\x02\0\x01\0\0\0\0\xce"];
        let mut stream: Wire = Box::new(Pieces(pieces.into()));
        let mut begun = Vec::new();
        for _ in 0..2 {
            let given_up = read(&mut stream, &mut begun, WAIT_MAX).now_or_never();
            assert!(given_up.is_none());
        }
        for expected in [(BODY, &b"ab"[..]), (HEADER, b"")] {
            let frame = read(&mut stream, &mut begun, WAIT_MAX).await.unwrap();
            assert_eq!((frame.kind, &frame.payload[..]), expected);
        }
        assert!(begun.is_empty());
        let error = read(&mut stream, &mut begun, WAIT_MAX).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
