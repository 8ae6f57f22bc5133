//! Opaque: native histograms at an endpoint that takes none.
//!
//! In: requests, and what the endpoint said. Out: the same requests without their histograms, which are counted. Never: floats held up by
//! histograms beside them; an endpoint asked again at every tick.

use std::time::Duration;

use tokio::time::Instant;

use super::lane::Context;
use super::sending::Taken;
use crate::deliver::encode::Request;
use crate::deliver::{Error, split};
use crate::telemetry::Refusal;

/// How long an endpoint is sent no histograms after it said that it takes none: it may be started anew with them.
const REFUSED_FOR: Duration = Duration::from_secs(600);

/// What an endpoint said of histograms last.
#[derive(Debug, Default)]
pub(super) struct Opaque(Option<(Instant, String)>);

impl Opaque {
    /// Why it is sent none now.
    pub(super) fn refused(&self, now: Instant) -> Option<&str> {
        let lately = self.0.as_ref().filter(|(at, _)| now.duration_since(*at) < REFUSED_FOR);
        lately.map(|(_, said)| &**said)
    }

    /// It said that it takes none.
    pub(super) fn learn(&mut self, said: String, now: Instant) {
        self.0 = Some((now, said));
    }
}

/// What is to be sent of a request where its histograms are not taken, which are counted; `None` if it has none.
pub(super) fn without_histograms(
    context: &Context,
    request: &Request,
    said: &str,
    taken: &mut Taken,
) -> Option<Vec<Request>> {
    let split::Stripped { rest, example } = split::without_histograms(request)?;
    context.refused(Refusal::Histograms, request.histograms);
    taken.refused += request.histograms;
    taken.opaque = Some(example);
    taken.why = Some(Error::Histograms { message: said.to_owned() });
    Some(rest.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_none_is_asked_again_after_a_while() {
        let (mut opaque, now) = (Opaque::default(), Instant::now());
        assert_eq!(opaque.refused(now), None);
        opaque.learn("disabled".to_owned(), now);
        assert_eq!(opaque.refused(now + REFUSED_FOR / 2), Some("disabled"));
        assert_eq!(opaque.refused(now + REFUSED_FOR), None);
    }
}
