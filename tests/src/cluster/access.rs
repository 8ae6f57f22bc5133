//! Access: where an API server is and as whom it is spoken to, as a kubeconfig file.

use std::path::Path;

use serde_json::{Value, json};

/// A kubeconfig with one cluster and one user.
#[derive(Clone)]
pub struct Access {
    cluster: Value,
    user: Value,
}

impl Access {
    /// By a token, at a server that this authority vouches for.
    pub(super) fn token(server: &str, authority_pem: &str, token: &str) -> Access {
        let data = base64(authority_pem.as_bytes());
        Access {
            cluster: json!({ "server": server, "certificate-authority-data": data }),
            user: json!({ "token": token }),
        }
    }

    /// The current context of a file; files it names are read into it.
    pub(super) fn read(file: &Path) -> Access {
        let read = kube::config::Kubeconfig::read_from(file).expect("the kubeconfig can be read");
        let current = read.current_context.as_deref().expect("the kubeconfig has a current context");
        let context = read.contexts.iter().find(|context| context.name == current);
        let context =
            context.and_then(|context| context.context.as_ref()).expect("the current context is there");
        let cluster = read.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let cluster =
            cluster.and_then(|cluster| cluster.cluster.as_ref()).expect("the context's cluster is there");
        let user = read.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref());
        let user = user.and_then(|user| user.auth_info.as_ref()).expect("the context's user is there");
        let mut cluster = serde_json::to_value(cluster).expect("a cluster is JSON");
        if let Some(file) = cluster.as_object_mut().and_then(|c| c.remove("certificate-authority")) {
            let pem =
                std::fs::read(file.as_str().expect("a path")).expect("the authority's file can be read");
            cluster["certificate-authority-data"] = base64(&pem).into();
        }
        Access { cluster, user: serde_json::to_value(user).expect("a user is JSON") }
    }

    /// The same cluster as another user.
    pub(super) fn with_token(&self, token: &str) -> Access {
        Access { user: json!({ "token": token }), ..self.clone() }
    }

    /// The same server under another address: its certificate still has to carry the name it is known by.
    pub(super) fn through(&self, address: std::net::SocketAddr) -> Access {
        let mut through = self.clone();
        let name = self.url().host_str().expect("the server has a name").to_owned();
        through.cluster["server"] = format!("https://{address}").into();
        if self.cluster["tls-server-name"].is_null() {
            through.cluster["tls-server-name"] = name.into();
        }
        through
    }

    /// `host:port` of the server.
    pub(super) fn server(&self) -> String {
        let url = self.url();
        let port = url.port_or_known_default().expect("an http address has a port");
        format!("{}:{port}", url.host_str().expect("the server has a name"))
    }

    fn url(&self) -> url::Url {
        self.cluster["server"].as_str().and_then(|url| url.parse().ok()).expect("the server has an address")
    }

    /// Writes it to a file.
    pub(super) fn write(&self, file: &Path) {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "it", "cluster": self.cluster }],
            "users": [{ "name": "we", "user": self.user }],
            "contexts": [{ "name": "here", "context": { "cluster": "it", "user": "we" } }],
            "current-context": "here",
        });
        // JSON is YAML.
        std::fs::write(file, format!("{config:#}\n")).expect("the temporary folder is writable");
    }
}

fn base64(bytes: &[u8]) -> String {
    let encoded = k8s_openapi::ByteString(bytes.to_vec());
    let Ok(Value::String(text)) = serde_json::to_value(encoded) else {
        unreachable!("bytes are written as text")
    };
    text
}
