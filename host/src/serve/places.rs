//! Places: who is here, by address, and who leaves for somebody new.
//!
//! In: addresses that connect, requests that begin and end. Out: a place, or none. Never: a client let go that has an answer under way;
//! an address of which nobody is here turned away while others keep places and ask for nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Clients of a listener at once: servers that scrape, probes, people. Others are turned away.
pub(super) const CLIENTS_MAX: usize = 256;

/// Those of one address.
pub(super) const CLIENTS_OF_ADDRESS_MAX: usize = 64;

/// Places that are kept for addresses of which nobody is here, so that probes find one.
const NEWCOMERS: usize = 64;

/// Who has asked for nothing for so long leaves for somebody new, if there is no other place.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// Who is here.
#[derive(Debug, Clone, Default)]
pub(super) struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    by_address: HashMap<IpAddr, Vec<Seat>>,
    all: usize,
    /// How many ever came.
    came: u64,
}

#[derive(Debug)]
struct Seat {
    number: u64,
    /// Since when nothing was asked; none while an answer is under way.
    idle: Option<Instant>,
    leave: CancellationToken,
}

/// One client's; dropped, it is free.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    address: IpAddr,
    number: u64,
    leave: CancellationToken,
}

/// An answer under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Place>);

impl Places {
    /// A place for a client of this address, if there is one, or somebody can leave.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let mut taken = self.lock();
        let (own, free) = (taken.of(address), CLIENTS_MAX - taken.all);
        let has_room = match own {
            0 => free > 0,
            own => own < CLIENTS_OF_ADDRESS_MAX && free > NEWCOMERS,
        };
        if !has_room {
            taken.let_go((own > 0).then_some(address))?;
        }
        let (number, leave) = (taken.came, CancellationToken::new());
        taken.came += 1;
        taken.all += 1;
        let seat = Seat { number, idle: Some(Instant::now()), leave: leave.clone() };
        taken.by_address.entry(address).or_default().push(seat);
        Some(Place { places: self.clone(), address, number, leave })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).map_or(0, Vec::len)
    }

    /// Tells who is idle for longest to leave, of this address or of the one that has the most.
    fn let_go(&mut self, of: Option<IpAddr>) -> Option<()> {
        let idle = self.by_address.iter().filter(|(address, _)| of.is_none_or(|of| of == **address));
        let idle = idle.flat_map(|(address, seats)| {
            let since = seats.iter().filter_map(|seat| Some((seat.idle?, seat.number)));
            since.min().map(|(since, number)| (seats.len(), since.elapsed(), *address, number))
        });
        let (_, _, address, number) =
            idle.filter(|(_, idle, ..)| *idle >= IDLE_MIN).max_by_key(|(seats, idle, ..)| (*seats, *idle))?;
        self.seat(address, number)?.leave.cancel();
        self.leave(address, number);
        Some(())
    }

    fn seat(&mut self, address: IpAddr, number: u64) -> Option<&mut Seat> {
        self.by_address.get_mut(&address)?.iter_mut().find(|seat| seat.number == number)
    }

    fn leave(&mut self, address: IpAddr, number: u64) {
        let Some(seats) = self.by_address.get_mut(&address) else { return };
        let before = seats.len();
        seats.retain(|seat| seat.number != number);
        self.all -= before - seats.len();
        if seats.is_empty() {
            self.by_address.remove(&address);
        }
    }
}

impl Place {
    /// Returns when the place is somebody else's.
    pub(super) async fn left(&self) {
        self.leave.cancelled().await;
    }

    /// From now on, until what is returned is dropped, an answer is under way.
    pub(super) fn busy(self: &Arc<Place>) -> Busy {
        self.is_idle(None);
        Busy(self.clone())
    }

    fn is_idle(&self, since: Option<Instant>) {
        if let Some(seat) = self.places.lock().seat(self.address, self.number) {
            seat.idle = since;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.is_idle(Some(Instant::now()));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().leave(self.address, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: usize) -> IpAddr {
        IpAddr::from([10, 0, (n >> 8) as u8, n as u8])
    }

    fn of(places: &Places, address: IpAddr, count: usize) -> Vec<Arc<Place>> {
        (0..count).map_while(|_| places.take(address)).map(Arc::new).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn all_places_are_counted() {
        let places = Places::default();
        let mut taken: Vec<_> = (0..CLIENTS_MAX).map(|n| places.take(address(n)).unwrap()).collect();
        assert!(places.take(address(CLIENTS_MAX)).is_none());
        taken.pop();
        assert!(places.take(address(CLIENTS_MAX)).is_some());
        drop(taken);
        assert!(places.lock().by_address.is_empty(), "nobody is remembered who is gone");
        assert_eq!(places.lock().all, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn four_addresses_that_take_all_they_can_leave_places_for_others() {
        let places = Places::default();
        let all: Vec<_> = (0..4).flat_map(|n| of(&places, address(n), CLIENTS_MAX)).collect();
        let _busy: Vec<_> = all.iter().map(Place::busy).collect();
        tokio::time::advance(2 * IDLE_MIN).await;
        assert_eq!(all.len(), CLIENTS_MAX - NEWCOMERS + 1);
        let others: Vec<_> = (4..CLIENTS_MAX).map_while(|n| places.take(address(n))).collect();
        assert_eq!(others.len(), NEWCOMERS - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_idle_for_longest_leaves_for_somebody_new() {
        let places = Places::default();
        let here = of(&places, address(0), CLIENTS_OF_ADDRESS_MAX);
        assert!(places.take(address(0)).is_none(), "all were here a moment ago");
        let answers: Vec<_> = here[1..].iter().map(Place::busy).collect();
        tokio::time::advance(IDLE_MIN).await;
        let new = places.take(address(0)).unwrap();
        assert!(here[0].leave.is_cancelled() && !new.leave.is_cancelled());
        assert!(here[1..].iter().all(|place| !place.leave.is_cancelled()), "theirs are under way");
        tokio::time::advance(IDLE_MIN).await;
        drop(answers);
        let newer = places.take(address(0));
        assert!(newer.is_some() && new.leave.is_cancelled());
        assert!(places.take(address(0)).is_none());
        assert_eq!(places.lock().all, CLIENTS_OF_ADDRESS_MAX);
        drop((here, new, newer));
        assert_eq!(places.lock().all, 0, "who was told to leave leaves once");
    }
}
