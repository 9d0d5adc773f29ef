//! Fixtures from files: a directory whose file names are variants, and a manifest for what names can't say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::collection::{Collection, Filters};
use crate::error::FixtureError;
use crate::manifest::{All, AnswerFile, CollectionFile, Envelope, FiltersFile, Manifest, OneOrMany};
use crate::stubs::Stubs;
use crate::variant::{Answer, Variant};

/// The name of the manifest within a directory.
const MANIFEST: &str = "stubs.manifest.json";

/// The member that makes a fixture more than a body.
const ENVELOPE: &str = "$stub";

impl Stubs {
    /// Declares everything in a directory: each `.json` file below it is a variant that is called like the file, and
    /// the manifest `stubs.manifest.json` declares what names can't say. See the [crate's page](crate).
    ///
    /// # Errors
    /// With file and line, if a file can't be read, is no JSON, has an unknown member in a declaration, or if two
    /// declare the same variant.
    pub fn dir(path: impl AsRef<Path>) -> Result<Self, FixtureError> {
        let root = path.as_ref();
        let mut loader = Loader { root: root.to_owned(), taken: Vec::new(), named: BTreeMap::new() };
        let mut stubs = Self::new();
        let manifest = root.join(MANIFEST);
        if manifest.exists() {
            stubs = loader.manifest(stubs, &manifest)?;
        }
        let mut files = Vec::new();
        list(root, &mut files)?;
        files.retain(|file| *file != manifest && !loader.taken.contains(file));
        files.into_iter().try_fold(stubs, |stubs, file| loader.fixture(stubs, &file))
    }

    /// Declares what a manifest says and nothing else; its files are looked for beside it.
    ///
    /// # Errors
    /// As [`dir`](Self::dir).
    pub fn manifest(path: impl AsRef<Path>) -> Result<Self, FixtureError> {
        let path = path.as_ref();
        let root = path.parent().unwrap_or(Path::new("")).to_owned();
        Loader { root, taken: Vec::new(), named: BTreeMap::new() }.manifest(Self::new(), path)
    }
}

/// Reads fixtures below one directory.
struct Loader {
    root: PathBuf,
    /// Files that the manifest has used.
    taken: Vec<PathBuf>,
    /// Who declared which variant.
    named: BTreeMap<String, PathBuf>,
}

impl Loader {
    fn manifest(&mut self, mut stubs: Stubs, path: &Path) -> Result<Stubs, FixtureError> {
        let text = read(path)?;
        let manifest: Manifest = parse(path, &text)?;
        if let Some(base) = &manifest.base {
            stubs = stubs.base(base);
        }
        for declared in manifest.variants {
            let mut answers = Vec::new();
            for answer in std::iter::once(declared.answer).chain(declared.then) {
                answers.push(self.answer(path, &text, answer)?);
            }
            for name in many(declared.on) {
                let mut variant = Variant::new(&name).answers(answers.clone());
                if let Some(like) = &declared.body_like {
                    variant = variant.body_like(like.clone());
                }
                self.claim(&variant.name, path, &text, &name)?;
                stubs = stubs.variant(variant);
            }
        }
        for collection in manifest.collections {
            self.claim(&format!("collection {}", collection.at), path, &text, &collection.at)?;
            stubs = stubs.collection(self.collection(path, &text, collection)?);
        }
        Ok(stubs)
    }

    /// Two declarations of one variant are a mistake: one of them would never answer.
    fn claim(&mut self, name: &str, file: &Path, text: &str, word: &str) -> Result<(), FixtureError> {
        match self.named.insert(name.to_owned(), file.to_owned()) {
            Some(other) => Err(FixtureError {
                file: file.to_owned(),
                line: last_line_of(text, word),
                message: format!("`{name}` is declared already, in {}", other.display()),
            }),
            None => Ok(()),
        }
    }

