//! Where modules come from: registries and servers that behave, and those that do not.

use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};
use sluice::cache::{self, Cache};
use sluice::model::guard::{Place, Receivers};
use sluice::model::{Digest, Origin, Secret, Tls};
use sluice::modules::{Allowed, Config, Credentials, Fetched, Key, Reach, Store, Transport};
use sluice_tests::registry::{IDENTITY_TOKEN, Lock, Referrers, Registry, USER, digest, image};
use sluice_tests::servers::Local;
use sluice_tests::tls::{Authority, Front};
use tempfile::TempDir;

const MODULE: &[u8] = b"\0asm and what follows";
const WASM: &str = "application/wasm";
const BYTES_MAX: usize = 4_096;

/// An entry that opens loopback, in plain text.
fn open(host: &str) -> Allowed {
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    Allowed { transport: Transport::PlainHttp, networks, ..Allowed::new(host.parse().unwrap()) }
}

fn store_of(allow: Vec<Allowed>, cache: Option<&TempDir>) -> Store {
    let receivers = Receivers { place: Place::Machine, ..Receivers::default() };
    let cache = cache
        .map(|folder| Cache::open(&cache::Config { folder: folder.path().to_owned(), bytes_max: 1 << 20 }));
    let reach = Reach::Listed { allow, receivers };
    Store::new(Config { folder: None, reach, module_bytes_max: BYTES_MAX }, cache).unwrap()
}

fn oci(reference: &str) -> Origin {
    Origin::Oci { reference: reference.parse().unwrap(), pull_secret: None }
}

fn http(url: &str, bytes: &[u8]) -> Origin {
    Origin::Http { url: url.parse().unwrap(), sha256: Digest::of(bytes) }
}

async fn said(store: &Store, origin: &Origin) -> String {
    let fetched: Result<Fetched, _> = store.fetch(origin, None).await;
    fetched.expect_err("it is refused").to_string()
}

fn robot() -> Credentials {
    Credentials::Basic { username: USER.0.into(), password: Secret::new(USER.1) }
}

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let mut builder = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn a_tag_is_resolved_and_every_layout_can_be_pulled() {
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    let store = store_of(vec![open(&host)], None);
    let packed = archive(&[("filter.wasm", MODULE)]);
    for (tag, ty, layer) in [
        ("cncf", WASM, MODULE),
        ("old", "application/vnd.wasm.content.layer.v1+wasm", MODULE),
        ("module", "application/vnd.module.wasm.content.layer.v1+wasm", MODULE),
        ("oras", "application/vnd.oci.image.layer.v1.tar", MODULE),
        ("docker", "application/vnd.docker.image.rootfs.diff.tar.gzip", &packed),
        ("buildkit", "application/vnd.oci.image.layer.v1.tar+gzip", &packed),
    ] {
        let manifest = registry.put_artefact("acme/a", tag, &[(ty, layer)]);
        let resolved = format!("{host}/acme/a@{manifest}");
        for reference in
            [format!("{host}/acme/a:{tag}"), resolved.clone(), format!("{host}/acme/a:x@{manifest}")]
        {
            let fetched = store.fetch(&oci(&reference), None).await.unwrap();
            assert_eq!(fetched, Fetched::of_bytes(MODULE, resolved.clone()), "{reference}");
        }
    }
}

#[tokio::test]
async fn of_an_index_the_wasm_platform_is_pulled_and_one_without_is_refused() {
    let registry = Registry::start(Lock::Open).await;
    let (host, repository) = (registry.host(), "acme/a");
    let store = store_of(vec![open(&host)], None);
    let wasm = registry.put_artefact(repository, "wasm", &[(WASM, MODULE)]);
    let one = |digest: &str, os: &str, architecture: &str| {
        let platform = json!({ "os": os, "architecture": architecture });
        json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1, "platform": platform })
    };
    let index = |manifests: Value| json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests });
    let top = index(json!([one(&digest(b"x"), "linux", "amd64"), one(&wasm, "wasip1", "wasm")]));
    let top = registry.put_manifest(repository, "index", &top);
    let fetched = store.fetch(&oci(&format!("{host}/acme/a:index")), None).await.unwrap();
    assert_eq!(fetched, Fetched::of_bytes(MODULE, format!("{host}/acme/a@{top}")));
    let native = [one(&digest(b"x"), "linux", "amd64"), one(&digest(b"y"), "linux", "arm64")];
    registry.put_manifest(repository, "native", &index(json!(native)));
    let refused = said(&store, &oci(&format!("{host}/acme/a:native"))).await;
    assert!(
        refused.contains("it is an index, and not for one platform wasm (linux/amd64, linux/arm64)"),
        "{refused}"
    );
    registry.put_manifest(repository, "deep", &index(json!([one(&top, "wasip1", "wasm")])));
    let refused = said(&store, &oci(&format!("{host}/acme/a:deep"))).await;
    assert!(refused.ends_with("it is an index of indexes"), "{refused}");
}

