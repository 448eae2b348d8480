//! How the bytes of messages are kept: compressed, because writing a byte to the log and then to the
//! file costs more than to find out that it need not be written; and several in one row, because
//! they resemble each other and a row of its own for each costs more than its bytes.
//!
//! Such a row is a bundle: the payloads of a transaction, up to a limit. A payload is known by a
//! number, which says the bundle and the slot in it. Older rows hold one payload each. A row names
//! the form it is kept in, and a form never changes; a better dictionary is a new form.

use rusqlite::Row as SqlRow;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use super::rows::{Result, wrong};
use crate::bridge::StoreError;

/// One payload, as it is.
const PLAIN: u8 = 0;

/// One payload, Zstandard with the first dictionary.
const ZSTD_1: u8 = 1;

/// A bundle, as it is.
const BUNDLE: u8 = 2;

/// A bundle, Zstandard with the first dictionary.
const BUNDLE_ZSTD_1: u8 = 3;

/// Typical messages of all kinds, the most frequent last: near ones are cheaper to point at. Never
/// to be edited: what was compressed with it can be read with it alone.
pub(super) const DICTIONARY_1: &[u8] = include_bytes!("dictionary-1.xml");

/// The fastest level that still finds what the dictionary has. In a full bundle level 1 saves a
/// tenth more in the same time, but for a bundle of one it takes half as long again.
const LEVEL: i32 = -1;

/// The least that is worth it: to pack a short answer or reply alone costs more than to write it.
const PACKED_MIN: usize = 512;

/// How many slots a bundle has at most. A payload's number has eight bits for the slot.
const SLOTS_MAX: u8 = 64;

/// A bundle this long takes no more: to read one payload of it unpacks it as a whole.
const BUNDLE_FULL: usize = 128 << 10;

/// The most that a row can have unpacked, against a length that is no length.
const BYTES_MAX: usize = 256 << 20;

/// A payload: what came or was made, with the properties it came with, and what was made of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Payload<'a> {
    /// JSON, for what came from a queue.
    pub(super) properties: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// What a mapping made of it; it repeats most of it.
    pub(super) made: Option<&'a [u8]>,
}

/// The columns from which [`Unpacker`] reads, in its order: the number of the payload as the row
/// that refers to it has it, and the table `payloads`, joined with [`bundle_of`].
macro_rules! payload_columns {
    ($number:literal, $table:literal) => {
        concat!(
            $number,
            ", ",
            $table,
            ".properties, ",
            $table,
            ".made_at, ",
            $table,
            ".form, ",
            $table,
            ".body"
        )
    };
}

/// The row of `payloads` that a number is in.
macro_rules! bundle_of {
    ($number:literal) => {
        concat!($number, " >> 8")
    };
}
pub(super) use {bundle_of, payload_columns};

/// Gathers the payloads of a transaction until they are written.
pub(super) struct Bundle {
    compressor: Compressor<'static>,
    number: i64,
    slots: u8,
    bytes: Vec<u8>,
}

/// A bundle as it is written.
pub(super) struct Packed<'a> {
    pub(super) number: i64,
    pub(super) form: u8,
    pub(super) body: std::borrow::Cow<'a, [u8]>,
}

impl Bundle {
    pub(super) fn new() -> Result<Self> {
        let compressor = || {
            let mut compressor = Compressor::with_dictionary(LEVEL, DICTIONARY_1)?;
            // Found when it is read: a torn page, or a dictionary that somebody edited.
            compressor.include_checksum(true)?;
            Ok(compressor)
        };
        let compressor =
            compressor().map_err(|source| failed("prepare to compress payloads", source))?;
        Ok(Self { compressor, number: 0, slots: 0, bytes: Vec::new() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.slots >= SLOTS_MAX || self.bytes.len() >= BUNDLE_FULL
    }

    /// Empties it. What comes next is in the bundle with this number.
    pub(super) fn begin(&mut self, number: i64) {
        self.number = number;
        self.clear();
    }

    pub(super) fn clear(&mut self) {
        self.slots = 0;
        self.bytes.clear();
        // One huge message must not be remembered in memory for ever.
        self.bytes.shrink_to(2 * BUNDLE_FULL);
    }

    /// Takes a payload in, and tells its number.
    pub(super) fn add(&mut self, payload: &Payload<'_>) -> i64 {
        let parts = [payload.properties.map(str::as_bytes), Some(payload.body), payload.made];
        for part in parts {
            let length =
                part.map_or(ABSENT, |part| u32::try_from(part.len()).unwrap_or(ABSENT - 1));
            self.bytes.extend_from_slice(&length.to_le_bytes());
        }
        parts.into_iter().flatten().for_each(|part| self.bytes.extend_from_slice(part));
        let slot = self.slots;
        self.slots += 1;
        (self.number << 8) | i64::from(slot)
    }

    /// Packs what was gathered, if that makes it smaller.
    pub(super) fn pack(&mut self) -> Result<Packed<'_>> {
        let Self { compressor, number, bytes, .. } = self;
        let plain = Packed { number: *number, form: BUNDLE, body: (&*bytes).into() };
        if bytes.len() < PACKED_MIN {
            return Ok(plain);
        }
        let packed =
            compressor.compress(bytes).map_err(|source| failed("compress payloads", source))?;
        Ok(if packed.len() < bytes.len() {
            Packed { form: BUNDLE_ZSTD_1, body: packed.into(), ..plain }
        } else {
            plain
        })
    }
}

/// The length of a part that is not there.
const ABSENT: u32 = u32::MAX;

/// Reads payloads, from the columns of [`payload_columns`]. Neighbours are read one after the other,
/// so the bundle at hand is kept unpacked.
#[derive(Default)]
pub(super) struct Unpacker {
    decompressor: Option<Decompressor<'static>>,
    /// The row of `payloads` that `bytes` are of; none after a failure.
    bundle: Option<i64>,
    bytes: Vec<u8>,
}

impl Unpacker {
    /// Forgets the bundle at hand. The number of one that was never committed is given again.
    pub(super) fn forget(&mut self) {
        self.bundle = None;
    }

