//! Makes service point sync requests as billing would send them, about 1.5 KB each.
//!
//! Everything follows from a seed and the numbers of a request: the same seed gives the same bytes
//! on every machine, and a request can be made again at any time, so nothing is kept. What belongs
//! to the service point (its address, its kind) stays the same in every revision of it.
//!
//! The revision is told twice: as `sendDetails/version`, by which the bridge orders, and at the end
//! of the description (`…, rev 7`), which reaches asset management, so that the stand-in there can
//! tell whether the order was kept.

use std::fmt::Write as _;

use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use super::fault::{Fault, Swap};
use super::places::{CITIES, City, Form};
use super::random::Random;

/// The namespace of requests.
pub const NAMESPACE: &str = "urn:tieline:ccb:sp-sync:1";

/// When the first request of every run was made, in seconds since 1970: 2025-03-14T06:00:00Z.
const BEGIN_SECONDS: i64 = 1_741_932_000;

/// What draws are for, so that one draw more here changes no other.
mod draw {
    pub(super) const SERVICE_POINT: u64 = 1;
    pub(super) const REVISION: u64 = 2;
    pub(super) const ENCODING: u64 = 3;
}

/// A type of service point: code, words for the description.
type Kind = (&'static str, &'static str);

/// Metered types, category `D1MT`.
const METERED: &[Kind] = &[
    ("E-RES", "Residential electric"),
    ("E-RES", "Residential electric"),
    ("E-RES", "Residential electric"),
    ("E-COM", "Commercial electric"),
    ("E-SOLAR", "Photovoltaic, roof"),
    ("E-EVCH", "Charging point"),
    ("G-RES", "Residential gas"),
    ("G-COM", "Commercial gas"),
    ("W-RES", "Residential water"),
    ("W-COM", "Commercial water"),
];

/// Items, category `D1IT`.
const ITEMS: &[Kind] = &[
    ("L-STREET", "Street light"),
    ("L-STREET", "Street light"),
    ("L-STRLED", "Street light, LED 40 W"),
    ("L-PARK", "Park light"),
    ("T-SIGNAL", "Traffic signal"),
    ("B-SHELT", "Bus shelter"),
];

/// Which request: all that its bytes depend on besides the generator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The service point's number in the run.
    pub service_point: u64,
    /// The sync request's number in the run.
    pub sync_request: u64,
    /// How new its content is among those of the service point, from 1.
    pub revision: u32,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// Makes the requests of one run.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// The run's seed.
    pub seed: u64,
    /// The share of service points that are items.
    pub items: f64,
    /// The share of requests in UTF-16 or, where the text allows it, ISO-8859-1.
    pub encodings: f64,
}

impl Generator {
    /// Billing's id of a sync request: 14 digits, of which the first four tell the run.
    pub fn sync_request_id(&self, number: u64) -> String {
        let run = 1_000 + self.seed.wrapping_mul(7_919) % 9_000;
        format!("{run:04}{:010}", number % 10_000_000_000)
    }

    /// Billing's id of a service point: 10 digits, of which the first three tell the run.
    pub fn service_point_id(&self, number: u64) -> String {
        let run = 100 + self.seed.wrapping_mul(7_919) % 900;
        // Scattered as real ids are; the factor has no divisor in common with the modulus, so no
        // two numbers meet.
        let scattered = number.wrapping_mul(6_180_339) % 10_000_000;
        format!("{run:03}{scattered:07}")
    }

    /// The bytes of a request.
    pub fn payload(&self, draft: &Draft) -> Vec<u8> {
        let mut body = Body::new(draft.fault.and_then(Fault::swap));
        self.write(&mut body, draft);
        let encoding = self.encoding(draft, &body.text);
        let bytes = encoding.encode(&body.text);
        match draft.fault {
            Some(Fault::Malformed(malformed)) => malformed.apply(bytes),
            Some(Fault::Swapped { .. }) | None => bytes,
        }
    }

