//! From a folder of files to a catalog. The only place of this module that reads the disk.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::answer::{self, AnswerShape};
use super::catalog::{Catalog, Shape};
use super::check;
use super::diagnostic::{File, LoadErrors, Problems};
use super::mapping::{Mapping, Parser, Root, root};
use super::reply::{self, ReplyMapping};
use super::samples;
use super::source::Tree;
use super::toml_tree::{self, Fields};
use super::value_map::Shelf;
use super::xml::Limits;
use crate::domain::{Digest, SubjectKind};

/// How many characters a digest has when it is shown.
const DIGEST_LENGTH: usize = 12;

/// The files of a folder of mappings.
#[derive(Default, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    mappings: Vec<(String, File)>,
    maps: Vec<File>,
    /// What was wrong before a line of it was read.
    problems: Problems,
}

macro_rules! built_in {
    ($($name:literal)*) => {
        /// The files that are part of the program, by their path in `transforms/`.
        pub(super) const BUILT_IN: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../transforms/", $name)))),*];
    };
}

built_in! {
    "answer/mapping.toml"
    "item/mapping.toml"
    "maps/asset-type.toml"
    "maps/country.toml"
    "maps/error-code.toml"
    "maps/mo.toml"
    "maps/source-status.toml"
    "maps/sp-type.toml"
    "maps/time-zone.toml"
    "reply/mapping.toml"
    "service-point/mapping.toml"
}

impl Folder {
    /// The mappings that are part of the program.
    pub(super) fn built_in() -> Self {
        let mut folder = Self { path: "transforms".into(), ..Self::default() };
        for (name, text) in BUILT_IN {
            let file = File { name: (*name).into(), text: (*text).into() };
            match name.strip_suffix("/mapping.toml") {
                Some(of) => folder.mappings.push((of.to_owned(), file)),
                None => folder.maps.push(file),
            }
        }
        folder
    }

    /// Reads a folder from the disk.
    pub(super) fn read(path: &Path) -> Result<Self, LoadErrors> {
        let mut folder = Self { path: path.to_owned(), ..Self::default() };
        let names = match names_in(path) {
            Ok(names) => names,
            Err(error) => {
                let help = "name a folder such as the transforms/ that comes with tieline";
                folder.problems.file_error("", format!("cannot be read: {error}"), help);
                return Err(LoadErrors { folder: folder.path, problems: folder.problems.errors });
            }
        };
        for name in names.iter().filter(|name| path.join(name).is_dir() && !name.starts_with('.')) {
            if name == "maps" {
                folder.read_maps("maps");
            } else {
                folder.read_mapping(name);
            }
        }
        Ok(folder)
    }

    fn read_mapping(&mut self, name: &str) {
        let inside = self.path.join(name);
        self.read_maps(&format!("{name}/maps"));
        if !inside.join("mapping.toml").is_file() {
            let help =
                "every folder but maps/ holds one mapping; add the file or move the folder away";
            self.problems.file_error(name, "the folder has no mapping.toml", help);
            return;
        }
        if let Some(file) = self.read_file(&format!("{name}/mapping.toml")) {
            self.mappings.push((name.to_owned(), file));
        }
        samples::check_names(&inside.join("samples"), name, &mut self.problems);
    }

    fn read_maps(&mut self, inside: &str) {
        // A mapping without maps of its own has no such folder.
        for name in names_in(&self.path.join(inside)).unwrap_or_default() {
            if Path::new(&name).extension() == Some("toml".as_ref()) {
                let file = self.read_file(&format!("{inside}/{name}"));
                self.maps.extend(file);
            }
        }
    }

    fn read_file(&mut self, name: &str) -> Option<File> {
        match fs::read_to_string(self.path.join(name)) {
            Ok(text) => Some(File { name: name.into(), text: text.into() }),
            Err(error) => {
                let help = "the file must be readable, and UTF-8";
                self.problems.file_error(name, format!("cannot be read: {error}"), help);
                None
            }
        }
    }
}

/// The names in a folder, sorted, so that the order does not depend on the disk.
pub(super) fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Makes a catalog of the files, or tells every mistake in them.
pub(super) fn compile(folder: Folder) -> Result<Catalog, LoadErrors> {
    let Folder { path, mappings, maps, problems } = folder;
    let mut compiler = Compiler { problems, ..Compiler::default() };
    for file in &maps {
        compiler.maps.add(file, &mut compiler.problems);
    }
    for (name, file) in &mappings {
        compiler.mapping(name, file);
    }
    compiler.maps.check_uses(&mut compiler.problems);
    compiler.check_complete();
    compiler.check_selects();
    let files: Vec<_> = mappings.iter().map(|(_, file)| file).chain(&maps).collect();
    compiler.sign(&mappings);
    let Compiler { shapes, answers, reply, mut problems, .. } = compiler;
    problems.sort();
    match reply {
        Some(reply) if problems.errors.is_empty() => Ok(Catalog {
            shapes,
            answers,
            reply,
            digest: digest(files.into_iter()),
            warnings: problems.warnings,
            limits: Limits::default(),
        }),
        Some(_) | None => Err(LoadErrors { folder: path, problems: problems.errors }),
    }
}

#[derive(Default)]
struct Compiler {
    shapes: Vec<Shape>,
    answers: Vec<AnswerShape>,
    reply: Option<ReplyMapping>,
    maps: Shelf,
    problems: Problems,
    /// Which kinds were begun, so that a mistake in one does not also count as its absence.
    kinds: Vec<&'static str>,
}

