//! Samples: messages beside a mapping, with what is expected of them.
//!
//! `samples/NAME.xml` is a message, `NAME.expected.xml` what becomes of it, or `NAME.defects.toml`
//! what is wrong with it. An answer's is `NAME.expected.toml`; a reply begins as `NAME.toml`.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::catalog::Catalog;
use super::diagnostic::Problems;
use super::difference::{difference, pretty_xml};
use super::encoding::ContentType;
use super::load::names_in;
use crate::domain::{
    Answer, AnswerException, Defect, ExternalKey, Failure, FailureCode, Reply, SyncRequestId, Told,
};

/// What came of one sample.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SampleResult {
    /// The mapping's folder.
    pub folder: String,
    /// The sample's name, without its ending.
    pub name: String,
    /// Whether it holds.
    pub outcome: SampleOutcome,
}

/// Whether a sample holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SampleOutcome {
    /// It came out as expected.
    Held,
    /// It came out differently. `-` is what was expected, `+` what came.
    Differs(String),
    /// It, or what is expected of it, cannot be read.
    Unusable(String),
}

const EXPECTATIONS: [&str; 3] = [".expected.xml", ".expected.toml", ".defects.toml"];
const INPUTS: [&str; 2] = [".xml", ".toml"];

/// Checks that every sample says what is expected of it, once.
pub(super) fn check_names(samples: &Path, folder: &str, problems: &mut Problems) {
    let names = names_in(samples).unwrap_or_default();
    for name in names
        .iter()
        .filter(|name| !name.starts_with('.') && Path::new(name).extension() != Some("md".as_ref()))
    {
        let file = format!("{folder}/samples/{name}");
        let is_there = |ending: &&str, stem: &str| names.contains(&format!("{stem}{ending}"));
        let expectation = EXPECTATIONS.iter().find_map(|ending| name.strip_suffix(ending));
        let input = INPUTS.iter().find_map(|ending| name.strip_suffix(ending));
        match (expectation, input) {
            (Some(stem), _) if !INPUTS.iter().any(|ending| is_there(ending, stem)) => {
                let help = format!("add {stem}.xml, or delete this file");
                problems.file_error(&file, "there is no sample for this expectation", help);
            }
            (Some(_), _) => {}
            (None, Some(stem)) => {
                match EXPECTATIONS.iter().filter(|ending| is_there(ending, stem)).count() {
                    0 => {
                        let help = format!(
                            "add {stem}.expected.xml with the output of `tieline transforms try`, or {stem}.defects.toml"
                        );
                        problems.file_error(&file, "the sample has no expected output", help);
                    }
                    1 => {}
                    _ => {
                        let help = "keep one of the files that say what is expected";
                        problems.file_error(
                            &file,
                            "more than one thing is expected of the sample",
                            help,
                        );
                    }
                }
            }
            (None, None) => {
                let help = "samples are NAME.xml (replies NAME.toml) with NAME.expected.xml, .expected.toml or .defects.toml";
                problems.file_error(&file, "this is no sample", help);
            }
        }
    }
}

impl Catalog {
    /// Runs every sample of a folder of mappings against what is expected of it.
    pub fn check_samples(&self, folder: &Path) -> Vec<SampleResult> {
        let mut results = Vec::new();
        for mapping in self.folders() {
            let samples = folder.join(mapping).join("samples");
            let names = names_in(&samples).unwrap_or_default();
            for name in &names {
                let expected = EXPECTATIONS.iter().any(|ending| name.ends_with(ending));
                let input = INPUTS.iter().find_map(|ending| name.strip_suffix(ending));
                let Some(stem) = input.filter(|_| !expected) else { continue };
                let sample = Sample { catalog: self, mapping, samples: &samples, stem };
                let outcome = match sample.check(name) {
                    Ok(None) => SampleOutcome::Held,
                    Ok(Some(difference)) => SampleOutcome::Differs(difference),
                    Err(reason) => SampleOutcome::Unusable(reason),
                };
                let (folder, name) = (mapping.to_owned(), stem.to_owned());
                results.push(SampleResult { folder, name, outcome });
            }
        }
        results
    }
}

struct Sample<'s> {
    catalog: &'s Catalog,
    mapping: &'s str,
    samples: &'s Path,
    stem: &'s str,
}