    fn write(&self, body: &mut Body, draft: &Draft) {
        let mut point = Random::of(&[self.seed, draw::SERVICE_POINT, draft.service_point]);
        let revision = u64::from(draft.revision);
        let mut change = Random::of(&[self.seed, draw::REVISION, draft.service_point, revision]);
        let is_item = point.happens(self.items);
        let kinds = if is_item { ITEMS } else { METERED };
        let kind = kinds[point.index(kinds.len())];
        let city = &CITIES[point.index(CITIES.len())];
        body.open(&format!("spSyncRequest xmlns=\"{NAMESPACE}\""));
        self.write_send_details(body, draft, city);
        body.open("servicePoint");
        body.field("spId", &self.service_point_id(draft.service_point));
        body.field("spType", kind.0);
        body.field("category", if is_item { "D1IT" } else { "D1MT" });
        write_service_point(body, draft, (&mut point, &mut change), (kind.1, city));
        body.close("servicePoint");
        write_premise(body, &mut point, city);
        body.close("spSyncRequest");
    }

    fn write_send_details(&self, body: &mut Body, draft: &Draft, city: &City) {
        let created = draft.sync_request.wrapping_mul(7) % 100_000_000;
        let sent = created + 60 * u64::from(draft.revision);
        body.open("sendDetails");
        body.field("syncRequestId", &self.sync_request_id(draft.sync_request));
        body.field("bo", "C1-FWSPSyncRequest");
        body.field("boStatus", "SENDREQ");
        body.field("createDateTime", &date_time(created, city));
        body.field("statusDateTime", &date_time(sent, city));
        body.field("version", &draft.revision.to_string());
        body.field("sourceSystem", "OU_CCB_01");
        body.field("initialLoad", "false");
        body.field("mo", "SP");
        body.field("pkValue1", &self.service_point_id(draft.service_point));
        body.close("sendDetails");
    }

    fn encoding(&self, draft: &Draft, text: &str) -> Encoding {
        let revision = u64::from(draft.revision);
        let parts = [self.seed, draw::ENCODING, draft.sync_request, revision];
        let mut random = Random::of(&parts);
        // A fault of the bytes is one of UTF-8 bytes.
        if matches!(draft.fault, Some(Fault::Malformed(_))) || !random.happens(self.encodings) {
            return Encoding::Utf8;
        }
        let fits_latin1 = text.chars().all(|character| u32::from(character) < 0x100);
        if fits_latin1 && random.happens(0.5) { Encoding::Latin1 } else { Encoding::Utf16 }
    }
}

fn write_service_point(
    body: &mut Body,
    draft: &Draft,
    (point, change): (&mut Random, &mut Random),
    (words, city): (&str, &City),
) {
    let where_it_is = point.pick(&["rear wall", "front wall", "basement", "pole", "cabinet"]);
    let installed = 1 + point.below(28);
    let month = 1 + point.below(12);
    let installed = format!("20{:02}-{month:02}-{installed:02}", 5 + point.below(20));
    body.field("description", &format!("{words}, {where_it_is}, rev {}", draft.revision));
    body.field("spStatus", "R");
    body.field("sourceStatus", change.pick(&["C", "C", "C", "D"]));
    body.field("installationDate", &installed);
    body.field("disconnectLocation", point.pick(&["D1DV", "D1SR"]));
    body.field("timeZone", city.time_zone);
    body.field("division", "CA");
    body.field("deviceLocation", point.pick(&["RIGHT", "LEFT", "REAR", "BSMT"]));
    body.field("deviceLocationDetails", change.pick(DETAILS));
    body.field("measurementCycle", &format!("M{:03}", point.below(200)));
    body.field("serviceRoute", &format!("R-{:04}", point.below(10_000)));
    body.field("facilityLevel1", point.pick(&["E", "W", "N", "S"]));
    body.field("facilityLevel2", &(1 + point.below(9)).to_string());
    let (latitude, longitude) = (point.below(90_000), point.below(90_000));
    body.field("geocodeLatitude", &degrees(city.latitude, latitude));
    body.field("geocodeLongitude", &degrees(city.longitude, longitude));
    body.open("characteristics");
    let area = point.pick(&["NORTH", "SOUTH", "EAST", "WEST"]);
    write_characteristic(body, ("CM-SVCAR", "characteristicValue", area), &installed);
    let phase = change.pick(&["ABC", "A", "B", "C", "AB"]);
    write_characteristic(body, ("CM-PHASE", "adhocCharacteristicValue", phase), &installed);
    body.close("characteristics");
}

