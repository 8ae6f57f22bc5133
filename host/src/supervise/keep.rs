//! Keep: one tenant's pipeline, replaced whenever something else is wanted.
//!
//! In: orders. Out: one pipeline at a time. Never: a pipeline stopped for one that cannot run, unless what is wanted of it
//! besides its filters changed too.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::equip::{self, Equipped, Outfit, Trouble};
use super::{Order, Site, Wanted};
use crate::model::{Tags, Tenant, TenantId};
use crate::pipeline::{self, Fitted, Lane, Pipeline};
use crate::status::bounded_text;

/// How long a request under way may hold up a change of its own resource.
const REPLACE_GRACE: Duration = Duration::from_millis(500);

/// How long a request under way may hold up the end of the program, or a change that is none of its own resource's: a
/// source that came, or another resource because of which this one is moved. Else whoever can cause such changes could
/// keep a slow receiver's requests from ever being answered.
const STOP_GRACE: Duration = Duration::from_secs(15);

/// After filters could not be had, they are asked for again this much later, then twice that, up to the maximum.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);

/// One tenant's keeper.
struct Keeper {
    site: Site,
    id: TenantId,
    orders: watch::Receiver<Order>,
    /// What is being done.
    order: Order,
    running: Option<Running>,
    /// Those of the pipeline before, while there is none.
    lanes: Vec<Lane>,
    /// The newest filters that were ready, and whose they were.
    good: Option<(Arc<Tenant>, Outfit)>,
    failures: u32,
}

struct Running {
    wanted: Wanted,
    halt: CancellationToken,
    cut: CancellationToken,
    task: JoinHandle<Vec<Lane>>,
}

/// What ends waiting.
#[derive(PartialEq, Eq)]
enum Woken {
    Ordered,
    Stopped,
    /// The pipeline ended by itself, to be built anew.
    Ended,
    /// It is time to try again.
    Retry,
}

/// Whether the keeper goes on.
enum Next {
    /// With the newest order, at once: something came meanwhile, even if it was taken back.
    Look,
    /// With the next order, or, after so long, with this one again.
    Wait(Option<Duration>),
    End,
}

/// Runs one tenant's pipeline until it is to be retired or handed over, or the program ends.
pub(super) async fn keep(site: Site, id: TenantId, orders: watch::Receiver<Order>) -> TenantId {
    let (lanes, good, order) = (Vec::new(), None, orders.borrow().clone());
    let mut keeper = Keeper { site, id, orders, order, running: None, lanes, good, failures: 0 };
    loop {
        keeper.order = keeper.orders.borrow_and_update().clone();
        let retry = match keeper.obey().await {
            Next::Look => continue,
            Next::Wait(retry) => retry,
            Next::End => return keeper.id,
        };
        if keeper.wait(retry).await == Woken::Stopped {
            keeper.halt().await;
            return keeper.id;
        }
    }
}

impl Keeper {
    async fn obey(&mut self) -> Next {
        let TenantId { namespace, name } = self.id.clone();
        match self.order.clone() {
            Order::Run(wanted) => return self.run(wanted).await,
            Order::Pause => {
                self.halt().await;
                info!(%namespace, %name, "Remote write job paused");
                return Next::Wait(None);
            }
            Order::HandOver => {
                self.halt().await;
                info!(%namespace, %name, "Remote write job handed over");
            }
            Order::Retire => {
                self.halt().await;
                if self.site.stop.is_cancelled() {
                    return Next::End;
                }
                pipeline::retire(std::mem::take(&mut self.lanes)).await;
                self.site.deps.cursors.set_tags(&self.id, Tags::new());
                info!(%namespace, %name, "Remote write job removed");
            }
        }
        self.site.deps.forget(&self.id);
        Next::End
    }

    /// Gets the filters ready, while what runs goes on; then replaces it.
    async fn run(&mut self, wanted: Wanted) -> Next {
        let Site { deps, equipment, .. } = self.site.clone();
        let known = self.good.as_ref().map(|(_, outfit)| outfit.clone()).unwrap_or_default();
        let equipping = equipment.outfit(&deps, &wanted.tenant, &wanted.groups, &known);
        let equipped = tokio::select! {
            equipped = equipping => equipped,
            changed = self.orders.changed() => {
                return if changed.is_ok() { Next::Look } else { Next::Wait(None) };
            }
            () = self.site.stop.cancelled() => return Next::Wait(None),
        };
        match equipped {
            Ok(Equipped { outfit, fitted }) => match self.replace(&wanted, &outfit, fitted).await {
                Ok(next) => {
                    if std::mem::take(&mut self.failures) > 0 {
                        let TenantId { namespace, name } = &self.id;
                        info!(%namespace, %name, "Filters are ready");
                    }
                    self.good = Some((wanted.tenant, outfit));
                    next
                }
                Err(error) => {
                    error.show(&self.site.deps, &wanted.tenant);
                    self.without(wanted, error.into()).await
                }
            },
            Err(trouble) => self.without(wanted, trouble).await,
        }
    }