    /// Reads a payload.
    pub(super) fn read<'a>(&'a mut self, row: &'a SqlRow<'_>, at: usize) -> Result<Payload<'a>> {
        let number: i64 = row.get(at)?;
        let form = row.get(at + 3)?;
        if self.bundle != Some(number >> 8) {
            self.unpack_row(row, at, form)?;
            self.bundle = Some(number >> 8);
        }
        if matches!(form, BUNDLE | BUNDLE_ZSTD_1) {
            let slot = number & 0xff;
            return slot_of(&self.bytes, slot).ok_or_else(|| {
                wrong(row, "payloads", format!("slot {slot} is not in the bundle"))
            });
        }
        let properties = row.get_ref(at + 1)?.as_str_or_null().map_err(rusqlite::Error::from)?;
        let (body, made) = match row.get::<_, Option<u32>>(at + 2)? {
            None => (&*self.bytes, &*self.bytes),
            Some(made_at) => self.bytes.split_at_checked(made_at as usize).ok_or_else(|| {
                wrong(row, "payloads", format!("made_at {made_at} is behind its end"))
            })?,
        };
        Ok(Payload { properties, body, made: Some(made) })
    }

    fn unpack_row(&mut self, row: &SqlRow<'_>, at: usize, form: u8) -> Result<()> {
        self.forget();
        let body = row.get_ref(at + 4)?.as_blob().map_err(rusqlite::Error::from)?;
        match form {
            PLAIN | BUNDLE => {
                body.clone_into(&mut self.bytes);
                Ok(())
            }
            ZSTD_1 | BUNDLE_ZSTD_1 => self.unpack(body).map_err(|why| wrong(row, "payloads", why)),
            other => Err(wrong(row, "payloads", format!("form {other} does not exist"))),
        }
    }

    fn unpack(&mut self, body: &[u8]) -> Result<(), String> {
        let told = |error: std::io::Error| format!("a payload cannot be unpacked: {error}");
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::with_dictionary(DICTIONARY_1).map_err(told)?),
        };
        let length = get_frame_content_size(body).ok().flatten();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= BYTES_MAX);
        let length = length.ok_or("a payload cannot be unpacked: it does not say its length")?;
        self.bytes = decompressor.decompress(body, length).map_err(told)?;
        Ok(())
    }
}

/// Finds a slot in an unpacked bundle.
fn slot_of(mut bundle: &[u8], slot: i64) -> Option<Payload<'_>> {
    let mut at = 0;
    loop {
        let properties = length(&mut bundle)?;
        let body = length(&mut bundle)?;
        let made = length(&mut bundle)?;
        let properties = part(&mut bundle, properties)?;
        let body = part(&mut bundle, body)??;
        let made = part(&mut bundle, made)?;
        if at == slot {
            let properties = properties.map(std::str::from_utf8).transpose().ok()?;
            return Some(Payload { properties, body, made });
        }
        at += 1;
    }
}

fn length(bundle: &mut &[u8]) -> Option<u32> {
    let (length, rest) = bundle.split_first_chunk()?;
    *bundle = rest;
    Some(u32::from_le_bytes(*length))
}

/// Takes a part off the front: `Some(None)` if it is absent, `None` if the bundle is too short.
#[expect(clippy::option_option, reason = "absent and broken are two things")]
fn part<'a>(bundle: &mut &'a [u8], length: u32) -> Option<Option<&'a [u8]>> {
    if length == ABSENT {
        return Some(None);
    }
    let (part, rest) = bundle.split_at_checked(length as usize)?;
    *bundle = rest;
    Some(Some(part))
}

