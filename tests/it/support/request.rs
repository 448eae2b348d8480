//! Requests as billing writes them.

/// The namespace of requests.
const NAMESPACE: &str = "urn:tieline:ccb:sp-sync:1";

/// A service point sync request, to be varied.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) service_point: String,
    version: Option<u32>,
    created: String,
    sp_type: String,
    category: String,
    description: String,
    time_zone: String,
    prefix: Option<&'static str>,
    encoding: Encoding,
}

/// In which bytes a request is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    Utf8,
    Utf8WithMark,
    Utf16Little,
    Utf16Big,
    Latin1,
}

/// A good request of a metered service point.
pub(crate) fn request(id: &str, service_point: &str) -> Request {
    Request {
        id: id.to_owned(),
        service_point: service_point.to_owned(),
        version: Some(1),
        created: "2025-03-14T02:11:09-05:00".to_owned(),
        sp_type: "E-RES".to_owned(),
        category: "D1MT".to_owned(),
        description: "Residential electric, rear wall".to_owned(),
        time_zone: "US-EAST".to_owned(),
        prefix: None,
        encoding: Encoding::Utf8,
    }
}

impl Request {
    /// With this `sendDetails/version`.
    pub(crate) fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// Without a `sendDetails/version`.
    pub(crate) fn no_version(mut self) -> Self {
        self.version = None;
        self
    }

    /// With this `sendDetails/createDateTime`.
    pub(crate) fn created(mut self, created: &str) -> Self {
        created.clone_into(&mut self.created);
        self
    }

    /// With this service point type; one that no value map has cannot be translated.
    pub(crate) fn sp_type(mut self, sp_type: &str) -> Self {
        sp_type.clone_into(&mut self.sp_type);
        self
    }

    /// With a service point type and a time zone that no value map has: two defects.
    pub(crate) fn unmapped(self) -> Self {
        self.sp_type("X-UNMAP")
    }

    pub(crate) fn category(mut self, category: &str) -> Self {
        category.clone_into(&mut self.category);
        self
    }

    /// With this description, as XML text.
    pub(crate) fn description(mut self, description: &str) -> Self {
        description.clone_into(&mut self.description);
        self
    }

    pub(crate) fn time_zone(mut self, time_zone: &str) -> Self {
        time_zone.clone_into(&mut self.time_zone);
        self
    }

    /// With every element of the namespace under this prefix instead of by default.
    pub(crate) fn prefix(mut self, prefix: &'static str) -> Self {
        self.prefix = Some(prefix);
        self
    }

    pub(crate) fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = self.text();
        let wide = |bytes: fn(u16) -> [u8; 2]| {
            let mark = std::iter::once(0xfeff).chain(text.encode_utf16());
            mark.flat_map(bytes).collect()
        };
        match self.encoding {
            Encoding::Utf8 => text.into_bytes(),
            Encoding::Utf8WithMark => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            Encoding::Utf16Little => wide(u16::to_le_bytes),
            Encoding::Utf16Big => wide(u16::to_be_bytes),
            Encoding::Latin1 => {
                text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
            }
        }
    }

    /// The text, with its declaration.
    pub(crate) fn text(&self) -> String {
        let declared = match self.encoding {
            Encoding::Utf8 | Encoding::Utf8WithMark => "UTF-8",
            Encoding::Utf16Little | Encoding::Utf16Big => "UTF-16",
            Encoding::Latin1 => "ISO-8859-1",
        };
        let body = self.body();
        let body = match self.prefix {
            None => body.replacen("<spSyncRequest", &opening("spSyncRequest xmlns"), 1),
            Some(prefix) => {
                let body = body.replace('<', &format!("<{prefix}:"));
                let body = body.replace(&format!("<{prefix}:/"), &format!("</{prefix}:"));
                let root = format!("{prefix}:spSyncRequest xmlns:{prefix}");
                body.replacen(&format!("<{prefix}:spSyncRequest"), &opening(&root), 1)
            }
        };
        format!("<?xml version=\"1.0\" encoding=\"{declared}\"?>\n{body}")
    }

    fn body(&self) -> String {
        let Self { id, service_point, created, sp_type, category, .. } = self;
        let Self { description, time_zone, .. } = self;
        let version = self.version.map(|version| format!("\n    <version>{version}</version>"));
        let version = version.unwrap_or_default();
        format!(
            "<spSyncRequest>
  <sendDetails>
    <syncRequestId>{id}</syncRequestId>
    <bo>C1-FWSPSyncRequest</bo>
    <boStatus>SENDREQ</boStatus>
    <createDateTime>{created}</createDateTime>{version}
    <sourceSystem>OU_CCB_01</sourceSystem>
    <initialLoad>false</initialLoad>
    <mo>SP</mo>
    <pkValue1>{service_point}</pkValue1>
  </sendDetails>
  <servicePoint>
    <spId>{service_point}</spId>
    <spType>{sp_type}</spType>
    <category>{category}</category>
    <description>{description}</description>
    <spStatus>R</spStatus>
    <sourceStatus>C</sourceStatus>
    <installationDate>2025-03-12</installationDate>
    <timeZone>{time_zone}</timeZone>
    <division>CA</division>
    <deviceLocation>RIGHT</deviceLocation>
    <deviceLocationDetails>Behind gate, beware of dog</deviceLocationDetails>
    <facilityLevel1>E</facilityLevel1>
    <geocodeLatitude>42.694634</geocodeLatitude>
    <geocodeLongitude>-87.624632</geocodeLongitude>
    <characteristics>
      <characteristic>
        <characteristicType>CM-SVCAR</characteristicType>
        <effectiveDate>2025-03-12</effectiveDate>
        <characteristicValue>NORTH</characteristicValue>
      </characteristic>
    </characteristics>
  </servicePoint>
  <premise>
    <premiseId>2242620736</premiseId>
    <premiseType>HOME</premiseType>
    <cisDivision>CA</cisDivision>
    <address>
      <country>USA</country>
      <address1>129 Sutter St</address1>
      <city>San Francisco</city>
      <county>San Francisco</county>
      <state>CA</state>
      <postal>94104</postal>
    </address>
  </premise>
</spSyncRequest>
"
        )
    }
}

fn opening(root: &str) -> String {
    format!("<{root}=\"{NAMESPACE}\"")
}
