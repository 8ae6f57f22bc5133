//! Routes: what a path and a method ask for.
//!
//! In: the head of a request. Out: the kind, namespace, name and subresource it is about; who may; the answer.
//! Never: how an object is read or written (see `read`, `write`, `watch`).

use std::sync::Arc;

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use serde_json::{Value, json};

use super::decode;
use super::errors::{About, Refusal};
use super::kinds::Kind;
use super::options::Options;
use super::pages::Page;
use super::rbac::Wish;
use super::read::Read;
use super::selectors::Selector;
use super::server::{Reply, Server};
use super::state::{Anonymous, State};
use super::view;
use super::watch::Watch;
use super::write::PatchFormat;
use super::writing::Write;

/// What a path is about.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// A resource.
    Resource(Target),
    /// A page: the version, discovery, health.
    Page(Page),
    /// Nothing.
    Missing(Refusal),
}

/// A resource, and where.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The kind.
    pub(super) kind: Arc<Kind>,
    /// The namespace; none is cluster scope.
    pub(super) namespace: Option<String>,
    /// The name; none is the collection.
    pub(super) name: Option<String>,
    /// The part; none is the object.
    pub(super) subresource: Option<String>,
    /// Whether the path says `watch`.
    watch: bool,
}

impl Route {
    /// As errors name what it is about.
    pub(super) fn about(&self) -> About<'_> {
        match self {
            Route::Resource(target) => target.about(),
            _ => About { name: "", group: "", kind: "" },
        }
    }
}

impl Target {
    fn about(&self) -> About<'_> {
        About {
            name: self.name.as_deref().unwrap_or_default(),
            group: &self.kind.group,
            kind: &self.kind.plural,
        }
    }

    fn resource(&self) -> String {
        match &self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.kind.plural),
            None => self.kind.plural.clone(),
        }
    }

    /// The verb of a request, as roles name it.
    fn verb(&self, head: &Parts) -> &'static str {
        let options = Options::read(head.uri.query().unwrap_or_default(), &head.method);
        let watch = self.watch || options.is_ok_and(|options| options.watch);
        match (head.method.as_str(), &self.name) {
            ("GET" | "HEAD", _) if watch => "watch",
            ("GET" | "HEAD", Some(_)) => "get",
            ("GET" | "HEAD", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            _ => "",
        }
    }
}

/// What a request is about.
pub(super) fn route(state: &State, head: &Parts) -> Route {
    let path = head.uri.path();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if let Some(page) = Page::at(&segments) {
        return Route::Page(page);
    }
    let (group, version, rest) = match segments.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Route::Missing(Refusal::no_such_page()),
    };
    let built_in =
        group.is_empty() || state.kinds.iter().any(|kind| kind.group == group && !kind.is_custom());
    let missing =
        || Route::Missing(if built_in { Refusal::no_such_resource() } else { Refusal::no_such_page() });
    let (watch, rest) = match rest {
        ["watch", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest != ["status"] => {
            (Some((*namespace).to_owned()), rest)
        }
        rest => (None, rest),
    };
    let [plural, rest @ ..] = rest else { return missing() };
    let Some(kind) = state.kind_at(group, version, plural) else { return missing() };
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, subresource] => (Some((*name).to_owned()), Some((*subresource).to_owned())),
        _ => return missing(),
    };
    let known = subresource.as_deref().is_none_or(|part| part == "status" && kind.status);
    let target = Target { kind, namespace, name, subresource, watch };
    match known {
        true => Route::Resource(target),
        false if target.kind.is_custom() => Route::Missing(Refusal::not_found(target.about())),
        false => missing(),
    }
}

/// The verb and the resource under which a request is counted; a page counts under its path.
pub(super) fn names(route: &Route, head: &Parts) -> (String, String) {
    match route {
        Route::Resource(target) => (target.verb(head).to_owned(), target.resource()),
        _ => (head.method.as_str().to_ascii_lowercase(), head.uri.path().to_owned()),
    }
}

