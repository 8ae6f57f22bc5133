//! Input: what filters are shown at a desk.
//!
//! In: files, URLs, standard input. Out: samples, and configurations. Never: more of a scrape than fits on a desk.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::progress::patiently;
use super::size;
use crate::http;
use crate::model::exposition::{self, Sample};
use crate::workbench::Configuration;

/// The largest scrape that is read.
const SCRAPE_BYTES_MAX: usize = 256 << 20;

/// A filter's configuration; an empty one if there is no file.
pub(super) fn config(path: Option<&PathBuf>) -> anyhow::Result<Configuration> {
    let none = || Configuration::none("write its configuration in a file, and name that with --config FILE");
    Ok(path.map_or_else(|| Ok(none()), |path| Configuration::read(path))?)
}

/// All scrapes, in the order of time.
pub(super) fn scrapes(from: &[String]) -> anyhow::Result<Vec<Vec<Sample>>> {
    let mut scrapes = Vec::new();
    for from in from {
        let text = match from.as_str() {
            "-" => {
                let mut text = String::new();
                std::io::stdin().take(SCRAPE_BYTES_MAX as u64).read_to_string(&mut text)?;
                text
            }
            url if url.starts_with("http://") || url.starts_with("https://") => fetch(url)?,
            file => std::fs::read_to_string(file).with_context(|| file.to_owned())?,
        };
        scrapes.extend(exposition::parse(&text).with_context(|| from.clone())?);
    }
    Ok(scrapes)
}

fn fetch(url: &str) -> anyhow::Result<String> {
    let client = http::Client::new(&http::Config::default())?;
    let request = ::http::Request::get(url).body(Bytes::new()).with_context(|| url.to_owned())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let received = AtomicUsize::new(0);
    let fetch = async {
        let response = client.send(request, &http::Timeouts::default()).await?;
        let status = response.status;
        if !status.is_success() {
            bail!("{url}: answered with HTTP status {status}");
        }
        let count = |bytes| _ = received.fetch_add(bytes, Ordering::Relaxed);
        let body = response.read_telling(SCRAPE_BYTES_MAX, count).await?;
        String::from_utf8(body.to_vec()).with_context(|| format!("{url}: its answer is not UTF-8"))
    };
    let what = || format!("reading {url}, {} so far", size(received.load(Ordering::Relaxed)));
    patiently(what, || runtime.block_on(fetch))
}