#[tokio::test]
async fn what_is_kept_needs_no_network_if_it_is_named_by_its_digest() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Open).await);
    let host = registry.host();
    let manifest = registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    let (tag, by_digest) = (oci(&format!("{host}/a:1")), oci(&format!("{host}/a@{manifest}")));
    let store = store_of(vec![open(&host)], Some(&folder));
    let first = store.fetch(&tag, None).await.unwrap();
    let asked = registry.calls().len();
    store.fetch(&tag, None).await.unwrap();
    assert_eq!(registry.calls().len(), asked + 1, "a tag is resolved anew, its content is kept");
    drop(registry);
    let next = store_of(vec![open(&host)], Some(&folder));
    assert_eq!(next.fetch(&by_digest, None).await.unwrap(), first);
    assert!(next.fetch(&tag, None).await.unwrap_err().is_transient());
    let closed = store_of(vec![], Some(&folder));
    assert!(said(&closed, &by_digest).await.contains("is not in filters.allow"), "kept is not allowed");
}

#[tokio::test]
async fn what_was_fetched_is_known_to_who_fetched_it_as_long_as_it_cannot_change() {
    let (place, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Basic).await);
    let (files, asked) = server(&[("/a.wasm", Ok(MODULE.to_vec()))]).await;
    let host = registry.host();
    let manifest = registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    let file = place.path().join("a.wasm");
    std::fs::write(&file, MODULE).unwrap();
    let reach = Reach::Listed {
        allow: vec![open(&host), open(&files.address().to_string())],
        receivers: Receivers { place: Place::Machine, ..Receivers::default() },
    };
    let config = Config { folder: Some(place.path().to_owned()), reach, module_bytes_max: BYTES_MAX };
    let store = Store::new(config, None).unwrap();
    let digest = Digest::of(MODULE);
    let known = async |origin: &Origin, whom: Option<&Credentials>| {
        let known = store.known(origin, whom).await;
        known.inspect(|known| assert_eq!(known.digest, digest)).map(|known| known.resolved)
    };

    let (artefact, tag) = (oci(&format!("{host}/a@{manifest}")), oci(&format!("{host}/a:1")));
    let (robot, wrong) =
        (robot(), Credentials::Basic { username: USER.0.into(), password: Secret::new("wrong") });
    assert_eq!(known(&artefact, Some(&robot)).await, None);
    store.fetch(&artefact, Some(&wrong)).await.unwrap_err();
    assert_eq!(known(&artefact, Some(&wrong)).await, None);
    let fetched = store.fetch(&artefact, Some(&robot)).await.unwrap();
    store.fetch(&tag, Some(&robot)).await.unwrap();
    let calls = registry.calls().len();
    assert_eq!(known(&artefact, Some(&robot)).await, Some(fetched.resolved));
    for (origin, whom) in [
        (&artefact, None),
        (&artefact, Some(&wrong)),
        (&tag, Some(&robot)),
        (&oci(&format!("{host}/b@{manifest}")), Some(&robot)),
    ] {
        assert_eq!(known(origin, whom).await, None, "{origin:?}");
    }
    assert_eq!(registry.calls().len(), calls, "nobody is asked");

    let download = http(&format!("{}/a.wasm", files.url()), MODULE);
    let (other, elsewhere) = (
        http(&format!("{}/a.wasm", files.url()), b"other"),
        http(&format!("{}/b.wasm", files.url()), MODULE),
    );
    store.fetch(&other, None).await.unwrap_err();
    assert_eq!(known(&download, None).await, None);
    store.fetch(&download, None).await.unwrap();
    assert_eq!(known(&download, None).await, Some(format!("{}/a.wasm", files.url())));
    assert_eq!((known(&other, None).await, known(&elsewhere, None).await), (None, None));
    assert_eq!(asked.lock().unwrap().len(), 2);

    let origin = Origin::File { path: "a.wasm".parse().unwrap() };
    store.fetch(&origin, None).await.unwrap();
    assert_eq!(known(&origin, None).await, None, "it was written to a moment ago");
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    store.fetch(&origin, None).await.unwrap();
    assert_eq!(known(&origin, None).await, Some("a.wasm".to_owned()));
    std::fs::write(&file, "other").unwrap();
    assert_eq!(known(&origin, None).await, None);
}

