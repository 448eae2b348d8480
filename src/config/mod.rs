//! The settings of the process: the only place that reads the environment and the settings file.
//!
//! `tieline.toml`, then `TIELINE__SECTION__KEY`. A file is read twice on purpose: once by `toml`,
//! whose errors name line and column, and once through `config`, which lays the environment over
//! it and names the key.

mod sections;
mod values;

use std::path::{Path, PathBuf};

pub use sections::{
    Amqp, Answer, Declare, Errors, Http, Limits, LogFormat, Queues, ReleaseMode, Retry, Settings,
    Shutdown, Store, Telemetry, Transforms, Unreachable,
};
pub use values::{Patience, Secret, Span};

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "tieline.toml";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum SettingsError {
    /// The named file is not there or cannot be read.
    #[error("read settings file {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The file has a mistake.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Syntax(Box<Mistake>),
    /// A value does not fit, in the file or in the environment.
    #[error("setting {key}: {message}")]
    #[diagnostic(help("in the environment the key is written TIELINE__SECTION__KEY"))]
    Value { key: String, message: String },
    /// A setting names a file that cannot be read.
    #[error("read {}, which setting {key} names", path.display())]
    Secret { key: &'static str, path: PathBuf, source: std::io::Error },
    /// Two settings do not go together.
    #[error("setting {key}: {message}")]
    Contradiction { key: &'static str, message: String },
}

/// A mistake in the settings file, shown at its place.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("settings file {name}: {message}")]
pub struct Mistake {
    name: String,
    message: String,
    #[source_code]
    source_code: miette::NamedSource<String>,
    #[label("here")]
    at: Option<miette::SourceSpan>,
    #[help]
    help: Option<String>,
}

/// Reads the settings: the named file, or `tieline.toml` if it is there, then the environment.
pub fn load(file: Option<&Path>) -> Result<Settings, SettingsError> {
    let path = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_path_buf);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            String::new()
        }
        Err(source) => return Err(SettingsError::Read { path, source }),
    };
    from_text(&text, &path.display().to_string(), environment())
}

/// The name of the user at the keyboard, for the journal.
#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
pub fn user_name() -> String {
    let named = ["TIELINE_OPERATOR", "SUDO_USER", "LOGNAME", "USER"].into_iter();
    let name = named.filter_map(|key| std::env::var(key).ok()).find(|name| !name.is_empty());
    name.unwrap_or_else(|| "unknown".to_owned())
}

fn environment() -> config::Environment {
    config::Environment::with_prefix("TIELINE")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true)
}

fn from_text(
    text: &str,
    name: &str,
    environment: config::Environment,
) -> Result<Settings, SettingsError> {
    toml::from_str::<Settings>(text).map_err(|error| syntax(&error, text, name))?;
    let layers = config::Config::builder()
        .add_source(config::File::from_str(text, config::FileFormat::Toml))
        .add_source(environment)
        .build()
        .map_err(|error| SettingsError::Value { key: "?".into(), message: error.to_string() })?;
    let mut settings: Settings = serde_path_to_error::deserialize(layers).map_err(|error| {
        SettingsError::Value { key: error.path().to_string(), message: error.inner().to_string() }
    })?;
    settings.read_secrets()?;
    settings.check()?;
    Ok(settings)
}

fn syntax(error: &toml::de::Error, text: &str, name: &str) -> SettingsError {
    let message = error.message().lines().next().unwrap_or_default().to_owned();
    let help = message
        .starts_with("unknown field")
        .then(|| "tieline.example.toml lists every setting with its default".to_owned());
    SettingsError::Syntax(Box::new(Mistake {
        name: name.to_owned(),
        message,
        source_code: miette::NamedSource::new(name, text.to_owned()),
        at: error.span().map(Into::into),
        help,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        from_text(text, "tieline.toml", environment().source(Some(variables.collect())))
    }

    #[test]
    fn no_file_means_the_defaults() {
        assert_eq!(read("", &[]).unwrap(), Settings::default());
    }

    #[test]
    fn the_example_lists_every_setting_with_its_default() {
        let example = include_str!("../../tieline.example.toml");
        // Settings without a default stand in the example as comments.
        let settings = read(example, &[]).unwrap();
        assert_eq!(settings, Settings::default());
        let listed: Vec<_> = example.lines().map(|line| line.trim_start_matches("# ")).collect();
        for (section, keys) in Settings::default().keys() {
            let start = listed.iter().position(|line| *line == format!("[{section}]"));
            let start = start.unwrap_or_else(|| panic!("[{section}] is not in the example"));
            let end = listed[start + 1..].iter().position(|line| line.starts_with('['));
            let body = &listed[start + 1..end.map_or(listed.len(), |end| start + 1 + end)];
            for key in keys {
                let there = body.iter().any(|line| line.starts_with(&format!("{key} =")));
                assert!(there, "{section}.{key} is not in the example");
            }
        }
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let settings = read(
            "[answer]\ntimeout = \"5m\"\n",
            &[("TIELINE__ANSWER__TIMEOUT", "7s"), ("TIELINE__ERRORS__DESK", "false")],
        )
        .unwrap();
        assert_eq!(settings.answer.timeout, Span::from_secs(7));
        assert!(!settings.errors.desk);
    }

    #[test]
    fn park_after_takes_zero_a_time_and_never() {
        for (text, expected) in [
            ("0", Patience::For(Span::from_secs(0))),
            ("\"90s\"", Patience::For(Span::from_secs(90))),
            ("\"never\"", Patience::Never),
        ] {
            let settings = read(&format!("[unreachable]\npark_after = {text}\n"), &[]).unwrap();
            assert_eq!(settings.unreachable.park_after, expected);
        }
        let settings = read("", &[("TIELINE__UNREACHABLE__PARK_AFTER", "0")]).unwrap();
        assert_eq!(settings.unreachable.park_after, Patience::For(Span::from_secs(0)));
    }

    #[test]
    fn a_mistake_in_the_file_is_shown_at_its_line() {
        let error = read("[answer]\ntimeout = \"5m\"\ntimout = 3\n", &[]).unwrap_err();
        let SettingsError::Syntax(mistake) = &error else { panic!("{error:?}") };
        assert!(mistake.message.contains("unknown field `timout`"), "{mistake}");
        assert_eq!(mistake.at.map(|at| at.offset()), Some(24));
    }

    #[test]
    fn a_mistake_in_the_environment_is_named_by_its_key() {
        let error = read("", &[("TIELINE__ANSWER__TIMEOUT", "soon")]).unwrap_err();
        assert!(error.to_string().starts_with("setting answer.timeout: "), "{error}");
    }

    #[test]
    fn a_password_is_never_shown() {
        let settings = read("[amqp]\nurl = \"amqp://u:canary@h:1/v\"\n", &[]).unwrap();
        assert!(!format!("{settings:?}").contains("canary"));
        let shown = toml::to_string(&settings).unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("amqp://u:***@h:1/v"), "{shown}");
    }
}
