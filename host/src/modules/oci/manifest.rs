//! Manifest: what an artefact consists of, and which part of it is the module.
//!
//! In: a manifest as a registry gives it. Out: one layer, and how the module is in it. Never: a guess among several.
//!
//! The OCI image specification, docker's image manifest (version 2, schema 2) and its lists are read; the layouts are the
//! CNCF's (Wasm OCI Artifact), the single layers that older tools wrote, and an image made `FROM scratch`.

use serde::{Deserialize, Serialize};

use crate::model::Digest;

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What we understand; registries give what they have of it.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A layer that is the module itself.
pub(super) const WASM: &str = "application/wasm";
const WASM_TYPES: [&str; 3] =
    [WASM, "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"];

/// A layer that is an archive with the module in it. `oras` names files so too that are no archives.
const ARCHIVE_TYPES: [&str; 4] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
];

/// What of a media type is shown.
const SHOWN_CHARS_MAX: usize = 100;

/// A piece of content: its type, its digest, its size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub(super) annotations: std::collections::BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) artifact_type: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Platform {
    pub(super) architecture: String,
    pub(super) os: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u32,
    media_type: Option<String>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Manifest {
    /// Of one artefact: its layers.
    Image(Vec<Descriptor>),
    /// Of several ones, for different platforms.
    Index(Vec<Descriptor>),
}

/// How the module is in its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// It is the layer.
    Bare,
    /// The layer is an archive, or else it.
    Archive,
}

impl Descriptor {
    pub(super) fn sha256(&self) -> Result<Digest, String> {
        self.digest.parse().map_err(|error| format!("{:?} {error}", shown(&self.digest)))
    }
}

/// How every WebAssembly binary begins.
const COMPONENT: &[u8] = b"\0asm";

