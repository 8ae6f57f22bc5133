//! common::slots: what a filter knows of each series, by the series' number.

use sluice_filter::SeriesId;

/// Something about each of some series. Numbers are dense, so a look-up is an index.
#[derive(Debug)]
pub struct Slots<T>(Vec<Option<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots(Vec::new())
    }
}

impl<T> Slots<T> {
    /// Remembers; returns what was known of a series of that number.
    pub fn insert(&mut self, series: SeriesId, about: T) -> Option<T> {
        let index = series.0 as usize;
        if self.0.len() <= index {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index].replace(about)
    }

    /// What is known of a series.
    pub fn get(&self, series: SeriesId) -> Option<&T> {
        self.0.get(series.0 as usize)?.as_ref()
    }

    /// What is known of a series, to change it.
    pub fn get_mut(&mut self, series: SeriesId) -> Option<&mut T> {
        self.0.get_mut(series.0 as usize)?.as_mut()
    }

    /// Forgets a series; returns what was known of it.
    pub fn remove(&mut self, series: SeriesId) -> Option<T> {
        self.0.get_mut(series.0 as usize)?.take()
    }
}
