//! Encodings by declaration or byte order mark; and what hides in XML is refused.

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

#[test]
fn bytes_that_are_not_what_they_claim_are_parked_and_the_next_goes_through() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let text = request("S1", "P1").description("Café").text();
    let latin: Vec<u8> = text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
    let cases = [
        ("Latin-1 that claims UTF-8", latin),
        ("UTF-8 that claims UTF-16", text.replacen("UTF-8", "UTF-16", 1).into_bytes()),
        ("an encoding that nobody has", text.replacen("UTF-8", "X-EBCDIC", 1).into_bytes()),
    ];
    for (number, (name, bytes)) in cases.into_iter().enumerate() {
        site.send_bytes(&bytes);
        let error = site.error("TL1004");
        assert_eq!(error["status"], "open", "{name}");
        site.cli(&["errors", "discard", "--all", "--yes", "--reason", "seen"]).ended(0);
        let good = format!("G{number}");
        site.send(&request(&good, &good));
        site.accept(&good);
    }
}

#[test]
fn document_types_and_entities_are_refused_and_the_next_goes_through() {
    let Some(site) = Site::open() else { return };
    let _bridge = site.start();
    let text = request("S1", "P1").text();
    let secret = site.path("secret.txt");
    std::fs::write(&secret, "the secret").unwrap();
    let typed =
        |subset: &str| text.replacen("<spSync", &format!("<!DOCTYPE a {subset}><spSync"), 1);
    let file = format!("[<!ENTITY e SYSTEM \"file://{}\">]", secret.display());
    let laughs = "[<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY e \"&b;&b;&b;&b;\">]";
    let with_entity = |text: String| text.replace("Residential", "&e;Residential");
    let cases = [
        typed(""),
        with_entity(typed(&file)),
        with_entity(typed(laughs)),
        typed("SYSTEM \"http://127.0.0.1:9/x.dtd\""),
        with_entity(text.clone()),
        text.replacen("version=\"1.0\"", "version=\"1.1\"", 1),
    ];
    for (number, text) in cases.into_iter().enumerate() {
        site.send_bytes(text.as_bytes());
        let error = site.error("TL1002");
        assert!(!error.to_string().contains("the secret"), "{error}");
        site.cli(&["errors", "discard", "--all", "--yes", "--reason", "seen"]).ended(0);
        let good = format!("G{number}");
        site.send(&request(&good, &good));
        let location = site.accept(&good);
        assert!(!location.text().contains("the secret"));
    }
}