impl Sample<'_> {
    /// The difference, if there is one, or why the sample cannot be checked.
    fn check(&self, name: &str) -> Result<Option<String>, String> {
        let payload = self.read(name)?;
        let content = ContentType::default();
        if *self.catalog.reply.folder == *self.mapping {
            let text = String::from_utf8(payload).map_err(|error| error.to_string())?;
            let reply: ReplySample = parse(name, &text)?;
            let written = self.catalog.write_reply(&reply.into_reply()?);
            return self.compare_xml(&written);
        }
        if self.catalog.answers.iter().any(|answer| *answer.folder == *self.mapping) {
            return match self.catalog.read_answer(&payload, &content) {
                Ok(answer) => self.compare_answer(&answer),
                Err(failure) => self.compare_defects(&failure, None),
            };
        }
        let (translated, mapping) = self.catalog.translate_by(&payload, &content);
        if let Some(other) = mapping.filter(|mapping| *mapping.folder != *self.mapping) {
            return Err(format!(
                "the mapping {} takes this message, see its 'select'",
                other.folder
            ));
        }
        match translated.outcome {
            Ok(translation) => self.compare_xml(&translation.outgoing),
            Err(failure) => self.compare_defects(&failure, translated.sync_request.as_ref()),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        fs::read(self.samples.join(name)).map_err(|error| format!("{name} cannot be read: {error}"))
    }

    fn read_text(&self, ending: &str) -> Result<Option<(String, String)>, String> {
        let name = format!("{}{ending}", self.stem);
        if !self.samples.join(&name).exists() {
            return Ok(None);
        }
        let text = String::from_utf8(self.read(&name)?);
        text.map(|text| Some((name, text))).map_err(|error| error.to_string())
    }

    fn compare_xml(&self, written: &[u8]) -> Result<Option<String>, String> {
        let name = format!("{}.expected.xml", self.stem);
        if !self.samples.join(&name).exists() {
            return Ok(Some(format!("-defects\n+{}", pretty_xml(written).replace('\n', "\n+"))));
        }
        Ok(difference(&pretty_xml(&self.read(&name)?), &pretty_xml(written)))
    }

    fn compare_answer(&self, answer: &Answer) -> Result<Option<String>, String> {
        let actual = AnswerSample::of(answer).to_text()?;
        match self.read_text(".expected.toml")? {
            Some((name, text)) => {
                let expected: AnswerSample = parse(&name, &text)?;
                Ok(difference(&expected.to_text()?, &actual))
            }
            None => Ok(difference("defects\n", &actual)),
        }
    }

    fn compare_defects(
        &self,
        failure: &Failure,
        sync_request: Option<&SyncRequestId>,
    ) -> Result<Option<String>, String> {
        let expected: Option<DefectsSample> = match self.read_text(".defects.toml")? {
            Some((name, text)) => Some(parse(&name, &text)?),
            None => None,
        };
        let expected = expected.unwrap_or_default();
        let shown = |id: Option<&str>| format!("sync_request = \"{}\"\n", id.unwrap_or_default());
        let (mut wanted, mut found) = (String::new(), String::new());
        if let Some(code) = &expected.code {
            wanted.extend(["code = \"", code, "\"\n"]);
            found.extend(["code = \"", failure.code.as_str(), "\"\n"]);
        }
        if expected.sync_request.is_some() {
            wanted.push_str(&shown(expected.sync_request.as_deref()));
            found.push_str(&shown(sync_request.map(SyncRequestId::as_str)));
        }
        for (index, actual) in failure.defects.iter().enumerate() {
            let actual = DefectSample::of(actual);
            let like = expected.defects.get(index);
            found.push_str(
                &like.map_or_else(|| actual.clone(), |like| actual.as_asked(like)).shown(),
            );
        }
        for defect in &expected.defects {
            wanted.push_str(&defect.shown());
        }
        Ok(difference(&wanted, &found))
    }
}

fn parse<T: for<'d> Deserialize<'d>>(name: &str, text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| format!("{name} is not as expected: {error}"))
}

/// What is wrong with a sample. Only what is named is compared.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DefectsSample {
    code: Option<String>,
    sync_request: Option<String>,
    #[serde(default)]
    defects: Vec<DefectSample>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct DefectSample {
    code: Option<String>,
    rule: Option<String>,
    path: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
    value: Option<String>,
    expected: Option<String>,
}