#[tokio::test]
async fn what_one_team_fetched_with_its_secret_is_given_to_nobody_who_merely_knows_its_digest() {
    let wrong = Credentials::Basic { username: USER.0.into(), password: Secret::new("wrong") };
    for lock in [Lock::Basic, Lock::Token] {
        let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(lock).await);
        let (host, liar) = (registry.host(), Registry::start(Lock::Open).await);
        let (files, asked) = server(&[]).await;
        let allow = vec![open(&host), open(&liar.host()), open(&files.address().to_string())];
        let store = store_of(allow, Some(&folder));
        let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
        let by_digest = oci(&format!("{host}/acme/a@{manifest}"));
        let fetched = store.fetch(&oci(&format!("{host}/acme/a:1")), Some(&robot())).await.unwrap();

        for nobody in [None, Some(&wrong)] {
            let before = registry.calls().len();
            let refused = store.fetch(&by_digest, nobody).await.expect_err("it is private").to_string();
            assert!(refused.contains("access is denied"), "{refused}");
            assert!(registry.calls().len() > before, "the registry was not asked");
        }
        let refused = said(&store, &http(&format!("{}/a.wasm", files.url()), MODULE)).await;
        assert!(refused.contains("is not there: HTTP status 404"), "{refused}");
        assert_eq!(asked.lock().unwrap().len(), 1);
        let elsewhere = oci(&format!("{host}/acme/b@{manifest}"));
        let refused = store.fetch(&elsewhere, Some(&robot())).await.unwrap_err().to_string();
        assert!(refused.contains("is not there"), "{refused}");
        // Whoever has a registry can say there that it has the layer.
        let layer = json!({ "mediaType": WASM, "digest": digest(MODULE), "size": MODULE.len() });
        liar.put_manifest("a", "1", &image(&[layer]));
        let refused = said(&store, &oci(&format!("{}/a:1", liar.host()))).await;
        assert!(refused.contains("is not there"), "{refused}");
        assert!(liar.calls().iter().all(|call| !call.line.starts_with("HEAD")), "its word is none");

        let before = registry.calls().len();
        assert_eq!(store.fetch(&by_digest, Some(&robot())).await.unwrap(), fetched);
        assert_eq!(registry.calls().len(), before, "who had it has it still, and nobody is asked");
    }
}

