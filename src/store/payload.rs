//! How the bytes of messages are kept: compressed, because writing a byte to the log and then to the
//! file costs more than to find out that it need not be written.
//!
//! Messages resemble each other, so the compressor knows typical ones beforehand: a dictionary. A
//! payload names the form it is kept in, and a form never changes; a better dictionary is a new form.

use rusqlite::Row as SqlRow;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::rows::{Result, wrong};
use crate::bridge::StoreError;

/// As they are.
const PLAIN: u8 = 0;

/// Zstandard with the first dictionary.
const ZSTD_1: u8 = 1;

/// Typical messages of all kinds, the most frequent last: near ones are cheaper to point at. Never
/// to be edited: what was compressed with it can be read with it alone.
pub(super) const DICTIONARY_1: &[u8] = include_bytes!("dictionary-1.xml");

/// The fastest level that still finds what the dictionary has: level 1 takes twice the time to save
/// four bytes in a hundred more.
const LEVEL: i32 = -1;

/// The least that is worth it: to pack a short answer or reply costs more than to write it.
const PACKED_MIN: usize = 512;

/// The most that a payload can have unpacked, against a length that is no length.
const BYTES_MAX: usize = 256 << 20;

/// Compresses payloads.
pub(super) struct Packer(Compressor<'static>);

/// A payload as it is kept; what was made of a message stands behind it, in one piece, because it
/// repeats most of it.
pub(super) struct Packed<'a> {
    pub(super) form: u8,
    pub(super) body: std::borrow::Cow<'a, [u8]>,
}

impl Packer {
    pub(super) fn new() -> Result<Self> {
        let compressor = || {
            let mut compressor = Compressor::with_dictionary(LEVEL, DICTIONARY_1)?;
            // Found when it is read: a torn page, or a dictionary that somebody edited.
            compressor.include_checksum(true)?;
            Ok(compressor)
        };
        compressor().map(Self).map_err(|source| failed("prepare to compress payloads", source))
    }

    /// Packs a payload, if that makes it smaller.
    pub(super) fn pack<'a>(&mut self, body: &'a [u8]) -> Result<Packed<'a>> {
        if body.len() < PACKED_MIN {
            return Ok(Packed { form: PLAIN, body: body.into() });
        }
        let packed =
            self.0.compress(body).map_err(|source| failed("compress a payload", source))?;
        Ok(if packed.len() < body.len() {
            Packed { form: ZSTD_1, body: packed.into() }
        } else {
            Packed { form: PLAIN, body: body.into() }
        })
    }
}

/// Unpacks payloads, from the columns `made_at`, form, body. It takes a while to make, so one is kept
/// where many are read.
#[derive(Default)]
pub(super) struct Unpacker(Option<Decompressor<'static>>);

impl Unpacker {
    /// Reads a message as it came, or a reply as it was made.
    pub(super) fn read(&mut self, row: &SqlRow<'_>, at: usize) -> Result<Vec<u8>> {
        let mut bytes = self.read_whole(row, at + 1)?;
        if let Some(made_at) = row.get::<_, Option<u32>>(at)? {
            bytes.truncate(made_at as usize);
        }
        Ok(bytes)
    }

    /// Reads what was made of a message.
    pub(super) fn read_made(&mut self, row: &SqlRow<'_>, at: usize) -> Result<Vec<u8>> {
        let mut bytes = self.read_whole(row, at + 1)?;
        let made_at = row.get::<_, Option<u32>>(at)?.unwrap_or_default() as usize;
        if made_at > bytes.len() {
            return Err(wrong(row, "payloads", format!("made_at {made_at} is behind its end")));
        }
        Ok(bytes.split_off(made_at))
    }

    fn read_whole(&mut self, row: &SqlRow<'_>, at: usize) -> Result<Vec<u8>> {
        let body = row.get_ref(at + 1)?.as_blob().map_err(rusqlite::Error::from)?;
        match row.get(at)? {
            PLAIN => Ok(body.to_owned()),
            ZSTD_1 => self.unpack(body).map_err(|why| wrong(row, "payloads", why)),
            other => Err(wrong(row, "payloads", format!("form {other} does not exist"))),
        }
    }

    fn unpack(&mut self, body: &[u8]) -> Result<Vec<u8>, String> {
        let told = |error: std::io::Error| format!("a payload cannot be unpacked: {error}");
        let decompressor = match &mut self.0 {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::with_dictionary(DICTIONARY_1).map_err(told)?),
        };
        let length = get_frame_content_size(body).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= BYTES_MAX);
        let length = length.ok_or("a payload cannot be unpacked: it does not say its length")?;
        decompressor.decompress(body, length).map_err(told)
    }
}

