//! The state file: JSON with a version, replaced as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Entry, Key};
use crate::model::{Digest, Tags, TenantId, Timestamp};

const VERSION: u32 = 1;

/// A cursor takes some 200 bytes, so this is a million of them.
const FILE_BYTES_MAX: u64 = 256 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    cursors: Vec<Row>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Tag>,
}

/// What a tag of a filter stood for.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tag {
    namespace: String,
    name: String,
    #[serde(rename = "ref")]
    reference: String,
    digest: String,
}

type Content = (BTreeMap<Key, Entry>, BTreeMap<TenantId, Tags>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    namespace: String,
    name: String,
    group: String,
    endpoint: String,
    /// Milliseconds since the epoch.
    delivered: i64,
    /// Nothing is owed for the time since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    ended: bool,
    /// Since when the tenant is gone, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vanished: Option<i64>,
}

/// Reads the file; none means no cursors. One that cannot be understood is moved aside.
pub(super) fn read(path: &Path) -> io::Result<Content> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(error) => return Err(error),
    };
    parse(&text).or_else(|cause| {
        let aside = beside(path, ".corrupt");
        std::fs::rename(path, &aside)?;
        tracing::warn!(
            path = %path.display(), aside = %aside.display(), %cause,
            "the state file cannot be understood and was moved aside; every pipeline starts at the present"
        );
        Ok(Content::default())
    })
}

fn parse(text: &[u8]) -> Result<Content, String> {
    let Document { version, cursors, tags } = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if version != VERSION {
        return Err(format!("its version is {version}, and this program writes {VERSION}"));
    }
    let entry = |row| {
        let Row { namespace, name, group, endpoint, delivered, ended, vanished } = row;
        let key = Key { tenant: TenantId { namespace, name }, group, endpoint };
        (key, Entry { delivered: Timestamp(delivered), ended, vanished: vanished.map(Timestamp) })
    };
    let mut by_tenant = BTreeMap::<TenantId, Tags>::new();
    for Tag { namespace, name, reference, digest } in tags {
        let digest: Digest = digest.parse().map_err(|error| format!("{digest:?} {error}"))?;
        by_tenant.entry(TenantId { namespace, name }).or_default().insert(reference, digest);
    }
    Ok((cursors.into_iter().map(entry).collect(), by_tenant))
}

/// Replaces the file: a reader, or the next start, sees the old one or the new one, never a part.
pub(super) fn write(
    path: &Path,
    cursors: &BTreeMap<Key, Entry>,
    tags: &BTreeMap<TenantId, Tags>,
) -> io::Result<()> {
    let row = |(key, entry): (&Key, &Entry)| {
        let Key { tenant: TenantId { namespace, name }, group, endpoint } = key.clone();
        let Entry { delivered, ended, vanished } = *entry;
        Row {
            namespace,
            name,
            group,
            endpoint,
            delivered: delivered.0,
            ended,
            vanished: vanished.map(|v| v.0),
        }
    };
    let tag = |(tenant, reference, digest): (&TenantId, &String, &Digest)| {
        let TenantId { namespace, name } = tenant.clone();
        Tag { namespace, name, reference: reference.clone(), digest: digest.to_string() }
    };
    let tags = tags.iter().flat_map(|(tenant, tags)| tags.iter().map(move |(r, d)| (tenant, r, d)));
    let cursors = cursors.iter().map(row).collect();
    let document = Document { version: VERSION, cursors, tags: tags.map(tag).collect() };
    let text = serde_json::to_vec(&document)?;

    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let new = beside(path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The rename itself must be on the disk too.
    File::open(folder)?.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
