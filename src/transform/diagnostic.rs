//! What is wrong with a folder of mappings: every mistake with its place and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

use super::translate::line_and_column;

/// A file of the folder.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Its path inside the folder, with `/`.
    pub(super) name: Arc<str>,
    pub(super) text: Arc<str>,
}

/// One mistake, or one thing worth a look.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The file, relative to the folder of mappings.
    pub file: String,
    /// The line, from 1; none if the problem is the file as a whole.
    pub line: Option<u32>,
    /// The column, from 1, in characters.
    pub column: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    warning: bool,
    source: Option<(NamedSource<Arc<str>>, Range<usize>)>,
}

impl Problem {
    fn at(file: &File, span: Range<usize>, message: String, help: String) -> Self {
        let (line, column) = line_and_column(&file.text, span.start);
        let source = NamedSource::new(&*file.name, Arc::clone(&file.text)).with_language("TOML");
        Self {
            file: file.name.to_string(),
            line: Some(line),
            column: Some(column),
            message,
            help,
            warning: false,
            source: Some((source, span)),
        }
    }

    fn of_file(file: &str, message: String, help: String) -> Self {
        let (line, column, source) = (None, None, None);
        Self { file: file.to_owned(), line, column, message, help, warning: false, source }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is missing stands in no file.
        if !self.file.is_empty() {
            f.write_str(&self.file)?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(if self.warning { Severity::Warning } else { Severity::Error })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        (!self.help.is_empty()).then(|| Box::new(&self.help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|(source, _)| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.source.as_ref()?;
        let label = LabeledSpan::new(Some("here".to_owned()), span.start, span.len().max(1));
        Some(Box::new(std::iter::once(label)))
    }
}

/// Every mistake of a folder of mappings. None of it is used until all are mended.
#[derive(Debug)]
pub struct LoadErrors {
    /// The folder, as it was named.
    pub folder: PathBuf,
    /// The mistakes, by file and line.
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match self.problems.as_slice() {
            [one] => write!(f, "load the mappings of {folder}: {one}"),
            many => write!(f, "load the mappings of {folder}: {} mistakes", many.len()),
        }
    }
}

impl std::error::Error for LoadErrors {}

impl Diagnostic for LoadErrors {
    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// Collects problems while a folder is loaded, so that all are told at once.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

impl Problems {
    pub(super) fn error(
        &mut self,
        file: &File,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors.push(Problem::at(file, span, message.into(), help.into()));
    }

    pub(super) fn warning(
        &mut self,
        file: &File,
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let mut problem = Problem::at(file, span, message.into(), help.into());
        problem.warning = true;
        self.warnings.push(problem);
    }

    /// A mistake that has no place in a text, such as a file that is not there.
    pub(super) fn file_error(
        &mut self,
        file: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors.push(Problem::of_file(file, message.into(), help.into()));
    }

    pub(super) fn sort(&mut self) {
        let key = |problem: &Problem| (problem.file.clone(), problem.line, problem.column);
        self.errors.sort_by_key(key);
        self.warnings.sort_by_key(key);
    }
}