impl Manifest {
    /// Reads one. What the registry says of its type has to agree with what it says of itself: a document that is read in
    /// two ways by two programs was not signed as what we would run.
    pub(super) fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, String> {
        if bytes.starts_with(COMPONENT) {
            let cure = "write the digest of its manifest, which `sluice filter push` prints behind the @";
            return Err(format!("this is the component itself, not the artefact that holds it; {cure}"));
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest cannot be read: {error}"))?;
        let Document { schema_version, media_type, layers, manifests } = document;
        if schema_version != 2 {
            return Err(format!(
                "its manifest is of version {schema_version}; push it again with a newer tool"
            ));
        }
        let said = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        for media_type in media_type.as_deref().into_iter().chain(said) {
            let fits = match media_type {
                MANIFEST | DOCKER_MANIFEST => manifests.is_none(),
                INDEX | DOCKER_LIST => layers.is_none(),
                // Some servers know no types.
                "application/json" | "application/octet-stream" | "text/plain" => true,
                other => return Err(format!("its manifest is of type {}", shown(other))),
            };
            if !fits {
                return Err("its manifest is of two kinds at once".to_owned());
            }
        }
        match (layers, manifests) {
            (Some(layers), None) => Ok(Manifest::Image(layers)),
            (None, Some(manifests)) => Ok(Manifest::Index(manifests)),
            (Some(_), Some(_)) => Err("its manifest is of two kinds at once".to_owned()),
            (None, None) => Err("its manifest has no layers".to_owned()),
        }
    }
}

/// The layer with the module.
pub(super) fn module(layers: &[Descriptor]) -> Result<(&Descriptor, Packing), String> {
    let of = |types: &[&str]| -> Vec<&Descriptor> {
        layers.iter().filter(|layer| types.contains(&layer.media_type.as_str())).collect()
    };
    match (of(&WASM_TYPES).as_slice(), of(&ARCHIVE_TYPES).as_slice()) {
        ([layer], _) => Ok((layer, Packing::Bare)),
        ([], [layer]) => Ok((layer, Packing::Archive)),
        ([], []) => Err(format!("its layers are of type {}; push it with sluice filter push", types(layers))),
        ([], many) => {
            Err(format!("it is an image of {} layers; make it FROM scratch, with one file", many.len()))
        }
        (many, _) => Err(format!("it has {} modules; push one filter at a time", many.len())),
    }
}

/// The artefact of an index that is meant for us: the one for Wasm, or else the only one there is.
pub(super) fn wasm_platform(manifests: &[Descriptor]) -> Result<&Descriptor, String> {
    let is_wasm = |one: &&Descriptor| one.platform.as_ref().is_some_and(|p| p.architecture == "wasm");
    let wasm: Vec<_> = manifests.iter().filter(is_wasm).collect();
    let others: Vec<_> = manifests.iter().filter(|one| !is_attestation(one)).collect();
    match (wasm.as_slice(), others.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        _ => {
            let platforms: Vec<String> = others.iter().take(8).map(|one| platform(one)).collect();
            let platforms = if platforms.is_empty() { "none".to_owned() } else { platforms.join(", ") };
            Err(format!(
                "it is an index, and not for one platform wasm ({platforms}); name one by its digest"
            ))
        }
    }
}

/// What a builder says of an image lies beside it in the index.
fn is_attestation(one: &Descriptor) -> bool {
    one.annotations.contains_key("vnd.docker.reference.type")
}

fn platform(one: &Descriptor) -> String {
    one.platform.as_ref().map_or_else(|| "unknown".into(), |p| shown(&format!("{}/{}", p.os, p.architecture)))
}

fn types(layers: &[Descriptor]) -> String {
    let types: Vec<String> = layers.iter().take(4).map(|layer| shown(&layer.media_type)).collect();
    if types.is_empty() { "none".to_owned() } else { types.join(", ") }
}

/// A text of the registry's, fit to be shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(media_type: &str) -> serde_json::Value {
        json!({ "mediaType": media_type, "digest": Digest::of(media_type.as_bytes()).to_string(), "size": 1 })
    }

    fn image(types: &[&str]) -> Manifest {
        let layers: Vec<_> = types.iter().map(|ty| descriptor(ty)).collect();
        let text =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": {}, "layers": layers }).to_string();
        Manifest::read(text.as_bytes(), Some(MANIFEST)).unwrap()
    }

    fn chosen(types: &[&str]) -> Result<(String, Packing), String> {
        let Manifest::Image(layers) = image(types) else { panic!("an image") };
        module(&layers).map(|(layer, packing)| (layer.media_type.clone(), packing))
    }

    #[test]
    fn every_layout_has_one_layer_with_the_module() {
        for wasm in WASM_TYPES {
            assert_eq!(chosen(&[wasm]), Ok((wasm.into(), Packing::Bare)));
            assert_eq!(chosen(&["text/plain", wasm, ARCHIVE_TYPES[0]]), Ok((wasm.into(), Packing::Bare)));
        }
        for archive in ARCHIVE_TYPES {
            assert_eq!(chosen(&[archive]), Ok((archive.into(), Packing::Archive)));
        }
        for (types, why) in [
            (&[][..], "its layers are of type none"),
            (
                &["application/vnd.cncf.helm.chart.content.v1.tar+gzip"],
                "its layers are of type application/vnd.cncf",
            ),
            (&[WASM, WASM_TYPES[1]], "it has 2 modules"),
            (&[ARCHIVE_TYPES[1], ARCHIVE_TYPES[1]], "it is an image of 2 layers"),
        ] {
            let said = chosen(types).unwrap_err();
            assert!(said.starts_with(why), "{said}");
        }
    }

    #[test]
    fn of_an_index_the_one_for_wasm_is_taken_or_the_only_one() {
        let one = |os: &str, architecture: &str| {
            let mut one = descriptor(architecture);
            one["platform"] = json!({ "os": os, "architecture": architecture });
            one
        };
        let mut attestation = one("unknown", "unknown");
        attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        let taken = |manifests: &[serde_json::Value]| {
            let text = json!({ "schemaVersion": 2, "manifests": manifests }).to_string();
            let Manifest::Index(manifests) = Manifest::read(text.as_bytes(), Some(INDEX)).unwrap() else {
                panic!("an index")
            };
            wasm_platform(&manifests).map(|one| one.platform.clone().unwrap().architecture)
        };
        let (amd, arm, wasm) = (one("linux", "amd64"), one("linux", "arm64"), one("wasip1", "wasm"));
        assert_eq!(taken(&[amd.clone(), wasm.clone()]).unwrap(), "wasm");
        assert_eq!(taken(&[amd.clone(), attestation]).unwrap(), "amd64");
        let said = taken(&[amd, arm]).unwrap_err();
        assert!(said.contains("(linux/amd64, linux/arm64); name one by its digest"), "{said}");
        assert!(taken(&[wasm.clone(), wasm]).is_err());
        assert!(taken(&[]).unwrap_err().contains("(none)"));
    }

    #[test]
    fn a_manifest_is_of_one_kind() {
        let both = json!({ "schemaVersion": 2, "layers": [], "manifests": [] }).to_string();
        let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "layers": [] }).to_string();
        for (text, content_type, why) in [
            (both.as_str(), None, "its manifest is of two kinds at once"),
            (&list, None, "its manifest is of two kinds at once"),
            (r#"{"schemaVersion": 2, "layers": []}"#, Some(INDEX), "its manifest is of two kinds at once"),
            (
                r#"{"schemaVersion": 1}"#,
                None,
                "its manifest is of version 1; push it again with a newer tool",
            ),
            (r#"{"schemaVersion": 2}"#, None, "its manifest has no layers"),
            (
                r#"{"schemaVersion": 2, "layers": []}"#,
                Some("text/html; a=b"),
                "its manifest is of type text/html",
            ),
        ] {
            assert_eq!(Manifest::read(text.as_bytes(), content_type), Err(why.to_owned()), "{text}");
        }
        assert!(Manifest::read(b"<html>", None).unwrap_err().starts_with("its manifest cannot be read: "));
        let component = Manifest::read(b"\0asm\x0d\0\x01\0", None).unwrap_err();
        assert!(component.starts_with("this is the component itself"), "{component}");
        let plain = Manifest::read(br#"{"schemaVersion": 2, "layers": []}"#, Some("application/json"));
        assert_eq!(plain, Ok(Manifest::Image(Vec::new())));
    }
}
