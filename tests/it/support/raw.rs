//! A publisher of whatever the broker takes: properties as bytes, which no library would send.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// A frame: kind and payload.
type Frame = (u8, Vec<u8>);

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// A connection with one channel in confirm mode.
pub(crate) struct Raw(TcpStream);

impl Raw {
    /// Connects as the URL says.
    pub(crate) fn connect(url: &str) -> Self {
        let (user, rest) = url.strip_prefix("amqp://").unwrap().split_once('@').unwrap();
        let (address, vhost) = rest.split_once('/').unwrap();
        let vhost = vhost.replace("%2f", "/").replace("%2F", "/");
        let mut raw = Self(TcpStream::connect(address).unwrap());
        raw.0.write_all(b"AMQP\0\0\x09\x01").unwrap();
        raw.until(10, 10);
        let login = format!("\0{}", user.replacen(':', "\0", 1));
        let start_ok = [&[0; 4][..], &short("PLAIN"), &long(login.as_bytes()), &short("en_US")];
        raw.method(0, 10, 11, &start_ok.concat());
        let tune = raw.until(10, 30);
        raw.method(0, 10, 31, &[&tune[..6], &[0, 0]].concat());
        raw.method(0, 10, 40, &[&short(&vhost)[..], &[0, 0]].concat());
        raw.until(10, 41);
        raw.method(1, 20, 10, &[0]);
        raw.until(20, 11);
        raw.method(1, 85, 10, &[0]);
        raw.until(85, 11);
        raw
    }

    /// Publishes to a queue, and returns when the broker has it. The properties are flags and
    /// values as they stand in a content header.
    pub(crate) fn publish(&mut self, queue: &str, properties: &[u8], body: &[u8]) {
        self.method(1, 60, 40, &[&[0, 0, 0][..], &short(queue), &[0]].concat());
        let size = (body.len() as u64).to_be_bytes();
        self.frame(1, HEADER, &[&[0, 60, 0, 0][..], &size, properties].concat());
        self.frame(1, BODY, body);
        self.until(60, 80);
    }

    /// Takes the first message of a queue and goes away without a word.
    pub(crate) fn take_and_hang_up(mut self, queue: &str) {
        self.method(1, 60, 20, &[&[0, 0][..], &short(queue), &[0, 0], &[0; 4]].concat());
        self.until(60, 60);
    }

    fn method(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let name = [class.to_be_bytes(), method.to_be_bytes()].concat();
        self.frame(channel, METHOD, &[&name, arguments].concat());
    }

    fn frame(&mut self, channel: u16, kind: u8, payload: &[u8]) {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&[kind][..], &channel.to_be_bytes(), &size, payload, &[0xce]].concat();
        self.0.write_all(&frame).unwrap();
    }

    /// Reads until a method comes, and returns its arguments.
    #[track_caller]
    fn until(&mut self, class: u16, method: u16) -> Vec<u8> {
        let expected = [class.to_be_bytes(), method.to_be_bytes()].concat();
        loop {
            let (kind, payload) = self.read();
            let closed = kind == METHOD && matches!(payload[..4], [0, 10 | 20, 0, 40 | 50]);
            let is_expected = kind == METHOD && payload[..4] == expected;
            assert!(is_expected || !closed, "closed: {}", String::from_utf8_lossy(&payload[6..]));
            if is_expected {
                return payload[4..].to_vec();
            }
        }
    }

    fn read(&mut self) -> Frame {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).unwrap();
        let size = u32::from_be_bytes(head[3..].try_into().unwrap()) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).unwrap();
        payload.pop();
        (head[0], payload)
    }
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat()
}

/// Bytes with their length before them.
pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}
