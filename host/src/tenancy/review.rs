//! Review: one resource, judged.

use std::sync::Arc;

use super::Resource;
use super::policy::Effective;
use super::resource::{MetricAccess, SecretKey};
use super::surroundings::Surroundings;
use super::validate::{self, Findings};
use crate::document::{Document, Problem, Reading};
use crate::model::{Tenant, TenantId, Timestamp};

/// What becomes of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It runs. Single patterns may still be refused; the problems say so.
    Run(Box<Tenant>),
    /// It is valid and does not want to run: `remoteWrite` is absent or not enabled.
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
            Resource::Foreign(problem) => Review::refused(None, vec![problem.clone()], policy, None),
            Resource::MetricAccess(document) => judge(document, policy, around),
        }
    }

    fn refused(
        id: Option<TenantId>,
        problems: Vec<Problem>,
        policy: &Effective,
        document: Option<Arc<Document>>,
    ) -> Review {
        let (outcome, endpoints_max) = (Outcome::Refused, policy.endpoints_max);
        let (secrets, services) = (Vec::new(), Vec::new());
        Review { id, created: None, outcome, problems, secrets, services, endpoints_max, document }
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

fn judge(document: &Arc<Document>, policy: &Effective, around: &dyn Surroundings) -> Review {
    let mut reading = document.read::<MetricAccess>();
    let broken = !reading.problems.is_empty();
    let document_kept = Some(Arc::clone(document));
    let Some(resource) = reading.value.take() else {
        let Reading { problems, .. } = reading;
        return Review::refused(name_of(document), problems, policy, document_kept);
    };
    let MetricAccess { metadata, spec, .. } = &resource;
    let mut findings = Findings::default();
    let (id, created) = validate::metadata(metadata, &mut findings);
    let outcome = validate::spec(&id, spec, policy, around, &mut findings);
    let outcome = if broken || findings.is_fatal() { Outcome::Refused } else { outcome };
    reading.report(findings.into_problems());
    let secrets = spec.secrets().into_iter().cloned().collect();
    let services = spec.services(&id.namespace);
    let (id, problems, endpoints_max) = (Some(id), reading.problems, policy.endpoints_max);
    Review { id, created, outcome, problems, secrets, services, endpoints_max, document: document_kept }
}

/// The name of a resource that could not be read, so that its problems can be shown under it.
fn name_of(document: &Document) -> Option<TenantId> {
    let metadata = document.root.get("metadata")?;
    let text = |key| metadata.text(key).map(str::to_owned);
    Some(TenantId { namespace: text("namespace")?, name: text("name")? })
}
