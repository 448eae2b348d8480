//! Encodings by declaration or byte order mark. What is refused is in `tests/it/inputs/`.

use crate::support::{Encoding, Site, request};

#[test]
fn every_promised_encoding_arrives_in_utf_8() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let encodings = [
        Encoding::Utf8,
        Encoding::Utf8WithMark,
        Encoding::Utf16Little,
        Encoding::Utf16Big,
        Encoding::Latin1,
    ];
    for (number, encoding) in encodings.into_iter().enumerate() {
        let id = format!("S{number}");
        site.send(&request(&id, &id).encoding(encoding).description("Café Größe, ½ &amp; côté"));
        let location = site.accept(&id);
        assert_eq!(location.at("location/description"), "Café Größe, ½ & côté", "{encoding:?}");
        site.positive_reply_to(&id);
    }
    site.send(&request("S9", "S9").description("玄関の左側 <![CDATA[<b>&]]>"));
    assert_eq!(site.accept("S9").at("location/description"), "玄関の左側 <b>&");
    site.positive_reply_to("S9");
}