/// Whether whoever asks may.
pub(super) fn authorize(state: &State, route: &Route, head: &Parts) -> Result<(), Refusal> {
    let token = header(head, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let user = match (token, state.anonymous) {
        (Some(token), _) => state.tokens.get(token).ok_or_else(Refusal::unauthorized)?.as_str(),
        (None, Anonymous::Administrator) => return Ok(()),
        (None, Anonymous::Nobody) => "system:anonymous",
    };
    match route {
        Route::Resource(target) => {
            let options = Options::read(head.uri.query().unwrap_or_default(), &head.method)?;
            let selected =
                Selector::read(None, options.field_selector.as_deref(), &target.kind.selectable).ok();
            let selected = selected.as_ref().and_then(Selector::name);
            let wish = Wish {
                verb: target.verb(head),
                group: &target.kind.group,
                resource: &target.resource(),
                namespace: target.namespace.as_deref().unwrap_or_default(),
                name: target.name.as_deref().or(selected).unwrap_or_default(),
            };
            if state.allows(user, &wish) { Ok(()) } else { Err(denied(user, target, &wish)) }
        }
        Route::Page(page) if page.is_public() => Ok(()),
        _ => {
            let (verb, path) = (head.method.as_str().to_ascii_lowercase(), head.uri.path());
            // No rule names these, but whoever may do everything may.
            let wish = Wish { verb: &verb, group: "", resource: path, namespace: "", name: "" };
            let detail = format!("User \"{user}\" cannot {verb} path \"{path}\"");
            if state.allows(user, &wish) { Ok(()) } else { Err(Refusal::forbidden_path(&detail)) }
        }
    }
}

fn denied(user: &str, target: &Target, wish: &Wish<'_>) -> Refusal {
    let place = match wish.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let detail = format!(
        "User \"{user}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
        wish.verb, wish.resource, wish.group
    );
    Refusal::forbidden(target.about(), &detail)
}

/// Answers a request that may be made.
pub(super) fn reply(
    server: &Arc<Server>,
    state: &mut State,
    route: &Route,
    head: &Parts,
    body: &[u8],
) -> Result<Reply, Refusal> {
    let Route::Resource(target) = route else { return Err(Refusal::no_such_page()) };
    let options = Options::read(head.uri.query().unwrap_or_default(), &head.method)?;
    let is_collection = target.name.is_none();
    match head.method {
        Method::GET | Method::HEAD => read(server, state, target, head, options),
        Method::POST => post(state, target, head, options, body),
        Method::PUT | Method::PATCH if is_collection && target.kind.is_custom() => {
            Err(Refusal::bad_request("name must be provided"))
        }
        Method::PUT | Method::PATCH if is_collection => Err(Refusal::method_not_allowed()),
        Method::PUT => {
            let write = writing(target, head, options);
            let decoded = decode_body(target, head, body, &write.options)?;
            state.update(&write, decoded).map(Reply::Answer)
        }
        Method::PATCH => patch(state, target, head, options, body),
        Method::DELETE if target.subresource.is_some() => {
            Err(Refusal::verb_not_supported(About { name: "", ..target.about() }, "delete"))
        }
        Method::DELETE => delete(state, target, head, options, body),
        _ if target.kind.is_custom() => Err(Refusal::verb_not_supported(target.about(), "")),
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn read(
    server: &Arc<Server>,
    state: &State,
    target: &Target,
    head: &Parts,
    options: Options,
) -> Result<Reply, Refusal> {
    let view = view::negotiate(&target.kind, header(head, ACCEPT))?;
    let watch = target.watch || options.watch;
    let read = Read { kind: Arc::clone(&target.kind), namespace: target.namespace.clone(), view, options };
    match &target.name {
        Some(name) => state.get(&read, name).map(ok),
        None if watch => Watch::open(server, state, read).map(|watch| Reply::Watch(Box::new(watch))),
        None => state.list(&read).map(ok),
    }
}

fn post(
    state: &mut State,
    target: &Target,
    head: &Parts,
    options: Options,
    body: &[u8],
) -> Result<Reply, Refusal> {
    if target.name.is_some() && !target.kind.is_custom() {
        return Err(Refusal::method_not_allowed());
    }
    if target.kind.namespaced && target.namespace.is_none() {
        let custom = target.kind.is_custom();
        return Err(if custom { Refusal::no_such_page() } else { Refusal::method_not_allowed() });
    }
    let write = writing(target, head, options);
    let mut decoded = decode_body(target, head, body, &write.options)?;
    if target.kind.is_core_event {
        decoded.object = super::rules::from_core_event(&decoded.object);
    }
    state.create(&write, decoded).map(Reply::Answer)
}

fn patch(
    state: &mut State,
    target: &Target,
    head: &Parts,
    options: Options,
    body: &[u8],
) -> Result<Reply, Refusal> {
    let write = writing(target, head, options);
    let format = match header(head, CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default() {
        "application/apply-patch+yaml" => return state.apply(&write, body).map(Reply::Answer),
        "application/merge-patch+json" => PatchFormat::Merge,
        "application/json-patch+json" => PatchFormat::Json,
        "application/strategic-merge-patch+json" if !target.kind.is_custom() => PatchFormat::Strategic,
        _ if target.kind.is_custom() => {
            let accepted =
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Err(Refusal::unsupported_media_type(accepted));
        }
        _ => return Err(Refusal::unsupported_patch_type()),
    };
    state.patch(&write, body, format).map(Reply::Answer)
}

fn delete(
    state: &mut State,
    target: &Target,
    head: &Parts,
    options: Options,
    body: &[u8],
) -> Result<Reply, Refusal> {
    let asked: Value =
        if body.is_empty() { json!({}) } else { serde_json::from_slice(body).unwrap_or(Value::Null) };
    let kind = asked["kind"].as_str().unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        return Err(Refusal::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"meta.k8s.io/v1\" in scheme \
             \"pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    let write = writing(target, head, options.clone());
    if target.name.is_some() {
        return state.delete(&write, &asked).map(Reply::Answer);
    }
    let view = view::negotiate(&target.kind, header(head, ACCEPT))?;
    let read = Read { kind: Arc::clone(&target.kind), namespace: target.namespace.clone(), view, options };
    let list = state.list(&read)?;
    for item in list["items"].as_array().into_iter().flatten() {
        let text = |name: &str| item["metadata"][name].as_str().unwrap_or_default().to_owned();
        let one = Write { name: text("name"), namespace: text("namespace"), ..write.clone() };
        state.delete(&one, &asked)?;
    }
    Ok(ok(list))
}

fn writing(target: &Target, head: &Parts, options: Options) -> Write {
    let agent = header(head, USER_AGENT).and_then(|agent| agent.split('/').next()).unwrap_or("unknown");
    Write {
        kind: Arc::clone(&target.kind),
        namespace: target.namespace.clone().unwrap_or_default(),
        name: target.name.clone().unwrap_or_default(),
        is_status: target.subresource.is_some(),
        manager: options.field_manager.clone().unwrap_or_else(|| agent.to_owned()),
        options,
    }
}

fn decode_body(
    target: &Target,
    head: &Parts,
    body: &[u8],
    options: &Options,
) -> Result<decode::Decoded, Refusal> {
    decode::object(&target.kind, body, header(head, CONTENT_TYPE).unwrap_or_default(), options)
}

fn ok(object: Value) -> Reply {
    Reply::Answer(super::write::Answer { code: 200, object, warnings: Vec::new() })
}

fn header(head: &Parts, name: http::header::HeaderName) -> Option<&str> {
    head.headers.get(name).and_then(|value| value.to_str().ok())
}
