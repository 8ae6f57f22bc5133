//! A component's way through a registry, as its author types it: push, manifest, pull. Through a real registry where there
//! is one (`docker-registry`), else through the fake.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use sluice_tests::guests;
use sluice_tests::registry::{Lock, Registry, USER, image};
use sluice_tests::servers::{DockerRegistry, command_told};
use tempfile::TempDir;

/// Nothing here takes longer, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A component that was built from the SDK, in a file.
fn component(folder: &Path) -> PathBuf {
    static BUILT: LazyLock<[Vec<u8>; 1]> = LazyLock::new(|| guests::built(["test-filter-drop-everything"]));
    let path = folder.join("drop.wasm");
    fs::write(&path, &BUILT[0]).unwrap();
    path
}

/// Who types the commands, and where.
struct Author {
    folder: TempDir,
    file: String,
}

impl Author {
    /// With what `docker login` left for these registries.
    fn logged_in_to(registries: &[&str]) -> Author {
        let folder = tempfile::tempdir().unwrap();
        let file = component(folder.path()).display().to_string();
        let auth = STANDARD.encode(format!("{}:{}", USER.0, USER.1));
        let auths: Map<String, Value> =
            registries.iter().map(|host| ((*host).to_owned(), json!({ "auth": auth }))).collect();
        fs::create_dir(folder.path().join("docker")).unwrap();
        let config = json!({ "auths": auths }).to_string();
        fs::write(folder.path().join("docker/config.json"), config).unwrap();
        Author { folder, file }
    }

    fn types(&self, args: &[&str], input: &str) -> Output {
        let args: Vec<&str> = ["filter"].iter().chain(args).copied().collect();
        let docker = self.folder.path().join("docker").display().to_string();
        command_told(self.folder.path(), &args, &[("DOCKER_CONFIG", &docker)], input, PATIENCE)
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.types(args, "");
        let (out, said) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr).into_owned());
        assert_eq!(status.code(), Some(0), "{args:?}: {out}{said}");
        out
    }

    fn fails(&self, args: &[&str]) -> String {
        self.fails_with(args, "")
    }

    fn fails_with(&self, args: &[&str], input: &str) -> String {
        let Output { status, stdout, stderr } = self.types(args, input);
        let said = String::from_utf8([stdout, stderr].concat()).unwrap();
        assert_eq!(status.code(), Some(1), "{args:?}: {said}");
        said
    }

    fn inspected(&self, reference: &str, keys: &[&str]) -> Value {
        let keys = keys.iter().flat_map(|key| ["--key", key]);
        let args: Vec<&str> = ["inspect", reference, "-o", "json"].into_iter().chain(keys).collect();
        serde_json::from_str(&self.succeeds(&args)).unwrap()
    }

    /// A key to sign with; what others check it with is in `file`.
    fn key_pair(&self, file: &str) -> EcdsaKeyPair {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let base64 = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n");
        fs::write(self.folder.path().join(file), pem).unwrap();
        pair
    }

    /// Push, manifest, pull: what comes back is what was pushed.
    fn walks(&self, host: &str) {
        let tag = format!("{host}/acme/drop:1.0");
        let pushed = self.succeeds(&["push", &tag, &self.file]);
        let by_digest = pushed.trim_end();
        assert!(by_digest.starts_with(&format!("{host}/acme/drop@sha256:")), "{pushed}");
        let labelled = String::from_utf8(self.types(&["push", &tag, &self.file], "").stderr).unwrap();
        let own = Sha256::digest(fs::read(&self.file).unwrap());
        let own: String = own.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            labelled.contains(&format!("http.sha256 the component's own digest: sha256:{own}")),
            "{labelled}"
        );
        let again = self.succeeds(&["push", &tag, &self.file, "-o", "json"]);
        let again: Value = serde_json::from_str(&again).unwrap();
        assert_eq!(again["component"]["digest"], format!("sha256:{own}"));
        assert!(by_digest.ends_with(again["manifest"]["digest"].as_str().unwrap()), "{again}");
        assert_eq!(again["ref"], by_digest, "the same component is the same artefact");

        let printed = self.succeeds(&["manifest", &tag, "--pull-secret", "regcred"]);
        let printed: Value = serde_saphyr::from_str(&printed).unwrap();
        let oci = json!({ "ref": by_digest, "pullSecretRef": { "name": "regcred" } });
        let filter = &printed["filters"][0];
        assert_eq!((&filter["module"], &filter["config"]), (&json!({ "oci": oci }), &Value::Null));
        let printed = self.succeeds(&["manifest", by_digest, "-o", "json"]);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["module"], json!({ "oci": { "ref": by_digest } }));

        let said = self.succeeds(&["pull", by_digest, "pulled.wasm", "-o", "json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["ref"], &said["file"]), (&by_digest.into(), &"pulled.wasm".into()));
        let pulled = fs::read(self.folder.path().join("pulled.wasm")).unwrap();
        assert!(pulled == fs::read(&self.file).unwrap(), "other bytes came back");
        let refused = self.fails(&["pull", &tag]);
        assert!(
            refused.starts_with("drop.wasm: cannot be written; name a file behind the reference"),
            "{refused}"
        );
        let unsigned = self.inspected(by_digest, &[]);
        assert_eq!(
            (&unsigned["reference"], &unsigned["signature"]["isSigned"]),
            (&by_digest.into(), &false.into())
        );
        let missing = self.fails(&["pull", &format!("{host}/acme/drop:2.0")]);
        assert!(missing.contains("is not there: HTTP status 404 Not Found"), "{missing}");
    }
}