    /// The filters are not ready. Where nothing else changed, the last ones that were go on; else the pipeline waits.
    async fn without(&mut self, wanted: Wanted, trouble: Trouble) -> Next {
        let TenantId { namespace, name } = &self.id;
        let stays =
            self.good.as_ref().is_some_and(|(tenant, _)| differs_in_filters_alone(tenant, &wanted.tenant));
        let runs = if stays { "those of before" } else { "nothing" };
        let error = bounded_text(trouble.error.to_string());
        warn!(%namespace, %name, error, runs, "Filters are not ready");
        self.failures = self.failures.saturating_add(1);
        let pause = RETRY_FIRST.saturating_mul(1 << (self.failures - 1).min(16)).min(RETRY_MAX);
        let next = Next::Wait(trouble.may_pass.then_some(pause));
        let good = self.good.clone().filter(|(tenant, _)| differs_in_filters_alone(tenant, &wanted.tenant));
        let Some((tenant, outfit)) = good else {
            self.halt().await;
            self.site.deps.refused(&wanted.tenant, &trouble.error);
            return next;
        };
        let before = Wanted { tenant, groups: wanted.groups };
        match self.replace(&before, &outfit, None).await {
            Ok(Next::Look) => Next::Look,
            Ok(_) => next,
            // Those of before have no place any more either. It may be a moment until they have.
            Err(error) => {
                self.site.deps.refused(&before.tenant, &error);
                Next::Wait(Some(pause))
            }
        }
    }

    /// Puts a pipeline in the place of the one that runs, if it is another one. Filters that are not `fitted` yet find their
    /// room where those of the one that runs had theirs.
    async fn replace(
        &mut self,
        wanted: &Wanted,
        outfit: &Outfit,
        fitted: Option<Fitted>,
    ) -> Result<Next, equip::Error> {
        if self.running.as_ref().is_some_and(|running| running.wanted == *wanted) {
            return Ok(Next::Wait(None));
        }
        self.halt().await;
        if self.site.stop.is_cancelled() {
            return Ok(Next::Wait(None));
        }
        if self.is_overtaken() {
            return Ok(Next::Look);
        }
        let deps = self.site.deps.clone();
        let fitted = match fitted {
            Some(fitted) => fitted,
            None => {
                let equipment = self.site.equipment.clone();
                equipment.fitted(&deps, &wanted.tenant, &wanted.groups, outfit).await?
            }
        };
        let former = std::mem::take(&mut self.lanes);
        match Pipeline::build(&deps, &wanted.tenant, fitted, &wanted.groups, former) {
            Ok(pipeline) => {
                let (halt, cut) = (self.site.stop.child_token(), pipeline.cut());
                let task = tokio::spawn(pipeline.run(halt.clone()));
                self.running = Some(Running { wanted: wanted.clone(), halt, cut, task });
            }
            Err(error) => deps.refused(&wanted.tenant, &error),
        }
        Ok(Next::Wait(None))
    }

    /// Stops what runs, between two ticks.
    async fn halt(&mut self) {
        let Some(Running { wanted, halt, cut, mut task }) = self.running.take() else { return };
        halt.cancel();
        let lanes = tokio::select! {
            biased;
            ended = &mut task => ended.unwrap_or_default(),
            () = patience(&wanted, &mut self.orders, &self.site.stop) => {
                cut.cancel();
                task.await.unwrap_or_default()
            }
        };
        self.lanes = laid_down(lanes);
    }

    /// Whether something else is wanted by now. Somebody who waited for something else may have seen it come.
    fn is_overtaken(&self) -> bool {
        *self.orders.borrow() != self.order
    }

    async fn wait(&mut self, retry: Option<Duration>) -> Woken {
        if self.is_overtaken() {
            return Woken::Ordered;
        }
        let Keeper { site, orders, running, lanes, .. } = self;
        let ended = async {
            match running {
                Some(running) => (&mut running.task).await.unwrap_or_default(),
                None => std::future::pending().await,
            }
        };
        let retry = async {
            match retry {
                Some(pause) => sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // By itself a pipeline ends only to be built anew.
            ended = ended => {
                (*running, *lanes) = (None, laid_down(ended));
                Woken::Ended
            }
            () = site.stop.cancelled() => Woken::Stopped,
            _ = orders.changed() => Woken::Ordered,
            () = retry => Woken::Retry,
        }
    }
}

/// Lanes that run no more, without their filters: what is built next needs the room.
fn laid_down(mut lanes: Vec<Lane>) -> Vec<Lane> {
    lanes.iter_mut().for_each(Lane::lay_down);
    lanes
}

/// Waits as long as a request of `now` may take from here on. An edit of the resource itself ends the patience with
/// what others changed.
async fn patience(now: &Wanted, orders: &mut watch::Receiver<Order>, stop: &CancellationToken) {
    let end = Instant::now() + STOP_GRACE;
    let edited = async {
        while !stop.is_cancelled() && !is_own_edit(now, &orders.borrow_and_update()) {
            tokio::select! {
                () = stop.cancelled() => {}
                changed = orders.changed() => if changed.is_err() { break },
            }
        }
        if stop.is_cancelled() {
            std::future::pending::<()>().await;
        }
        sleep(REPLACE_GRACE).await;
    };
    tokio::select! {
        () = sleep_until(end) => {}
        () = edited => {}
    }
}

/// Whether an order is because of the tenant's own resource, and not because of sources, other tenants or replicas.
fn is_own_edit(now: &Wanted, order: &Order) -> bool {
    match order {
        Order::Run(next) => !Arc::ptr_eq(&now.tenant, &next.tenant) && now.tenant != next.tenant,
        Order::HandOver => false,
        Order::Pause | Order::Retire => true,
    }
}

/// Whether nothing is wanted anew of a tenant but other filters.
fn differs_in_filters_alone(good: &Tenant, wanted: &Tenant) -> bool {
    Tenant { filters: good.filters.clone(), ..wanted.clone() } == *good
}
