//! Query source: a fake source that answers `/api/v1/query` from a script, for answers no real server gives on demand.
//!
//! In: an answer as a function of the form. Out: that answer, and a record of what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;

use crate::servers::Local;

/// Asked-for parameters, from the URL and the form.
pub type Form = BTreeMap<String, String>;

/// One call as it arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// GET or POST.
    pub method: Method,
    /// The path, such as `/api/v1/query`.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// All parameters; of a repeated one the last.
    pub form: Form,
}

type Script = dyn Fn(&Call) -> (StatusCode, String) + Send + Sync;

/// A running fake source; it ends when dropped.
pub struct QuerySource {
    server: Local,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Arc<Script>>,
    /// How long each answer takes.
    latency: Mutex<Duration>,
    calls: Mutex<Vec<Call>>,
}

impl QuerySource {
    /// Starts a source that answers every call with what `script` says.
    pub async fn start(
        script: impl Fn(&Call) -> (StatusCode, String) + Send + Sync + 'static,
    ) -> QuerySource {
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            latency: Mutex::default(),
            calls: Mutex::default(),
        });
        let app = Router::new().fallback(answer).with_state(shared.clone());
        QuerySource { server: Local::serve(app).await, shared }
    }

    /// The base address, for the configuration.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Changes the script.
    pub fn script(&self, script: impl Fn(&Call) -> (StatusCode, String) + Send + Sync + 'static) {
        *self.shared.script.lock().expect("no holder panics") = Arc::new(script);
    }

    /// From now on each answer takes so long.
    pub fn takes(&self, latency: Duration) {
        *self.shared.latency.lock().expect("no holder panics") = latency;
    }

    /// Every call so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().expect("no holder panics").clone()
    }
}

/// A success as Prometheus writes it, around the elements of a vector.
pub fn vector(elements: &str) -> (StatusCode, String) {
    let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{elements}]}}}}"#);
    (StatusCode::OK, body)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_or_else(|_| Bytes::new(), |b| b.to_bytes());
    let query = head.uri.query().unwrap_or_default().as_bytes();
    let pairs = url::form_urlencoded::parse(query).chain(url::form_urlencoded::parse(&body));
    let form = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let path = head.uri.path().to_owned();
    let call = Call { method: head.method, path, headers: head.headers, form };
    shared.calls.lock().expect("no holder panics").push(call.clone());
    let script = shared.script.lock().expect("no holder panics").clone();
    let latency = *shared.latency.lock().expect("no holder panics");
    tokio::time::sleep(latency).await;
    let (status, body) = script(&call);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_asked_is_recorded_and_the_script_answers() {
        let source = QuerySource::start(|call| vector(&format!("\"{}\"", call.form["query"]))).await;
        let url = format!("{}/api/v1/query?time=5", source.url());
        let answer = crate::http::post_form(&url, &[("query", "up")]).await.unwrap();
        assert!(answer.text().contains(r#""result":["up"]"#), "{}", answer.text());
        let calls = source.calls();
        assert_eq!((calls.len(), calls[0].form["time"].as_str()), (1, "5"));
        source.script(|_| (StatusCode::BAD_GATEWAY, String::new()));
        assert_eq!(crate::http::get(&source.url()).await.unwrap().status, StatusCode::BAD_GATEWAY);
    }
}
