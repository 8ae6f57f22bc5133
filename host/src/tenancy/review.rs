//! Review: one resource, judged.
//!
//! In two steps. A [`Draft`] is all that a resource says by itself; its regular expressions are compiled for that, which is
//! what a review costs. What it names beside itself is looked up afterwards, as often as that changes.

use std::sync::Arc;

use super::Resource;
use super::policy::Effective;
use super::resource::{MetricAccess, MetricAccessSpec, SecretKey};
use super::surroundings::Surroundings;
use super::validate::{self, Expressions, Findings};
use crate::document::{Document, Problem, Reading};
use crate::model::{Endpoint, PushgatewayEndpoint, PushgatewayGroup, Tenant, TenantId, Timestamp};

/// What becomes of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It runs. Single patterns may still be refused; the problems say so.
    Run(Box<Tenant>),
    /// It is valid and does not want to run: `remoteWrite` is absent or not enabled, or it is of a kind that is passed over.
    Disabled,
    /// It has errors; the problems say which.
    Refused,
}

/// One resource, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// Whose it is; `None` if the document does not even say that.
    pub id: Option<TenantId>,
    /// When it was created, if it says so.
    pub created: Option<Timestamp>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Errors and warnings, in the order they were found.
    pub problems: Vec<Problem>,
    /// The values of Secrets it names.
    pub secrets: Vec<SecretKey>,
    /// The Services it names, each with its namespace.
    pub services: Vec<(String, String)>,
    /// The most endpoints of its namespace.
    pub endpoints_max: usize,
    /// The document it is, for whoever finds another problem with it; `None` for documents of another kind.
    document: Option<Arc<Document>>,
}

impl Review {
    /// Judges one document by what holds in its namespace.
    pub fn of(resource: &Resource, policy: &Effective, around: &dyn Surroundings) -> Review {
        match resource {
            Resource::Foreign(problem) => Review {
                id: None,
                created: None,
                outcome: if problem.is_error() { Outcome::Refused } else { Outcome::Disabled },
                problems: vec![problem.clone()],
                secrets: Vec::new(),
                services: Vec::new(),
                endpoints_max: policy.endpoints_max,
                document: None,
            },
            Resource::MetricAccess(document) => Draft::of(document, policy).review(policy, around),
        }
    }

    /// Fills in where a problem of this resource stands.
    pub fn problem(&self, problem: Problem) -> Problem {
        match &self.document {
            Some(document) => document.problem(problem),
            None => problem,
        }
    }

    /// The file it is in.
    pub fn origin(&self) -> String {
        let file = self.document.as_ref().and_then(|document| document.file.as_ref());
        file.map_or_else(|| "the cluster".to_owned(), |file| file.display().to_string())
    }
}

/// What a resource says by itself.
#[derive(Debug)]
pub struct Draft {
    document: Arc<Document>,
    content: Content,
}

/// How far it could be read.
#[derive(Debug)]
enum Content {
    /// Not far enough to be judged.
    Unread(Option<TenantId>, Vec<Problem>),
    Read(Box<Read>),
}

#[derive(Debug)]
struct Read {
    id: TenantId,
    created: Option<Timestamp>,
    spec: MetricAccessSpec,
    /// The document's problems, and where those of its values belong.
    reading: Reading<()>,
    expressions: Expressions,
    findings: Findings,
}

impl Draft {
    /// Reads a document and compiles its expressions, by what holds in its namespace.
    pub fn of(document: &Arc<Document>, policy: &Effective) -> Draft {
        let document = Arc::clone(document);
        let (resource, reading) = document.read::<MetricAccess>().take();
        let Some(MetricAccess { metadata, spec, .. }) = resource else {
            let content = Content::Unread(name_of(&document), reading.problems);
            return Draft { document, content };
        };
        let mut findings = Findings::default();
        let (id, created) = validate::metadata(&metadata, &mut findings);
        let expressions = validate::expressions(&id, &spec, policy, &mut findings);
        let read = Read { id, created, spec, reading, expressions, findings };
        Draft { document, content: Content::Read(Box::new(read)) }
    }

    /// The draft of a resource that is no tenant's: `problem` is about all of it.
    pub fn unread(document: &Arc<Document>, problem: Problem) -> Draft {
        let problems = vec![document.problem(problem)];
        Draft { document: Arc::clone(document), content: Content::Unread(name_of(document), problems) }
    }

    /// What it was made of.
    pub fn document(&self) -> &Arc<Document> {
        &self.document
    }

    /// The values of Secrets that the resource names.
    pub fn secrets(&self) -> Vec<SecretKey> {
        match &self.content {
            Content::Unread(..) => Vec::new(),
            Content::Read(read) => read.spec.secrets(),
        }
    }

    /// The ConfigMaps that the resource names.
    pub fn config_maps(&self) -> Vec<String> {
        match &self.content {
            Content::Unread(..) => Vec::new(),
            Content::Read(read) => read.spec.config_maps().into_iter().map(str::to_owned).collect(),
        }
    }

    /// The Services that the resource names, each with its namespace.
    pub fn services(&self) -> Vec<(String, String)> {
        match &self.content {
            Content::Unread(..) => Vec::new(),
            Content::Read(read) => read.spec.services(&read.id.namespace),
        }
    }

    /// Judges it among what it names. `policy` is the one that it was made by.
    pub fn review(&self, policy: &Effective, around: &dyn Surroundings) -> Review {
        let (id, created, outcome, problems) = match &self.content {
            Content::Unread(id, problems) => (id.clone(), None, Outcome::Refused, problems.clone()),
            Content::Read(read) => {
                let Read { id, created, spec, reading, expressions, findings } = &**read;
                let mut findings = findings.clone();
                let outcome = validate::spec(id, spec, policy, around, expressions, &mut findings);
                let refused = !reading.problems.is_empty() || findings.is_fatal();
                let mut reading = reading.clone();
                reading.report(findings.into_problems());
                let outcome = if refused { Outcome::Refused } else { outcome };
                (Some(id.clone()), *created, outcome, reading.problems)
            }
        };
        Review {
            id,
            created,
            outcome,
            problems,
            secrets: self.secrets(),
            services: self.services(),
            endpoints_max: policy.endpoints_max,
            document: Some(Arc::clone(&self.document)),
        }
    }
}

/// Where a resource sends to, if that much of it is right. Nothing of it is compiled, so whoever only has to know what it
/// leaves behind is not kept waiting, and no other mistake in it matters.
pub(super) fn endpoints(document: &Document, policy: &Effective, around: &dyn Surroundings) -> Vec<Endpoint> {
    let (resource, _) = document.read::<MetricAccess>().take();
    let Some(MetricAccess { metadata, spec, .. }) = resource else { return Vec::new() };
    let (id, _) = validate::metadata(&metadata, &mut Findings::default());
    validate::endpoints(&id, &spec, policy, around)
}

/// Where a group is that a resource once pushed to, if it may push there now.
pub(super) fn group(
    id: &TenantId,
    group: &PushgatewayGroup,
    policy: &Effective,
    around: &dyn Surroundings,
) -> Option<PushgatewayEndpoint> {
    validate::group(id, group, policy, around)
}

/// The name of a resource that could not be read, so that its problems can be shown under it.
fn name_of(document: &Document) -> Option<TenantId> {
    let metadata = document.root.get("metadata")?;
    let text = |key| metadata.text(key).map(str::to_owned);
    Some(TenantId { namespace: text("namespace")?, name: text("name")? })
}
