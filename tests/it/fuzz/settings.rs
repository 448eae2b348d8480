//! Settings and AMQP URLs: taken, or refused with a word that helps and tells no secret.

use std::fs;

use tempfile::TempDir;
use tieline::amqp::Endpoint;
use tieline::config::{self, SettingsError};

use super::engine::run;
use super::messages::without_values;
use super::target::{Target, none};

#[test]
fn settings() {
    let target = Target {
        name: "settings",
        samples: &["tieline.example.toml"],
        more: none,
        tokens: &[
            "\"10s\"",
            "\"-1s\"",
            "\"99999999999d\"",
            "\"1ns\"",
            "\"never\"",
            "\"auto\"",
            "true",
            "0",
            "1e400",
            "[amqp]",
            "[answer]",
            "[unreachable]",
            "[store]",
            "url = ",
            "\"amqp://u:p@h/v\"",
            "[[x]]",
            "9223372036854775807",
            "\"P1Y\"",
            "url_file = \"nowhere\"",
            "inf",
            "1979-05-27",
            "'''",
        ],
        longest: 16 << 10,
        mutations: 800,
    };
    let folder = TempDir::with_prefix("tieline-fuzz-").unwrap();
    let path = folder.path().join("tieline.toml");
    run(&target, |input| {
        fs::write(&path, input).unwrap();
        match config::load(Some(&path)) {
            Ok(settings) => {
                assert!(!toml::to_string(&settings).unwrap().is_empty());
                vec!["taken".to_owned()]
            }
            Err(error) => {
                let told = error.to_string();
                assert!(!told.is_empty());
                if let SettingsError::Syntax(mistake) = &error {
                    let labels = miette::Diagnostic::labels(&**mistake).into_iter().flatten();
                    for label in labels {
                        assert!(label.offset() + label.len() <= input.len(), "{label:?}");
                    }
                }
                vec![without_values(&told)]
            }
        }
    });
}

#[test]
fn urls() {
    let target = Target {
        name: "urls",
        samples: &[],
        more: || URLS.iter().map(|url| url.as_bytes().to_vec()).collect(),
        tokens: &[
            "amqp://",
            "amqps://",
            "@",
            ":",
            "/",
            "?",
            "&",
            "%2f",
            "%",
            "%00",
            "%zz",
            "[::1]",
            "[",
            "]",
            "#",
            "heartbeat=",
            "frame_max=",
            "channel_max=",
            "connection_timeout=",
            "auth_mechanism=plain",
            "99999999999",
            "65536",
            "canary",
        ],
        longest: 512,
        mutations: 2_000,
    };
    run(&target, |input| {
        let url = String::from_utf8_lossy(input).into_owned();
        match Endpoint::new("billing", &url.clone().into()) {
            Ok(endpoint) => {
                let shown = format!("{endpoint} {endpoint:?} {}", endpoint.address());
                assert!(!shown.is_empty());
                vec![format!("taken {}", without_values(&endpoint.to_string()).len())]
            }
            Err(error) => {
                // Whatever could be a password is in none of it.
                let told = error.to_string();
                assert!(!told.contains("canary"), "{told}");
                vec!["refused".to_owned()]
            }
        }
    });
}

const URLS: [&str; 9] = [
    "amqp://guest:canary@localhost:5672/%2f",
    "amqps://u%40x:canary%2F@broker.example/vhost",
    "amqp://u:canary@[::1]:5672/v?heartbeat=30&frame_max=65536",
    "amqp://localhost",
    "amqp://h/v?channel_max=2047&connection_timeout=1000&auth_mechanism=external",
    "amqp://:canary@h:0/",
    "http://u:canary@h/",
    "canary",
    "",
];
