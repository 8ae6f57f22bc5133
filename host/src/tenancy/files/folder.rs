//! Folder: the files, what each of them said last, and which of them to read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::listing::{self, FILES_MAX, Mark};
use super::{Config, Error};
use crate::document::{self, Problem};
use crate::model::{TenantId, Timestamp};
use crate::tenancy::assemble::{Candidate, assemble};
use crate::tenancy::policy::NamespaceLabels;
use crate::tenancy::secrets::Folder as SecretsFolder;
use crate::tenancy::{Policy, Resource, Review, Tenants, read};

/// The folder's state between two looks.
#[derive(Debug)]
pub(super) struct Folder {
    folder: PathBuf,
    secrets: SecretsFolder,
    policy: Policy,
    files: BTreeMap<PathBuf, File>,
    last: Tenants,
}

/// What a file said last.
#[derive(Debug, Default)]
struct File {
    /// The file itself and every file of a Secret it names, as they were when it was read.
    inputs: Vec<(PathBuf, Option<Mark>)>,
    /// Whether a change could have been missed because it came right after the reading.
    racy: bool,
    /// Its resources, from the last time it could be read.
    reviews: Vec<Review>,
    /// Why it cannot be read now, if so.
    unreadable: Option<Problem>,
    /// When each resource was first seen here.
    first_seen: BTreeMap<TenantId, Timestamp>,
}

impl Folder {
    pub(super) fn new(config: Config) -> Folder {
        let Config { folder, secrets, policy } = config;
        let secrets = SecretsFolder(secrets);
        Folder { folder, secrets, policy, files: BTreeMap::new(), last: Tenants::default() }
    }

    /// Reads what changed. The error is about the folder as a whole; nothing is forgotten then.
    pub(super) fn scan(&mut self, now: SystemTime) -> Result<Tenants, Error> {
        let (paths, too_many) = listing::list(&self.folder)
            .map_err(|source| Error::Folder { folder: self.folder.clone(), source })?;
        let mut before = std::mem::take(&mut self.files);
        for path in paths {
            let file = before.remove(&path).unwrap_or_default();
            let file = if file.is_current() { file } else { self.load(&path, file, now) };
            self.files.insert(path, file);
        }
        let mut next = assemble(self.candidates(), &self.last);
        next.strays.extend(self.files.values().filter_map(|file| file.unreadable.clone()));
        if too_many {
            let message = format!("{} holds more than {FILES_MAX} files", self.folder.display());
            next.strays.push(Problem::error(
                document::Path::root(),
                message,
                "put several resources into one file",
            ));
        }
        self.last = next.clone();
        Ok(next)
    }

    /// The last state, with the reason why there is no newer one.
    pub(super) fn unreadable(&self, error: &Error) -> Tenants {
        let Error::Folder { folder, source } = error;
        let message =
            format!("{} cannot be read, so what it last said stays in force: {source}", folder.display());
        let mut tenants = self.last.clone();
        tenants.strays.push(Problem::error(document::Path::root(), message, "restore the folder"));
        tenants
    }

    fn load(&self, path: &Path, before: File, now: SystemTime) -> File {
        // The mark is taken first: a change during the reading then shows as another mark later.
        let mark = Mark::of(path);
        let name: Arc<Path> = Arc::from(path);
        let read = listing::text(path)
            .map_err(|e| {
                file_problem(&name, format!("the file cannot be read: {e}"), "make it readable, as UTF-8")
            })
            .and_then(|text| read(&name, &text))
            .and_then(|resources| match resources.is_empty() && !before.reviews.is_empty() {
                true => Err(file_problem(&name, "the file is empty", "delete it to remove its resources")),
                false => Ok(resources),
            });
        let mut file = match read {
            Ok(resources) => {
                let review = |resource: &Resource| {
                    let policy = self.policy.for_namespace(resource.namespace(), &NamespaceLabels::new());
                    Review::of(resource, &policy, &self.secrets)
                };
                File { reviews: resources.iter().map(review).collect(), ..File::default() }
            }
            Err(problem) => {
                let message = match before.reviews.is_empty() {
                    true => problem.message,
                    false => format!("{}; what it last said stays in force", problem.message),
                };
                File {
                    reviews: before.reviews,
                    unreadable: Some(Problem { message, ..problem }),
                    ..File::default()
                }
            }
        };
        file.inputs = vec![(path.to_owned(), mark)];
        file.inputs.extend(self.secret_files(&file.reviews).map(|path| (path.clone(), Mark::of(&path))));
        file.racy = file.inputs.iter().any(|(_, mark)| mark.is_some_and(|mark| mark.is_racy(now)));
        for id in file.reviews.iter().filter_map(|review| review.id.clone()) {
            let seen = before.first_seen.get(&id).copied().unwrap_or_else(|| now.into());
            file.first_seen.insert(id, seen);
        }
        file
    }

    fn secret_files<'a>(&'a self, reviews: &'a [Review]) -> impl Iterator<Item = PathBuf> + 'a {
        reviews.iter().flat_map(move |review| {
            let namespace = review.id.as_ref().map_or("", |id| &id.namespace);
            review.secrets.iter().filter_map(move |key| self.secrets.file(namespace, key))
        })
    }

    fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.files.values().flat_map(|file| {
            file.reviews.iter().map(|review| {
                let first_seen = review.id.as_ref().and_then(|id| file.first_seen.get(id)).copied();
                Candidate { review, since: review.created.or(first_seen).unwrap_or_default() }
            })
        })
    }
}

impl File {
    fn is_current(&self) -> bool {
        !self.inputs.is_empty()
            && !self.racy
            && self.inputs.iter().all(|(path, mark)| Mark::of(path) == *mark)
    }
}

fn file_problem(file: &Arc<Path>, message: impl Into<String>, cure: &str) -> Problem {
    Problem::error(document::Path::root(), message, cure).in_file(file)
}