impl Compiler {
    fn mapping(&mut self, folder: &str, file: &File) {
        let table = toml_tree::parse(file, &mut self.problems);
        let fields = Fields::new(file, &table);
        if !fields.has("kind") {
            let help = "add kind = \"metered\", \"item\", \"answer\" or \"reply\"";
            self.problems.error(file, 0..0, "'kind' is missing", help);
        }
        let kinds = ["metered", "item", "answer", "reply"];
        let Some(kind) = check::word(&fields, "kind", &kinds, &mut self.problems) else {
            // What it was meant to be is not known; its absence is no second mistake.
            self.kinds.extend(kinds);
            return;
        };
        self.kinds.push(kind);
        match kind {
            "metered" => self.request(folder, &fields, SubjectKind::Metered),
            "item" => self.request(folder, &fields, SubjectKind::Item),
            "answer" => self.answer(folder, &fields),
            _ => self.reply(folder, &fields),
        }
    }

    fn request(&mut self, folder: &str, fields: &Fields<'_>, kind: SubjectKind) {
        let keys = ["root", "namespace", "unknown", "ignore"];
        let root = root(fields, "source", &keys, &mut self.problems);
        // A mapping without its root is read on, for the other mistakes in it.
        let mut shape = match root.as_ref().and_then(|root| self.take_shape(root)) {
            Some(shape) => shape,
            None => Shape::of(root.clone().unwrap_or_else(Root::none)),
        };
        let mut parser = Parser {
            file: fields.file,
            folder,
            tree: &mut shape.tree,
            maps: &mut self.maps,
            problems: &mut self.problems,
            known_paths: None,
            order: 0,
        };
        shape.mappings.extend(parser.mapping(fields, kind));
        if root.is_some() {
            self.shapes.push(shape);
        }
    }

    fn take_shape(&mut self, root: &Root) -> Option<Shape> {
        let at = self.shapes.iter().position(|shape| shape.root == *root)?;
        Some(self.shapes.remove(at))
    }

    fn answer(&mut self, folder: &str, fields: &Fields<'_>) {
        let root = root(fields, "source", &["root", "namespace"], &mut self.problems);
        let root = root.unwrap_or_else(Root::none);
        let mut tree = Tree::new(&root.name);
        let mut parser = Parser {
            file: fields.file,
            folder,
            tree: &mut tree,
            maps: &mut self.maps,
            problems: &mut self.problems,
            known_paths: None,
            order: 0,
        };
        let parts = answer::parse(&mut parser, fields);
        if self.answers.iter().any(|answer| answer.root == root) {
            let message =
                format!("another mapping reads answers of the root '{}' already", root.name);
            let span = fields.key_span("source");
            self.problems.error(fields.file, span, message, "each root of answers has one mapping");
        }
        if let Some(parts) = parts {
            self.answers.push(AnswerShape { folder: folder.into(), root, tree, parts });
        }
    }

    fn reply(&mut self, folder: &str, fields: &Fields<'_>) {
        let mut tree = Tree::new("reply");
        let parser = Parser {
            file: fields.file,
            folder,
            tree: &mut tree,
            maps: &mut self.maps,
            problems: &mut self.problems,
            known_paths: None,
            order: 0,
        };
        let reply = reply::parse(parser, fields);
        if let Some(other) = &self.reply {
            let message = format!("the folder {} has the mapping of replies already", other.folder);
            let span = fields.key_span("kind");
            self.problems.error(fields.file, span, message, "there is one mapping of replies");
        }
        self.reply = reply;
    }

    fn check_complete(&mut self) {
        let has = |kind| self.kinds.contains(&kind);
        let mut missing = Vec::new();
        if !has("metered") && !has("item") {
            missing.push(("metered", "requests"));
        }
        if !has("answer") {
            missing.push(("answer", "answers"));
        }
        if !has("reply") {
            missing.push(("reply", "replies"));
        }
        for (kind, what) in missing {
            let help = format!("add a folder with a mapping.toml of kind = \"{kind}\"");
            self.problems.file_error("", format!("there is no mapping for {what}"), help);
        }
    }

    /// Two mappings of one root must say which messages they take.
    fn check_selects(&mut self) {
        for shape in &self.shapes {
            let greedy: Vec<_> =
                shape.mappings.iter().filter(|mapping| mapping.select.is_empty()).collect();
            if shape.mappings.len() > 1 {
                for mapping in greedy {
                    let file = format!("{}/mapping.toml", mapping.folder);
                    let message = format!(
                        "the mapping takes every message of the root '{}', and so do others",
                        shape.root.name
                    );
                    let help = "add select = { path = \"…\", is = \"…\" }";
                    self.problems.file_error(&file, message, help);
                }
            }
        }
    }

    /// Gives each mapping the digest of its own file and of the maps it uses.
    fn sign(&mut self, files: &[(String, File)]) {
        for mapping in self.shapes.iter_mut().flat_map(|shape| &mut shape.mappings) {
            let own =
                files.iter().filter(|(name, _)| **name == *mapping.folder).map(|(_, file)| file);
            mapping.digest = digest(own.chain(self.maps.files_of(&mapping.folder)));
        }
    }
}

impl Root {
    fn none() -> Self {
        Self { name: Box::default(), namespace: Box::default() }
    }
}

impl Shape {
    fn of(root: Root) -> Self {
        Self { tree: Tree::new(&root.name), root, mappings: Vec::<Mapping>::new() }
    }
}

fn digest<'f>(files: impl Iterator<Item = &'f File>) -> String {
    let mut all = Vec::new();
    for file in files {
        for part in [&file.name, &file.text] {
            all.extend_from_slice(part.as_bytes());
            all.push(0);
        }
    }
    let mut digest = Digest::of(&all).to_string();
    digest.truncate(DIGEST_LENGTH);
    digest
}