    fn answer(&mut self, path: &Path, text: &str, declared: AnswerFile) -> Result<Answer, FixtureError> {
        let mut answer = Answer::new().delay(Duration::from_millis(declared.delay_ms));
        if let Some(status) = declared.status {
            answer = answer.status(status.0);
        }
        answer =
            declared.headers.iter().fold(answer, |answer, (name, value)| answer.header(&name.0, &value.0));
        match (declared.body, declared.template, declared.file) {
            (None, None, None) => Ok(answer),
            (Some(body), None, None) => Ok(answer.json(body)),
            (None, Some(template), None) => Ok(answer.template(template)),
            (None, None, Some(file)) => {
                let found = self.beside(path, text, &file)?;
                if found.extension().is_some_and(|extension| extension == "json") {
                    return Ok(answer.json(parse(&found, &read(&found)?)?));
                }
                Ok(answer.raw(fs::read(&found).map_err(|error| unreadable(&found, &error))?))
            }
            _ => Err(FixtureError {
                file: path.to_owned(),
                line: 1,
                message: "an answer has one of `body`, `template` and `file`".to_owned(),
            }),
        }
    }

    /// A file that the manifest names.
    fn beside(&mut self, path: &Path, text: &str, file: &str) -> Result<PathBuf, FixtureError> {
        let found = self.root.join(file);
        if !found.is_file() {
            let line = last_line_of(text, file);
            return Err(FixtureError {
                file: path.to_owned(),
                line,
                message: format!("there is no file `{file}`"),
            });
        }
        self.taken.push(found.clone());
        Ok(found)
    }

    fn collection(
        &mut self,
        path: &Path,
        text: &str,
        declared: CollectionFile,
    ) -> Result<Collection, FixtureError> {
        let mut collection = Collection::at(&declared.at).rows(declared.rows);
        if let Some(file) = &declared.file {
            let found = self.beside(path, text, file)?;
            collection = collection.rows(parse::<Vec<Value>>(&found, &read(&found)?)?);
        }
        if let Some(key) = declared.key {
            collection = collection.keys(many(key).iter().map(String::as_str));
        }
        if let Some(size) = declared.page_size {
            collection = collection.paged(size);
        }
        collection.filters = match declared.filters {
            None => Filters::None,
            Some(FiltersFile::All(All::All)) => Filters::All,
            Some(FiltersFile::Some(names)) => Filters::Some(names),
        };
        collection.etags = declared.etags;
        collection.idempotency = declared.idempotency_key;
        collection.sort = declared.sort;
        collection.window = declared.window;
        collection.wrap = declared.wrap;
        collection.put_creates = declared.put_creates;
        Ok(collection)
    }

    /// A file whose name is a variant.
    fn fixture(&mut self, stubs: Stubs, path: &Path) -> Result<Stubs, FixtureError> {
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        let name = parts.join("/").replace("%3F", "?").replace("%3f", "?");
        let name = name.strip_suffix(".json").unwrap_or(&name);
        let text = read(path)?;
        let body: Value = parse(path, &text)?;
        let answers = if body.get(ENVELOPE).is_some() {
            let envelope: Envelope = parse(path, &text)?;
            let first = AnswerFile { body: envelope.body.or(envelope.stub.body), ..envelope.stub };
            let all = std::iter::once(first).chain(envelope.then);
            all.map(|answer| self.answer(path, &text, answer)).collect::<Result<_, _>>()?
        } else {
            vec![Answer::new().json(body)]
        };
        let variant = Variant::new(name).answers(answers);
        self.claim(&variant.name, path, &text, name)?;
        Ok(stubs.variant(variant))
    }
}

fn many(names: OneOrMany) -> Vec<String> {
    match names {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    }
}

/// The JSON files below a directory, in order; hidden ones and others are no fixtures.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), FixtureError> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| unreadable(directory, &error))?.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, FixtureError> {
    fs::read_to_string(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> FixtureError {
    FixtureError { file: path.to_owned(), line: 1, message: format!("can't be read: {error}") }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FixtureError> {
    serde_json::from_str(text).map_err(|error| FixtureError {
        file: path.to_owned(),
        line: error.line().max(1),
        message: error.to_string(),
    })
}

/// The last line that holds a word; 1 if none does.
fn last_line_of(text: &str, word: &str) -> usize {
    text.lines().enumerate().filter(|(_, line)| line.contains(word)).last().map_or(1, |(at, _)| at + 1)
}