impl DefectSample {
    fn of(defect: &Defect) -> Self {
        Self {
            code: Some(defect.code.to_string()),
            rule: defect.rule.clone(),
            path: defect.path.clone(),
            line: defect.line,
            column: defect.column,
            value: defect.value.clone(),
            expected: Some(defect.expected.clone()),
        }
    }

    /// Without what the other does not name.
    fn as_asked(&self, like: &Self) -> Self {
        let text = |mine: &Option<String>, asked: &Option<String>| {
            asked.as_ref().and_then(|_| mine.clone())
        };
        Self {
            code: text(&self.code, &like.code),
            rule: text(&self.rule, &like.rule),
            path: text(&self.path, &like.path),
            line: like.line.and(self.line),
            column: like.column.and(self.column),
            value: text(&self.value, &like.value),
            expected: text(&self.expected, &like.expected),
        }
    }

    /// As it is written in a `.defects.toml`, so that it can be copied there.
    fn shown(&self) -> String {
        let texts = [
            ("code", &self.code),
            ("rule", &self.rule),
            ("path", &self.path),
            ("value", &self.value),
            ("expected", &self.expected),
        ];
        let mut parts: Vec<String> = Vec::new();
        for (key, text) in texts {
            parts.extend(text.as_ref().map(|text| format!("{key} = {text:?}")));
            if key == "path" {
                parts.extend(self.line.map(|line| format!("line = {line}")));
                parts.extend(self.column.map(|column| format!("column = {column}")));
            }
        }
        format!("  {{ {} }},\n", parts.join(", "))
    }
}

/// What an answer says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerSample {
    reference: Option<String>,
    verdict: String,
    #[serde(default)]
    keys: Vec<KeySample>,
    #[serde(default)]
    exceptions: Vec<ExceptionSample>,
}

#[derive(Serialize, Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct KeySample {
    entity: String,
    value: String,
}

#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(deny_unknown_fields, default)]
struct ExceptionSample {
    category: String,
    number: String,
    parameters: Vec<String>,
    text: String,
}

impl AnswerSample {
    fn of(answer: &Answer) -> Self {
        let keys = answer.keys.iter();
        let exceptions = answer.exceptions.iter().cloned();
        Self {
            reference: answer.reference.sync_request.as_ref().map(ToString::to_string),
            verdict: answer.verdict.as_str().to_owned(),
            keys: keys
                .map(|key| KeySample { entity: key.entity.clone(), value: key.value.clone() })
                .collect(),
            exceptions: exceptions
                .map(|AnswerException { category, number, parameters, text }| ExceptionSample {
                    category,
                    number,
                    parameters,
                    text,
                })
                .collect(),
        }
    }

    fn to_text(&self) -> Result<String, String> {
        toml::to_string(self).map_err(|error| error.to_string())
    }
}

/// A reply as a sample writes it: the id, and one of the five things that can be told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplySample {
    sync_request: String,
    #[serde(flatten)]
    told: ToldSample,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldSample {
    Applied(Vec<KeySample>),
    Rejected(Vec<ExceptionSample>),
    Parked { code: String, detail: String },
    Superseded { by: Option<String> },
    Discarded { reason: String },
}

impl ReplySample {
    fn into_reply(self) -> Result<Reply, String> {
        let id = |text: &str| {
            SyncRequestId::new(text).map_err(|wrong| format!("'{wrong}' is no sync request id"))
        };
        let told = match self.told {
            ToldSample::Applied(keys) => {
                let key = |key: KeySample| ExternalKey { entity: key.entity, value: key.value };
                Told::Applied(keys.into_iter().map(key).collect())
            }
            ToldSample::Rejected(exceptions) => {
                let exception = |sample: ExceptionSample| AnswerException {
                    category: sample.category,
                    number: sample.number,
                    parameters: sample.parameters,
                    text: sample.text,
                };
                Told::Rejected(exceptions.into_iter().map(exception).collect())
            }
            ToldSample::Parked { code, detail } => {
                let code: FailureCode = code.parse()?;
                Told::Parked(Failure::new(code, detail))
            }
            ToldSample::Superseded { by } => {
                Told::Superseded { by: by.map(|by| id(&by)).transpose()? }
            }
            ToldSample::Discarded { reason } => Told::Discarded { reason },
        };
        Ok(Reply { sync_request: id(&self.sync_request)?, told })
    }
}