/// What a meter reader should know.
const DETAILS: &[&str] = &[
    "Behind gate, beware of dog",
    "Cellar, key at caretaker's",
    "Links neben der Haustür, Klingel „Müller“",
    "Källare, vänster om trappan",
    "Derrière le portail, côté jardin",
    "玄関の左側、郵便受けの下",
    "Za furtką, po prawej stronie",
    "Cabinet at kerb < 2 m from hydrant & tree",
];

fn write_characteristic(body: &mut Body, (kind, name, value): (&str, &str, &str), since: &str) {
    body.open("characteristic");
    body.field("characteristicType", kind);
    body.field("effectiveDate", since);
    body.field(name, value);
    body.close("characteristic");
}

fn write_premise(body: &mut Body, point: &mut Random, city: &City) {
    let number = (1 + point.below(299)).to_string();
    let street = point.pick(city.streets);
    body.open("premise");
    body.field("premiseId", &format!("{:010}", point.below(10_000_000_000)));
    body.field("premiseType", point.pick(&["HOME", "APT", "OFFICE", "FARM"]));
    body.field("cisDivision", "CA");
    body.field("okToEnter", point.pick(&["true", "false"]));
    body.open("address");
    body.field("country", city.country);
    let line = match city.form {
        Form::NumberFirst => format!("{number} {street}"),
        Form::NumberLast => format!("{street} {number}{}", point.pick(&["", "", "a", "b"])),
        Form::Block => {
            format!("{street}{}丁目{}-{number}", 1 + point.below(6), 1 + point.below(30))
        }
    };
    body.field("address1", &line);
    if point.happens(0.3) {
        body.field("address2", &format!("Apt {}{}", 1 + point.below(12), point.pick(&["A", "B"])));
    }
    body.field("number1", &number);
    body.field("city", city.name);
    body.field("county", city.county);
    body.field("state", city.state);
    body.field("postal", &digits(city.postal, point));
    body.close("address");
    body.close("premise");
}