/// Commands block; servers of ours must go on meanwhile.
async fn typing(work: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(work).await.unwrap();
}

#[tokio::test]
async fn a_component_is_pushed_named_and_pulled() {
    let registry = Registry::start(Lock::Open).await;
    let host = registry.host();
    typing(move || Author::logged_in_to(&[]).walks(&host)).await;
    let (_, manifest) = registry.manifest("acme/drop", "1.0").unwrap();
    let layer = &manifest["layers"][0];
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(layer["mediaType"], "application/wasm");
    let config = registry.blob("acme/drop", manifest["config"]["digest"].as_str().unwrap()).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!((&config["architecture"], &config["layerDigests"][0]), (&json!("wasm"), &layer["digest"]));
    let exports = config["component"]["exports"].as_array().unwrap();
    assert!(exports.contains(&json!("sluice:filter/labels@0.1.0")), "{exports:?}");
}

/// What `cosign sign --key` puts beside an artefact.
fn sign(registry: &Registry, repository: &str, manifest: &str, pair: &EcdsaKeyPair) {
    let critical = json!({
        "identity": { "docker-reference": format!("{}/{repository}", registry.host()) },
        "image": { "docker-manifest-digest": manifest },
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

#[tokio::test]
async fn who_has_signed_a_component_is_said() {
    let registry = Registry::start(Lock::Open).await;
    let tag = format!("{}/acme/drop:1.0", registry.host());
    typing(move || {
        let author = Author::logged_in_to(&[]);
        author.succeeds(&["push", &tag, &author.file]);
        let (ours, _) = (author.key_pair("ours.pub"), author.key_pair("theirs.pub"));
        let by_key = ["inspect", &tag, "--key", "theirs.pub"];
        let unsigned = author.fails(&by_key);
        assert!(unsigned.contains("is not signed as --key says: it has no signature"), "{unsigned}");
        let (manifest, _) = registry.manifest("acme/drop", "1.0").unwrap();
        sign(&registry, "acme/drop", &manifest, &ours);
        let unchecked = author.inspected(&tag, &[])["signature"].clone();
        assert_eq!(unchecked, json!({ "isSigned": true, "isVerified": false, "key": null }));
        let checked = author.inspected(&tag, &["theirs.pub", "ours.pub"]);
        assert_eq!(checked["signature"]["isVerified"], true, "{checked}");
        assert!(checked["signature"]["key"].as_str().unwrap().starts_with("sha256:"), "{checked}");
        assert!(author.fails(&by_key).contains("a signature is of none of the keys"));
    })
    .await;
}

#[tokio::test]
async fn a_real_registry_takes_and_gives_what_the_fake_does() {
    let (docker, fake) = (DockerRegistry::start().await, Registry::start(Lock::Basic).await);
    let host = docker.as_ref().map_or_else(|| fake.host(), DockerRegistry::host);
    typing(move || Author::logged_in_to(&[&host]).walks(&host)).await;
    drop(docker);
}

#[tokio::test]
async fn who_pushes_says_who_they_are_as_docker_does_or_on_the_command_line() {
    for lock in [Lock::Basic, Lock::Token] {
        let registry = Registry::start(lock).await;
        let host = registry.host();
        typing(move || {
            let tag = format!("{host}/a:1");
            let stranger = Author::logged_in_to(&["example.com"]);
            let push = ["push", &tag, &stranger.file];
            let refused = stranger.fails(&push);
            assert!(refused.contains("access is denied"), "{refused}");
            let named = [&push[..], &["--username", USER.0, "--password-stdin"]].concat();
            let refused = stranger.fails_with(&named, "wrong\n");
            assert!(refused.contains("HTTP status 401 Unauthorized: authentication required"), "{refused}");
            assert!(stranger.fails_with(&named, "\n").contains("there is no password on standard input"));
            let entered = stranger.types(&named, &format!("{}\n", USER.1));
            assert_eq!(entered.status.code(), Some(0), "{entered:?}");
            Author::logged_in_to(&[&host]).succeeds(&["pull", &tag, "pulled.wasm"]);
            stranger.fails(&["pull", &tag, "pulled.wasm"]);
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_no_filter_is_not_shipped_and_what_is_no_reference_not_asked_for() {
    typing(|| {
        let author = Author::logged_in_to(&[]);
        fs::write(author.folder.path().join("bad.wasm"), "\0asm").unwrap();
        let refused = author.fails(&["push", "127.0.0.1:1/a:1", "bad.wasm"]);
        assert!(refused.contains("bad.wasm is not a filter"), "{refused}");
        let output = author.types(&["pull", "drop:1"], "");
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("names no registry; write it first, as in ghcr.io/acme/drop-go:1.0"), "{said}");
        let closed = author.fails(&["pull", "127.0.0.1:1/a:1"]);
        assert!(closed.contains("cannot connect to http://127.0.0.1:1: Connection refused"), "{closed}");
    })
    .await;
}