fn failed(what: &'static str, source: std::io::Error) -> StoreError {
    StoreError::Work { what, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params};

    use super::*;
    use crate::domain::Digest;

    /// Properties, body and what was made of it.
    type Parts = (Option<String>, Vec<u8>, Option<Vec<u8>>);

    /// Reads a payload of a row with these columns.
    fn read(
        number: i64,
        (properties, made_at): (Option<&str>, Option<u32>),
        (form, body): (u8, &[u8]),
    ) -> Result<Parts> {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = connection.prepare("SELECT ?1, ?2, ?3, ?4, ?5").unwrap();
        let mut rows = statement.query(params![number, properties, made_at, form, body]).unwrap();
        let mut unpacker = Unpacker::default();
        let payload = unpacker.read(rows.next().unwrap().unwrap(), 0)?;
        Ok((
            payload.properties.map(str::to_owned),
            payload.body.to_vec(),
            payload.made.map(<[u8]>::to_vec),
        ))
    }

    #[test]
    fn a_row_of_its_own_is_read_as_before() {
        let parts = |made_at| read(0x500, (Some("{}"), made_at), (PLAIN, b"inout"));
        let properties = Some("{}".to_owned());
        let (_, body, made) = parts(Some(2)).unwrap();
        assert_eq!((body, made), (b"in".to_vec(), Some(b"out".to_vec())));
        let whole = b"inout".to_vec();
        assert_eq!(parts(Some(0)).unwrap(), (properties.clone(), vec![], Some(whole.clone())));
        assert_eq!(parts(None).unwrap(), (properties, whole.clone(), Some(whole)));
        let refused = parts(Some(6)).unwrap_err().to_string();
        assert!(refused.contains("made_at 6 is behind its end"), "{refused}");
    }

    #[test]
    fn every_payload_of_a_bundle_comes_back_as_it_was() {
        let noise: Vec<u8> =
            (0..40_u8).flat_map(|n| Digest::of(&[n]).to_string().into_bytes()).collect();
        let noise: Vec<u8> =
            noise.iter().zip(&noise[1..]).map(|(a, b)| a.wrapping_mul(*b)).collect();
        let long = vec![b'x'; 9 << 20];
        let bodies = [&b""[..], b"<a/>", DICTIONARY_1, &noise, &long];
        let all: Vec<_> = bodies
            .iter()
            .flat_map(|body| {
                [
                    (None, None),
                    (Some("{}"), None),
                    (None, Some(&b"made"[..])),
                    (Some(""), Some(&noise)),
                ]
                .map(|(properties, made)| Payload { properties, body, made })
            })
            .collect();
        let mut bundle = Bundle::new().unwrap();
        bundle.begin(7);
        let numbers: Vec<_> = all.iter().map(|payload| bundle.add(payload)).collect();
        let packed = bundle.pack().unwrap();
        assert_eq!((packed.number, packed.form), (7, BUNDLE_ZSTD_1));
        for (number, payload) in numbers.into_iter().zip(all) {
            let (properties, body, made) =
                read(number, (None, None), (packed.form, &packed.body)).unwrap();
            assert_eq!(properties.as_deref(), payload.properties);
            assert!(body == payload.body && made.as_deref() == payload.made);
        }
        let beyond = read(0x7ff, (None, None), (packed.form, &packed.body)).unwrap_err();
        assert!(beyond.to_string().contains("slot 255 is not in the bundle"), "{beyond}");
    }

    #[test]
    fn what_does_not_shrink_is_kept_as_it_is() {
        let form = |body: &[u8]| {
            let mut bundle = Bundle::new().unwrap();
            bundle.add(&Payload { properties: None, body, made: None });
            bundle.pack().unwrap().form
        };
        assert_eq!(form(&DICTIONARY_1[..400]), BUNDLE);
        assert_eq!(form(DICTIONARY_1), BUNDLE_ZSTD_1);
    }

    #[test]
    fn a_spoilt_bundle_is_told() {
        let mut bundle = Bundle::new().unwrap();
        bundle.add(&Payload { properties: None, body: DICTIONARY_1, made: None });
        let packed = bundle.pack().unwrap().body.into_owned();
        let mut told = 0;
        for at in 0..packed.len() {
            let mut spoilt = packed.clone();
            spoilt[at] ^= 0x10;
            match read(0, (None, None), (BUNDLE_ZSTD_1, &spoilt)) {
                Err(_) => told += 1,
                // A bit or two of the header say nothing.
                Ok((_, body, _)) => assert!(body == DICTIONARY_1, "byte {at}"),
            }
        }
        assert!(told + 2 >= packed.len(), "{told} of {}", packed.len());
        for short in [&b""[..], b"\0\0\0\0\x01\0\0\0\xff\xff\xff\xff"] {
            assert!(read(0, (None, None), (BUNDLE, short)).is_err());
        }
    }

    #[test]
    fn the_dictionary_is_the_one_that_payloads_were_compressed_with() {
        assert_eq!(
            Digest::of(DICTIONARY_1).to_string(),
            "d2bd2ca5aaa9d72f3d7903b6288f9f99f2b3e0424003e43ad9f6f488cff97069"
        );
    }
}