#[tokio::test]
async fn another_right_to_what_is_kept_is_proven_with_little_and_outlives_a_restart() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Open).await);
    let host = registry.host();
    let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
    let by_digest = oci(&format!("{host}/acme/a@{manifest}"));
    let store = store_of(vec![open(&host)], Some(&folder));
    let fetched = store.fetch(&by_digest, None).await.unwrap();
    let before = registry.calls().len();
    assert_eq!(store.fetch(&by_digest, Some(&robot())).await.unwrap(), fetched);
    let lines: Vec<String> = registry.calls().split_off(before).into_iter().map(|call| call.line).collect();
    let blob = format!("HEAD /v2/acme/a/blobs/{}", digest(MODULE));
    assert_eq!(lines, [format!("GET /v2/acme/a/manifests/{manifest}"), blob]);
    drop(registry);

    let next = store_of(vec![open(&host)], Some(&folder));
    for known in [None, Some(&robot())] {
        assert_eq!(next.fetch(&by_digest, known).await.unwrap(), fetched);
    }
    let wrong = Credentials::Basic { username: USER.0.into(), password: Secret::new("wrong") };
    assert!(next.fetch(&by_digest, Some(&wrong)).await.unwrap_err().is_transient(), "nobody can say");
    let own = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    for file in std::fs::read_dir(own).unwrap() {
        let text = String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned();
        assert!(![USER.0, USER.1, "acme/a\""].iter().any(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn content_that_is_not_what_was_asked_for_is_refused() {
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    let store = store_of(vec![open(&host)], None);
    let manifest = registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    registry.corrupt("a", &digest(MODULE), &b"\0asm and what f0llows"[..]);
    let refused = said(&store, &oci(&format!("{host}/a:1"))).await;
    assert!(refused.contains(&format!("not {}", digest(MODULE))), "{refused}");
    registry.corrupt("a", &manifest, image(&[]).to_string());
    for reference in [format!("{host}/a:1"), format!("{host}/a@{manifest}")] {
        let refused = said(&store, &oci(&reference)).await;
        assert!(refused.contains(&format!("not {manifest}")), "{refused}");
    }
    let missing = said(&store, &oci(&format!("{host}/a:2"))).await;
    assert_eq!(
        missing,
        format!(
            "http://{host}/v2/a/manifests/2 is not there: HTTP status 404 Not Found: manifest unknown; \
             correct its name, or put it there first"
        )
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_and_after_it_is_unpacked() {
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    let store = store_of(vec![open(&host)], None);
    let large = [MODULE, &[0; BYTES_MAX]].concat();
    registry.put_artefact("a", "bare", &[(WASM, &large)]);
    let refused = said(&store, &oci(&format!("{host}/a:bare"))).await;
    assert!(refused.contains("has more than 4096 bytes: make it smaller"), "{refused}");
    assert!(!registry.calls().iter().any(|call| call.line.contains("/blobs/")), "it was not even asked for");

    let small = json!({ "mediaType": WASM, "digest": digest(&large), "size": 100 });
    registry.put_manifest("a", "liar", &image(&[small]));
    let refused = said(&store, &oci(&format!("{host}/a:liar"))).await;
    assert!(refused.contains("more than the 100 bytes that were said"), "{refused}");

    let packed = archive(&[("a.wasm", &large)]);
    assert!(packed.len() < BYTES_MAX);
    registry.put_artefact("a", "packed", &[("application/vnd.oci.image.layer.v1.tar+gzip", &packed)]);
    let refused = said(&store, &oci(&format!("{host}/a:packed"))).await;
    assert!(refused.contains("has more than 4096 bytes when it is unpacked"), "{refused}");
}

#[tokio::test]
async fn a_pull_secret_opens_a_locked_registry() {
    for lock in [Lock::Basic, Lock::Token] {
        let registry = Registry::start(lock).await;
        let host = registry.host();
        let store = store_of(vec![open(&host)], None);
        registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
        let origin = oci(&format!("{host}/acme/a:1"));
        let refused = said(&store, &origin).await;
        assert!(
            refused.contains("access is denied")
                && refused.contains("it takes credentials for this registry"),
            "{refused}"
        );
        let wrong = Credentials::Basic { username: USER.0.into(), password: Secret::new("wrong") };
        let refused = store.fetch(&origin, Some(&wrong)).await.unwrap_err().to_string();
        assert!(refused.contains("HTTP status 401 Unauthorized: authentication required"), "{refused}");
        assert!(!refused.contains("wrong"), "{refused}");
        assert_eq!(store.fetch(&origin, Some(&robot())).await.unwrap().bytes, MODULE);
    }
    let registry = Registry::start(Lock::Token).await;
    registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    let store = store_of(vec![open(&registry.host())], None);
    let identity = Credentials::Identity(Secret::new(IDENTITY_TOKEN));
    let origin = oci(&format!("{}/a:1", registry.host()));
    assert_eq!(store.fetch(&origin, Some(&identity)).await.unwrap().bytes, MODULE);
    let password = registry.calls().into_iter().filter_map(|call| call.authorization);
    assert!(password.into_iter().all(|value| value.starts_with("Bearer ")));
}

#[tokio::test]
async fn credentials_go_to_no_realm_and_no_store_that_the_entry_does_not_have() {
    let (registry, elsewhere) = (Registry::start(Lock::Token).await, Registry::start(Lock::Open).await);
    let (host, other) = (registry.host(), elsewhere.host());
    registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    elsewhere.put_artefact("a", "1", &[(WASM, MODULE)]);
    let origin = oci(&format!("{host}/a:1"));
    registry.has_its_realm_at(&format!("http://{other}/token"));
    let store = store_of(vec![open(&host)], None);
    let refused = store.fetch(&origin, Some(&robot())).await.unwrap_err().to_string();
    assert_eq!(
        refused,
        format!(
            "http://{host}/v2/a/ sends us to http://{other}/token, which filters.allow does not have; ask the operator to add {other} to redirects"
        )
    );
    assert_eq!(elsewhere.calls(), []);

    let named = Allowed { redirects: vec![other.parse().unwrap()], ..open(&host) };
    let store = store_of(vec![named], None);
    assert_eq!(store.fetch(&origin, Some(&robot())).await.unwrap().bytes, MODULE);
    assert!(elsewhere.calls()[0].authorization.as_ref().unwrap().starts_with("Basic "));

    registry.keeps_blobs_at(&format!("http://{other}"));
    assert_eq!(store.fetch(&origin, Some(&robot())).await.unwrap().bytes, MODULE);
    let there = elsewhere.calls().into_iter().find(|call| call.line.contains("/blobs/")).unwrap();
    assert_eq!(there.authorization, None, "content is elsewhere, credentials are not");
    let third = Registry::start(Lock::Open).await;
    registry.keeps_blobs_at(&format!("http://{}", third.host()));
    let refused = store.fetch(&origin, Some(&robot())).await.unwrap_err().to_string();
    assert!(refused.contains("sends us to") && third.calls().is_empty(), "{refused}");
}

#[tokio::test]
async fn loopback_and_link_local_are_not_dialled_wherever_we_run() {
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    let closed = Allowed { networks: vec![], ..open(&host) };
    let refused = said(&store_of(vec![closed], None), &oci(&format!("{host}/a:1"))).await;
    assert_eq!(
        refused,
        format!(
            "http://{host} is not dialled: 127.0.0.1 is in 127.0.0.0/8 (loopback); ask the operator to open it with networks in filters.allow"
        )
    );
    let localhost = format!("localhost:{}", host.rsplit_once(':').unwrap().1);
    let named = Allowed { networks: vec![], ..open(&localhost) };
    let refused = said(&store_of(vec![named], None), &oci(&format!("{localhost}/a:1"))).await;
    assert!(refused.contains("(loopback)"), "{refused}");
    for (address, name) in [
        ("169.254.169.254", "a cloud's metadata"),
        ("10.0.0.1", "10.0.0.0/8 (a private network); ask the operator"),
    ] {
        let store = store_of(vec![open(address)], None);
        let refused = said(&store, &http(&format!("http://{address}/a.wasm"), MODULE)).await;
        assert!(refused.contains(name), "{refused}");
    }
    let plain = Allowed { transport: Transport::Https, ..open(&host) };
    let refused = said(&store_of(vec![plain], None), &http(&format!("http://{host}/a.wasm"), MODULE)).await;
    assert!(refused.contains("would be fetched in plain text; write https://"), "{refused}");
    assert_eq!(registry.calls(), []);
}

/// A server of files: what is under a path, or where it leads.
async fn server(answers: &[(&str, Result<Vec<u8>, String>)]) -> (Local, Arc<Mutex<Vec<String>>>) {
    type Shared = (Arc<Vec<(String, Result<Vec<u8>, String>)>>, Arc<Mutex<Vec<String>>>);
    async fn serve(State((answers, asked)): State<Shared>, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        asked.lock().unwrap().push(path.clone());
        match answers.iter().find(|(known, _)| *known == path) {
            Some((_, Ok(bytes))) => bytes.clone().into_response(),
            Some((_, Err(to))) => (StatusCode::FOUND, [("location", to.clone())]).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
    let answers = answers.iter().map(|(path, answer)| ((*path).to_owned(), answer.clone())).collect();
    let asked = Arc::default();
    let state: Shared = (Arc::new(answers), Arc::clone(&asked));
    (Local::serve(Router::new().fallback(serve).with_state(state)).await, asked)
}

#[tokio::test]
async fn a_download_is_what_its_digest_says_and_is_kept() {
    let (server, asked) = server(&[("/f/a.wasm", Ok(MODULE.to_vec()))]).await;
    let url = format!("{}/f/a.wasm?signature=s3cret", server.url());
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(vec![open(&format!("{}/f", server.address()))], Some(&folder));
    let fetched = store.fetch(&http(&url, MODULE), None).await.unwrap();
    assert_eq!(fetched, Fetched::of_bytes(MODULE, format!("{}/f/a.wasm", server.url())));
    store.fetch(&http(&url, MODULE), None).await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
    let refused = said(&store, &http(&url, b"other")).await;
    assert!(refused.contains("it was changed, or the digest is another version's"), "{refused}");
    assert!(!refused.contains("s3cret"), "{refused}");
    let named = url.replace("http://", "http://robot:s3cret@").replace("a.wasm", "b.wasm");
    let refused = said(&store, &http(&named, b"another")).await;
    assert!(refused.contains("is not there") && !refused.contains("s3cret"), "{refused}");
    let refused = said(&store, &http(&format!("{}/a.wasm", server.url()), MODULE)).await;
    assert!(refused.contains("is not in filters.allow; ask the operator to add 127.0.0.1:"), "{refused}");
}

#[tokio::test]
async fn a_download_beyond_the_maximum_is_broken_off() {
    let large = vec![0; BYTES_MAX + 1];
    let (server, _) = server(&[("/a", Ok(large.clone()))]).await;
    let store = store_of(vec![open(&server.address().to_string())], None);
    let refused = said(&store, &http(&format!("{}/a", server.url()), &large)).await;
    assert!(
        refused.contains("has more than 4096 bytes: make it smaller, or raise filters.maxModule"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_address_itself() {
    let (other, asked) = server(&[("/a.wasm", Ok(MODULE.to_vec())), ("/b.wasm", Ok(MODULE.to_vec()))]).await;
    let to = |text: String| Err::<Vec<u8>, String>(text);
    let (server, _) = server(&[
        ("/f/near", to("a.wasm".into())),
        ("/f/a.wasm", Ok(MODULE.to_vec())),
        ("/f/up", to("/a.wasm".into())),
        ("/f/other", to(format!("{}/a.wasm", other.url()))),
        ("/f/metadata", to("http://169.254.169.254/a.wasm".into())),
        ("/f/file", to("file:///etc/passwd".into())),
        ("/f/round", to("/f/round".into())),
    ])
    .await;
    let at = |path: &str| http(&format!("{}/f/{path}", server.url()), MODULE);
    let own = open(&format!("{}/f", server.address()));
    let store = store_of(vec![own.clone(), open("169.254.169.254")], None);
    assert_eq!(store.fetch(&at("near"), None).await.unwrap().bytes, MODULE);
    for (path, why) in [
        ("up", "which filters.allow does not have"),
        ("other", "which filters.allow does not have"),
        ("metadata", "169.254.169.254 is in 169.254.169.254/32 (a cloud's metadata)"),
        ("file", "without a Location that can be followed"),
        ("round", "redirects more than 5 times"),
        ("nothing", "is not there: HTTP status 404"),
    ] {
        let refused = said(&store, &at(path)).await;
        assert!(refused.contains(why), "{path}: {refused}");
    }
    assert!(asked.lock().unwrap().is_empty());
    let redirects = vec![format!("{}/a.wasm", other.address()).parse().unwrap()];
    let store = store_of(vec![Allowed { redirects, ..own }], None);
    assert_eq!(store.fetch(&at("other"), None).await.unwrap().bytes, MODULE);
}

#[tokio::test]
async fn a_registry_with_a_certificate_of_ones_own_is_trusted_by_the_entry_that_names_it() {
    let registry = Registry::start(Lock::Token).await;
    registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    let authority = Authority::new("the operator's");
    let front =
        Front::before(&format!("http://{}", registry.host()), &authority.certify(&["127.0.0.1"])).await;
    let host = format!("127.0.0.1:{}", front.port());
    // Told behind the front, it would send us to itself in plain text.
    registry.has_its_realm_at(&format!("{}/token", front.url()));
    let secure = Allowed { transport: Transport::Https, ..open(&host) };
    let origin = oci(&format!("{host}/a:1"));
    let refused = said(&store_of(vec![secure.clone()], None), &origin).await;
    assert!(refused.starts_with(&format!("cannot trust https://{host}: ")), "{refused}");

    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = Tls { ca_file: Some(ca), ..Tls::default() };
    let store = store_of(vec![Allowed { tls: Some(tls), ..secure }], None);
    assert_eq!(store.fetch(&origin, Some(&robot())).await.unwrap().bytes, MODULE);

    registry.has_its_realm_at(&format!("http://{host}/token"));
    let before = registry.calls().len();
    let refused = store.fetch(&origin, Some(&robot())).await.unwrap_err().to_string();
    assert!(refused.contains("would be fetched in plain text"), "{refused}");
    assert_eq!(registry.calls().len(), before + 1, "a password went out in plain text");
}

#[tokio::test]
async fn a_registry_that_hangs_holds_up_neither_others_nor_what_is_kept() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Open).await);
    let manifest = registry.put_artefact("a", "1", &[(WASM, MODULE)]);
    let hangs = Registry::start(Lock::Open).await;
    hangs.put_artefact("a", "1", &[(WASM, MODULE)]);
    let host = hangs.host();
    let both = vec![open(&registry.host()), open(&host)];
    let store = store_of(both, Some(&folder));
    store.fetch(&oci(&format!("{host}/a:1")), None).await.unwrap();
    drop(hangs);
    // Nobody accepts any more: connections wait, and so do requests.
    let _silent = loop {
        match tokio::net::TcpListener::bind(&host).await {
            Ok(silent) => break silent,
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    let mut hanging = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (store, origin) = (store.clone(), oci(&format!("{host}/a:{number}")));
        hanging.spawn(async move { store.fetch(&origin, None).await });
    }
    let healthy = async {
        store.fetch(&oci(&format!("{}/a:1", registry.host())), None).await.unwrap();
        // What came from that registry before.
        store.fetch(&oci(&format!("{host}/a@{manifest}")), None).await.unwrap()
    };
    tokio::select! {
        biased;
        fetched = healthy => assert_eq!(fetched.bytes, MODULE),
        ended = hanging.join_next() => panic!("a hanging fetch ended before: {ended:?}"),
    }
}

/// What `cosign sign --key` puts beside an artefact.
fn sign(registry: &Registry, repository: &str, manifest: &str, about: &str, pair: &EcdsaKeyPair) {
    let critical = json!({
        "identity": { "docker-reference": format!("{}/{repository}", registry.host()) },
        "image": { "docker-manifest-digest": about },
        "type": "cosign container image signature",
    });
    let payload = json!({ "critical": critical, "optional": null }).to_string();
    let signature = pair.sign(&SystemRandom::new(), payload.as_bytes()).unwrap();
    let layer = json!({
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "digest": registry.put_blob(repository, payload.clone()),
        "size": payload.len(),
        "annotations": { "dev.cosignproject.cosign/signature": STANDARD.encode(signature) },
    });
    registry.put_manifest(repository, &format!("{}.sig", manifest.replace(':', "-")), &image(&[layer]));
}

fn pair() -> (EcdsaKeyPair, Key) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    let base64 = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
    let key = Key::from_pem(&pem).unwrap();
    (pair, key)
}

#[tokio::test]
async fn where_the_operator_requires_it_only_what_is_signed_is_fetched() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Open).await);
    let host = registry.host();
    let ((ours, key), (theirs, their_key)) = (pair(), pair());
    let requires = |key: &Key| Allowed { keys: vec![key.clone()], ..open(&format!("{host}/acme")) };
    // The whole registry is open, and does not open the part that is not.
    let store = store_of(vec![open(&host), requires(&key)], Some(&folder));
    let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
    let origin = oci(&format!("{host}/acme/a@{manifest}"));
    let refused = said(&store, &origin).await;
    assert!(
        refused
            .ends_with("is not signed as filters.allow requires: it has no signature of cosign's beside it"),
        "{refused}"
    );
    sign(&registry, "acme/a", &manifest, &manifest, &theirs);
    assert!(said(&store, &origin).await.ends_with("a signature is of none of the keys"));
    sign(&registry, "acme/a", &manifest, &digest(b"another"), &ours);
    assert!(said(&store, &origin).await.ends_with("a signed payload is about another artefact"));
    assert!(
        !registry.calls().iter().any(|call| call.line.ends_with(&digest(MODULE))),
        "nothing of it was fetched"
    );
    sign(&registry, "acme/a", &manifest, &manifest, &ours);
    let fetched = store.fetch(&origin, None).await.unwrap();
    assert_eq!((fetched.bytes.as_ref(), fetched.signed_by), (MODULE, Some(key.id())));
    assert!(
        said(&store, &http(&format!("http://{host}/acme/a.wasm"), MODULE))
            .await
            .contains("only artefacts in registries")
    );
    drop(registry);
    let next = store_of(vec![requires(&key)], Some(&folder));
    assert_eq!(next.fetch(&origin, None).await.unwrap(), fetched, "its signature is kept with it");
    let changed = store_of(vec![requires(&their_key)], Some(&folder));
    assert!(changed.fetch(&origin, None).await.is_err(), "what is kept is checked against today's keys");
}

#[tokio::test]
async fn a_download_out_of_a_repository_that_must_be_signed_is_refused_however_it_is_spelt() {
    let registry = Registry::start(Lock::Open).await;
    let port = registry.host().rsplit_once(':').unwrap().1.to_owned();
    let (host, (_, key)) = (format!("localhost:{port}"), pair());
    registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
    registry.put_artefact("other/a", "1", &[(WASM, MODULE)]);
    let loopback = vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
    let open = |host: &str| Allowed { networks: loopback.clone(), ..open(host) };
    let (moved, _) = server(&[
        ("/blob", Err(format!("http://{host}/v2/acme/a/blobs/{}", digest(MODULE)))),
        ("/file", Err(format!("http://{host}/acme/a.wasm"))),
    ])
    .await;
    let files = Allowed { redirects: vec![host.parse().unwrap()], ..open(&moved.address().to_string()) };
    let acme = Allowed { keys: vec![key], ..open(&format!("{host}/acme")) };
    let store = store_of(vec![open(&host), acme, files], None);
    let blob = digest(MODULE);
    for url in [
        format!("http://{host}/v2/acme/a/blobs/{blob}"),
        format!("http://{host}/v2/acme/a/manifests/1"),
        format!("http://{host}//v2//acme/a/blobs/{blob}"),
        format!("http://{host}/v2/other/../acme/a/blobs/{blob}"),
        format!("http://{host}/v2/other/%2e%2E/acme/a/blobs/{blob}"),
        format!("http://{host}/v2/other/..%2facme/a/blobs/{blob}"),
        format!("http://{host}/v2/%61cme/a/blobs/{blob}"),
        format!("http://{host}/v2/%2561cme/a/blobs/{blob}"),
        format!("http://{host}/%762/acme%2Fa/blobs/{blob}"),
        format!("http://{host}/v2/ACME/a/blobs/{blob}"),
        format!("http://{host}/V2/acme;x=1/a/blobs/{blob}"),
        format!("http://{host}/x/v2/acme/a/blobs/{blob}"),
        format!("http://{host}/%61cme/a.wasm"),
        format!("http://LOCALHOST:{port}/v2/acme/a/blobs/{blob}"),
        format!("http://localhost.:{port}/v2/acme/a/blobs/{blob}"),
        format!("{}/blob", moved.url()),
        format!("{}/file", moved.url()),
    ] {
        let refused = store.fetch(&http(&url, MODULE), None).await;
        let refused = refused.expect_err(&url).to_string();
        assert!(refused.contains("is not signed as filters.allow requires"), "{url}: {refused}");
        assert!(refused.contains("write oci: "), "{url}: {refused}");
    }
    let said = said(&store, &http(&format!("http://{host}/v2/acme/a/blobs/{blob}"), MODULE)).await;
    assert!(said.ends_with(&format!("write oci: {host}/acme/a:TAG, or @sha256:… of its manifest")), "{said}");
    assert_eq!(registry.calls(), [], "nothing was asked for");
    let url = format!("http://{host}/v2/other/a/blobs/{blob}");
    assert_eq!(store.fetch(&http(&url, MODULE), None).await.unwrap().bytes, MODULE);
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";

/// What `cosign sign --key` from version 3 on, or `cosign attest`, makes refer to an artefact: a bundle about `about`.
fn bundle(registry: &Registry, manifest: &str, about: &str, predicate: &str, pair: &EcdsaKeyPair) {
    let hex = about.trim_start_matches("sha256:");
    let payload = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": hex } }],
        "predicateType": predicate,
        "predicate": {},
    })
    .to_string();
    let kind = "application/vnd.in-toto+json";
    let signed = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let signatures = json!([{ "sig": STANDARD.encode(signature) }]);
    let envelope =
        json!({ "payload": STANDARD.encode(&payload), "payloadType": kind, "signatures": signatures });
    let material = json!({ "publicKey": { "hint": "a hint" } });
    let bundle = json!({ "mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope });
    refer(registry, manifest, predicate, bundle.to_string().as_bytes());
}

/// A referrer of any type and any date, as whoever may push can make it.
fn clutter(registry: &Registry, manifest: &str, kind: &str, created: &str) {
    let content = format!("{kind} {created}");
    let annotations = json!({ "org.opencontainers.image.created": created });
    refer_to(registry, manifest, kind, content.as_bytes(), annotations);
}

fn refer(registry: &Registry, manifest: &str, predicate: &str, bundle: &[u8]) {
    let annotations = json!({ "dev.sigstore.bundle.predicateType": predicate });
    refer_to(registry, manifest, BUNDLE, bundle, annotations);
}

fn refer_to(registry: &Registry, manifest: &str, kind: &str, content: &[u8], annotations: Value) {
    let digest = registry.put_blob("acme/a", content.to_vec());
    let mut referrer = image(&[json!({ "mediaType": kind, "digest": digest, "size": content.len() })]);
    referrer["artifactType"] = kind.into();
    referrer["subject"] = json!({ "mediaType": referrer["mediaType"], "digest": manifest, "size": 1 });
    referrer["annotations"] = annotations;
    registry.put_referrer("acme/a", &referrer);
}

#[tokio::test]
async fn a_signature_in_a_bundle_counts_however_the_registry_keeps_what_refers_to_an_artefact() {
    let ((ours, key), (theirs, _)) = (pair(), pair());
    for referrers in [Referrers::Listed, Referrers::Paged, Referrers::Tagged] {
        let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::start(Lock::Token).await);
        registry.knows_referrers(referrers);
        let host = registry.host();
        let requires = Allowed { keys: vec![key.clone()], ..open(&host) };
        let store = store_of(vec![requires.clone()], Some(&folder));
        let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
        let origin = oci(&format!("{host}/acme/a@{manifest}"));
        let refused =
            async || store.fetch(&origin, Some(&robot())).await.expect_err("it is refused").to_string();
        assert!(refused().await.ends_with("it has no signature of cosign's beside it"));
        refer(&registry, &manifest, SIGNS, b"<html>");
        refer(&registry, &manifest, SIGNS, &[b' '; 100_000]);
        assert!(refused().await.ends_with("it has no signature of cosign's beside it"));
        bundle(&registry, &manifest, &manifest, SIGNS, &theirs);
        assert!(refused().await.ends_with("a signature is of none of the keys"));
        let scanned = "https://cosign.sigstore.dev/attestation/vuln/v1";
        bundle(&registry, &manifest, &manifest, scanned, &ours);
        assert!(
            refused().await.ends_with("a signature is of none of the keys"),
            "it was scanned, not signed"
        );
        assert!(!registry.calls().iter().any(|call| call.line.ends_with(&digest(MODULE))));
        bundle(&registry, &manifest, &manifest, SIGNS, &ours);
        let fetched = store.fetch(&origin, Some(&robot())).await.unwrap();
        assert_eq!((fetched.bytes.as_ref(), fetched.signed_by), (MODULE, Some(key.id())), "{referrers:?}");
        let other = registry.put_artefact("acme/a", "2", &[(WASM, b"\0asm of somebody else")]);
        bundle(&registry, &other, &manifest, SIGNS, &ours);
        let moved = oci(&format!("{host}/acme/a@{other}"));
        let moved = store.fetch(&moved, Some(&robot())).await.unwrap_err().to_string();
        assert!(moved.ends_with("a signed statement is about another artefact"), "{moved}");
        drop(registry);
        let next = store_of(vec![requires], Some(&folder));
        let kept = next.fetch(&origin, Some(&robot())).await.unwrap();
        assert_eq!(kept, fetched, "its signature is kept with it");
    }
}

#[tokio::test]
async fn a_signature_is_found_behind_many_newer_referrers() {
    let (ours, key) = pair();
    for referrers in [Referrers::Listed, Referrers::Paged, Referrers::Unfiltered, Referrers::Tagged] {
        let registry = Registry::start(Lock::Open).await;
        registry.knows_referrers(referrers);
        let host = registry.host();
        let store = store_of(vec![Allowed { keys: vec![key.clone()], ..open(&host) }], None);
        let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
        bundle(&registry, &manifest, &manifest, SIGNS, &ours);
        for number in 0..20 {
            clutter(&registry, &manifest, BUNDLE, &format!("2099-01-01T00:00:{number:02}Z"));
            clutter(&registry, &manifest, "application/spdx+json", &format!("2099-01-02T00:00:{number:02}Z"));
        }
        let fetched = store.fetch(&oci(&format!("{host}/acme/a:1")), None).await;
        let fetched = fetched.unwrap_or_else(|error| panic!("{referrers:?}: {error}"));
        assert_eq!(fetched.signed_by, Some(key.id()), "{referrers:?}");
        let asked = registry.calls().len();
        assert!(
            asked < 40,
            "{referrers:?}: what says that it signs is looked at first, not after {asked} requests"
        );
    }
}

#[tokio::test]
async fn a_signature_is_found_among_many_that_look_like_one_and_the_search_has_an_end() {
    let ((ours, key), (theirs, _)) = (pair(), pair());
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    let store = store_of(vec![Allowed { keys: vec![key.clone()], ..open(&host) }], None);
    let manifest = registry.put_artefact("acme/a", "1", &[(WASM, MODULE)]);
    for _ in 0..60 {
        bundle(&registry, &manifest, &manifest, SIGNS, &theirs);
    }
    let origin = oci(&format!("{host}/acme/a:1"));
    bundle(&registry, &manifest, &manifest, SIGNS, &ours);
    assert_eq!(store.fetch(&origin, None).await.unwrap().signed_by, Some(key.id()));
    let other = registry.put_artefact("acme/a", "2", &[(WASM, b"\0asm of somebody else")]);
    for _ in 0..150 {
        bundle(&registry, &other, &other, SIGNS, &theirs);
    }
    let before = registry.calls().len();
    let refused = said(&store, &oci(&format!("{host}/acme/a:2"))).await;
    assert!(refused.contains("a signature is of none of the keys"), "{refused}");
    let asked = registry.calls().len() - before;
    assert!(asked < 270, "{asked} requests");
}
