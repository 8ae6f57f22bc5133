//! Origin: one source as everything that asks it shares it: its connections, its streams, its health.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use crate::http::Client;
use crate::model::{Memory, Source};

use super::gate::Gate;
use super::health::Health;
use super::lock;
use super::plan::Shape;
use super::stream::Stream;
use super::{Cause, Config, Error, Observer};

/// A source with everything that is shared between the pipelines that ask it.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) source: Arc<Source>,
    pub(super) client: Client,
    pub(super) config: Config,
    pub(super) observer: Observer,
    pub(super) memory: Memory,
    pub(super) health: Mutex<Health>,
    /// One permit a request: a source is not stormed by its own streams, nor taken by one namespace's.
    pub(super) gate: Gate,
    streams: Mutex<HashMap<Shape, Weak<Stream>>>,
}

impl Origin {
    pub(super) fn new(
        source: Arc<Source>,
        client: Client,
        config: Config,
        observer: Observer,
        memory: Memory,
    ) -> Origin {
        Origin {
            gate: Gate::new(config.requests_per_source_max),
            health: Mutex::default(),
            streams: Mutex::default(),
            source,
            client,
            config,
            observer,
            memory,
        }
    }

    /// The stream of a shape, new if nobody asks for it yet.
    pub(super) fn stream(self: &Arc<Origin>, shape: &Shape) -> Arc<Stream> {
        let mut streams = lock(&self.streams);
        if let Some(stream) = streams.get(shape).and_then(Weak::upgrade) {
            return stream;
        }
        streams.retain(|_, stream| stream.strong_count() > 0);
        let stream = Arc::new(Stream::new(self.clone(), shape.clone()));
        streams.insert(shape.clone(), Arc::downgrade(&stream));
        stream
    }

    /// Series in the newest answers of all streams.
    pub(super) fn series(&self) -> usize {
        // Collected first: the last owner of a stream may be this loop, and dropping it takes no lock we hold.
        let streams: Vec<_> = lock(&self.streams).values().filter_map(Weak::upgrade).collect();
        streams.iter().map(|stream| stream.series()).sum()
    }

    pub(super) fn error(&self, cause: Arc<Cause>) -> Error {
        Error { server: self.source.name.clone(), cause }
    }
}
