//! Properties as the store keeps them: refused, or the same after they were written again.

use tieline::bridge::{HeaderValue, Properties};

use super::engine::run;
use super::messages::without_values;
use super::target::Target;

#[test]
fn properties() {
    let target = Target {
        name: "properties",
        samples: &[],
        more: || KEPT.iter().map(|json| json.as_bytes().to_vec()).collect(),
        tokens: &[
            "\"headers\":[",
            "[\"h\",{\"text\":\"x\"}]",
            "{\"table\":[[\"a\",",
            "{\"list\":[",
            "\"void\"",
            "{\"bytes\":[0,255]}",
            "{\"decimal\":[255,4294967295]}",
            "{\"integer\":-9223372036854775808}",
            "{\"float\":1e308}",
            "{\"float\":5e-324}",
            "{\"timestamp\":18446744073709551615}",
            "{\"bool\":true}",
            "\\ud83d",
            "\\u0000",
            "null",
            "1e400",
            "\"content_type\":",
            "\"priority\":",
            "\"kind\":",
        ],
        longest: 4 << 10,
        mutations: 4_000,
    };
    run(&target, |input| match serde_json::from_slice::<Properties>(input) {
        Ok(properties) => {
            let written = serde_json::to_string(&properties).unwrap();
            let again: Properties = serde_json::from_str(&written).unwrap();
            assert_eq!(again, properties);
            let kinds = properties.headers.iter().map(|(_, value)| kind_of(value));
            kinds.chain([format!("{} bits of bytes", written.len().ilog2())]).collect()
        }
        Err(error) => {
            assert!(error.line() > 0 || input.is_empty(), "{error}");
            vec![without_values(&error.to_string())]
        }
    });
}

/// The kind of a value, and of the first inside it.
fn kind_of(value: &HeaderValue) -> String {
    let shown = format!("{value:?}");
    let words = shown.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 2);
    words.take(3).collect::<Vec<_>>().join(" ")
}

const KEPT: [&str; 3] = [
    "{}",
    r#"{"content_type":"application/xml","delivery_mode":2,"message_id":"m","exchange":"tieline.in"}"#,
    r#"{"headers":[["v","void"],["b",{"bool":false}],["i",{"integer":-1}],["f",{"float":0.1}],
        ["d",{"decimal":[2,314]}],["t",{"timestamp":1741936269}],["x",{"text":"é\u0000"}],
        ["y",{"bytes":[255,0]}],["l",{"list":["void",{"list":[]}]}],["n",{"table":[["a",{"text":""}]]}]],
        "priority":255,"timestamp":18446744073709551615,"user_id":"guest","kind":"k","reply_to":"r"}"#,
];
