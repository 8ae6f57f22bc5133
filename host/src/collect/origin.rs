//! Origin: one source as everything that asks it shares it: its connections, its streams, its health.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};

use tokio::time::Instant;

use crate::http::Client;
use crate::model::{Memory, Source, Tick, Timestamp};

use super::gate::Gate;
use super::health::{Health, is_to_come};
use super::lock;
use super::metadata::{Known, Turns};
use super::plan::Shape;
use super::stream::{Content, Stream};
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
    /// Whether its range queries say something else of a moment than its queries at that moment.
    pub(super) ranges_differ: AtomicBool,
    /// Until when it is not asked to read stored samples, because it cannot.
    pub(super) unread_until: Mutex<Option<Instant>>,
    /// What it says of its metrics.
    pub(super) metadata: Known,
    pub(super) turns: Turns,
    streams: Mutex<HashMap<(Shape, Content), Weak<Stream>>>,
}

impl Origin {
    pub(super) fn new(
        source: Arc<Source>,
        client: Client,
        config: Config,
        observer: Observer,
        memory: Memory,
        turns: Turns,
    ) -> Origin {
        Origin {
            gate: Gate::new(config.requests_per_source_max),
            health: Mutex::default(),
            ranges_differ: AtomicBool::default(),
            unread_until: Mutex::default(),
            streams: Mutex::default(),
            metadata: Known::default(),
            turns,
            source,
            client,
            config,
            observer,
            memory,
        }
    }

    /// The stream of a shape, new if nobody asks for it yet.
    pub(super) fn stream(self: &Arc<Origin>, shape: &Shape, content: Content) -> Arc<Stream> {
        let mut streams = lock(&self.streams);
        let key = (shape.clone(), content);
        if let Some(stream) = streams.get(&key).and_then(Weak::upgrade) {
            return stream;
        }
        streams.retain(|_, stream| stream.strong_count() > 0);
        let stream = Arc::new(Stream::new(self.clone(), shape.clone(), content));
        streams.insert(key, Arc::downgrade(&stream));
        stream
    }

    /// Series in the newest answers of all streams.
    pub(super) fn series(&self) -> usize {
        // Collected first: the last owner of a stream may be this loop, and dropping it takes no lock we hold.
        let streams: Vec<_> = lock(&self.streams).values().filter_map(Weak::upgrade).collect();
        streams.iter().map(|stream| stream.series()).sum()
    }

    /// Whether a tick has passed by the source's clock, as far as it is known.
    pub(super) fn has_passed(&self, tick: Tick, now: Timestamp) -> bool {
        !is_to_come(tick, now, self.source.lag, lock(&self.health).skew_millis)
    }

    pub(super) fn error(&self, cause: Arc<Cause>) -> Error {
        Error { server: self.source.name.clone(), cause }
    }
}