fn failed(what: &'static str, source: std::io::Error) -> StoreError {
    StoreError::Work { what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Digest;

    #[test]
    fn what_was_made_of_a_message_stands_behind_it() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let parts = |made_at: Option<u32>| {
            let read = |row: &SqlRow<'_>| {
                let mut unpacker = Unpacker::default();
                Ok((unpacker.read(row, 0).unwrap(), unpacker.read_made(row, 0).ok()))
            };
            connection.query_row("SELECT ?1, 0, ?2", (made_at, &b"inout"[..]), read).unwrap()
        };
        assert_eq!(parts(Some(2)), (b"in".to_vec(), Some(b"out".to_vec())));
        assert_eq!(parts(Some(0)), (Vec::new(), Some(b"inout".to_vec())));
        assert_eq!(parts(None), (b"inout".to_vec(), Some(b"inout".to_vec())));
        assert_eq!(parts(Some(6)).1, None);
    }

    fn round_trip(body: &[u8]) -> (u8, Vec<u8>) {
        let packed = Packer::new().unwrap().pack(body).unwrap();
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        let unpacked = connection
            .query_row("SELECT NULL, ?1, ?2", (packed.form, &packed.body[..]), |row| {
                Ok(Unpacker::default().read(row, 0).unwrap())
            })
            .unwrap();
        (packed.form, unpacked)
    }

    #[test]
    fn every_payload_comes_back_as_it_was() {
        let noise: Vec<u8> =
            (0..40_u8).flat_map(|n| Digest::of(&[n]).to_string().into_bytes()).collect();
        let noise: Vec<u8> =
            noise.iter().zip(&noise[1..]).map(|(a, b)| a.wrapping_mul(*b)).collect();
        for body in [&b""[..], b"<a/>", DICTIONARY_1, &noise, &vec![b'x'; 9 << 20]] {
            assert_eq!(round_trip(body).1, body);
        }
        assert_eq!(round_trip(&noise).0, PLAIN, "what does not shrink is kept as it is");
        assert_eq!(round_trip(DICTIONARY_1).0, ZSTD_1);
    }

    #[test]
    fn a_spoilt_payload_is_told() {
        let packed = Packer::new().unwrap().pack(DICTIONARY_1).unwrap().body.into_owned();
        let mut unpacker = Unpacker::default();
        let mut told = 0;
        for at in 0..packed.len() {
            let mut spoilt = packed.clone();
            spoilt[at] ^= 0x10;
            match unpacker.unpack(&spoilt) {
                Err(_) => told += 1,
                // A bit or two of the header say nothing.
                Ok(bytes) => assert_eq!(bytes, DICTIONARY_1, "byte {at}"),
            }
        }
        assert!(told + 2 >= packed.len(), "{told} of {}", packed.len());
        assert!(unpacker.unpack(b"").is_err());
    }

    #[test]
    fn the_dictionary_is_the_one_that_payloads_were_compressed_with() {
        assert_eq!(
            Digest::of(DICTIONARY_1).to_string(),
            "d2bd2ca5aaa9d72f3d7903b6288f9f99f2b3e0424003e43ad9f6f488cff97069"
        );
    }
}