/// A date and time with the city's offset, so many seconds after the first request.
fn date_time(seconds: u64, city: &City) -> String {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    let begin = Timestamp::from_second(BEGIN_SECONDS).unwrap_or_default();
    let at = begin.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(begin);
    let local = at.to_zoned(Offset::constant(city.offset_hours).to_time_zone());
    local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Degrees with six decimals, a little away from the middle of a city.
fn degrees(middle: i32, away: u64) -> String {
    let millionths = i64::from(middle) + i64::try_from(away).unwrap_or_default() - 45_000;
    let sign = if millionths < 0 { "-" } else { "" };
    let size = millionths.unsigned_abs();
    format!("{sign}{}.{:06}", size / 1_000_000, size % 1_000_000)
}

/// The pattern with a digit for every `#`.
fn digits(pattern: &str, random: &mut Random) -> String {
    let digit = |character| match character {
        '#' => char::from(b'0' + u8::try_from(random.below(10)).unwrap_or_default()),
        other => other,
    };
    pattern.chars().map(digit).collect()
}

/// The text of a request as it grows.
struct Body {
    text: String,
    swap: Option<Swap>,
}

impl Body {
    fn new(swap: Option<Swap>) -> Self {
        Self { text: String::with_capacity(2_400), swap }
    }

    fn open(&mut self, tag: &str) {
        self.write(format_args!("<{tag}>\n"));
    }

    fn close(&mut self, name: &str) {
        self.write(format_args!("</{name}>\n"));
    }

    fn field(&mut self, name: &str, value: &str) {
        let value = match self.swap {
            Some(Swap { field, value: None }) if field == name => return,
            Some(Swap { field, value: Some(other) }) if field == name => other,
            Some(_) | None => value,
        };
        self.write(format_args!("<{name}>{}</{name}>\n", quick_xml::escape::partial_escape(value)));
    }

    fn write(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        self.text.write_fmt(what).unwrap_or_default();
    }
}

/// In which characters a request is written.
#[derive(Clone, Copy, Debug)]
enum Encoding {
    Utf8,
    Utf16,
    Latin1,
}

impl Encoding {
    fn encode(self, text: &str) -> Vec<u8> {
        let declared = |name| format!("<?xml version=\"1.0\" encoding=\"{name}\"?>\n{text}");
        match self {
            Self::Utf8 => declared("UTF-8").into_bytes(),
            Self::Utf16 => {
                let text = format!("\u{feff}{}", declared("UTF-16"));
                text.encode_utf16().flat_map(u16::to_be_bytes).collect()
            }
            Self::Latin1 => {
                let latin1 = |character| u8::try_from(u32::from(character)).unwrap_or(b'?');
                declared("ISO-8859-1").chars().map(latin1).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::fault::{Malformed, Swapped};

    const GENERATOR: Generator = Generator { seed: 9, items: 0.2, encodings: 0.0 };

    fn text(draft: Draft) -> String {
        String::from_utf8(GENERATOR.payload(&draft)).unwrap()
    }

    fn draft(service_point: u64, revision: u32) -> Draft {
        Draft { service_point, sync_request: service_point, revision, fault: None }
    }

    fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(value, _)| value)
    }

    #[test]
    fn a_service_point_stays_where_it_is() {
        for number in 0..50 {
            let (old, new) = (text(draft(number, 1)), text(draft(number, 2)));
            assert_ne!(old, new);
            for name in ["spId", "spType", "address", "geocodeLatitude", "timeZone"] {
                assert_eq!(element(&old, name), element(&new, name));
            }
        }
    }

    #[test]
    fn the_revision_stands_in_version_and_description() {
        let text = text(draft(1, 12));
        assert_eq!(element(&text, "version"), Some("12"));
        assert!(element(&text, "description").unwrap().ends_with(", rev 12"));
    }

    #[test]
    fn identities_are_unique_within_a_run_and_differ_between_runs() {
        let ids: std::collections::HashSet<_> =
            (0..10_000).map(|number| GENERATOR.service_point_id(number)).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 10));
        assert_eq!(GENERATOR.sync_request_id(1).len(), 14);
        let other = Generator { seed: 10, ..GENERATOR };
        assert_ne!(GENERATOR.sync_request_id(1), other.sync_request_id(1));
    }

    #[test]
    fn a_fault_changes_the_bytes() {
        let good = GENERATOR.payload(&draft(4, 1));
        let swapped = [Swapped::Unmapped, Swapped::Missing, Swapped::TooLong];
        let faults = (swapped.into_iter().map(|kind| Fault::Swapped { kind, example: 0 }))
            .chain(Malformed::ALL.iter().map(|malformed| Fault::Malformed(*malformed)));
        for fault in faults {
            let broken = GENERATOR.payload(&Draft { fault: Some(fault), ..draft(4, 1) });
            assert_ne!(good, broken, "{fault:?}");
        }
    }

    #[test]
    fn other_encodings_are_declared() {
        let generator = Generator { encodings: 1.0, ..GENERATOR };
        let payloads: Vec<_> = (0..50).map(|n| generator.payload(&draft(n, 1))).collect();
        assert!(payloads.iter().any(|bytes| bytes.starts_with(&[0xfe, 0xff, 0, b'<'])));
        assert!(payloads.iter().any(|bytes| bytes.starts_with(b"<?xml version=\"1.0\" enc")));
        assert!(payloads.iter().all(|bytes| !bytes.windows(5).any(|window| window == b"UTF-8")));
    }

    #[test]
    fn degrees_have_a_sign_and_six_decimals() {
        assert_eq!(degrees(-122_419_400, 45_000), "-122.419400");
        assert_eq!(degrees(40_000, 0), "-0.005000");
    }
}
