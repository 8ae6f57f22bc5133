//! Faults: what the receiver's own Prometheus holds after everything that can go wrong has gone wrong.
//!
//! Each scenario has a real source and a real receiver, each behind a line that can be cut or torn and a front that answers
//! wrongly. Something goes wrong for a while; then everything is well again, and every sample of every tick is compared with
//! what the source answers. `SLUICE_SOAK` is how many seconds a fault lasts, and how often what is done again and again is
//! done; without it they are short.

mod account;
mod kills;
mod late;
mod pair;
mod receivers;
mod replicas;
mod scene;
mod source;
mod sources;
mod table;
mod way;

use libtest_mimic::{Arguments, Failed, Trial};

use scene::Account;
use way::Way;

/// What a scenario does, and what it found.
type Scenario = (&'static str, fn() -> futures::future::LocalBoxFuture<'static, Account>);

/// A scenario by the name of its function.
macro_rules! scenario {
    ($room:ident :: $name:ident) => {
        (stringify!($name), || Box::pin($room::$name()) as futures::future::LocalBoxFuture<'static, Account>)
    };
}

const SCENARIOS: &[Scenario] = &[
    scenario!(receivers::the_receiver_is_down),
    scenario!(receivers::the_receiver_answers_500),
    scenario!(receivers::the_receiver_asks_for_patience_in_seconds),
    scenario!(receivers::the_receiver_asks_for_patience_with_a_date),
    scenario!(receivers::the_receiver_reads_slowly),
    scenario!(receivers::the_line_to_the_receiver_breaks_in_the_middle_of_a_request),
    scenario!(receivers::the_receiver_takes_it_and_says_503),
    scenario!(receivers::it_is_stopped_while_the_receiver_is_away),
    scenario!(receivers::many_wait_for_an_endpoint_that_is_dead),
    scenario!(sources::the_source_is_down),
    scenario!(sources::the_source_is_slow),
    scenario!(sources::answers_of_the_source_break_off),
    scenario!(sources::the_source_answers_nonsense),
    scenario!(sources::the_source_flaps),
    scenario!(sources::a_tick_takes_longer_than_its_interval),
    scenario!(sources::one_of_two_sources_is_down),
    scenario!(sources::an_answer_is_larger_than_is_read),
    scenario!(sources::the_source_forgets_everything),
    scenario!(replicas::one_of_two_replicas_lags),
    scenario!(late::scrapes_take_long),
    scenario!(late::a_target_is_removed),
    scenario!(late::a_recording_rule_is_slow),
    scenario!(late::the_clock_of_the_source_is_ahead),
    scenario!(late::the_clock_of_the_source_is_behind),
    scenario!(pair::two_processes_are_killed_in_turns),
    scenario!(kills::it_is_killed_again_and_again),
];

/// Those that are played once more with all samples taken as they are stored.
const RAW: &[Scenario] = &[
    scenario!(receivers::the_receiver_is_down),
    scenario!(receivers::the_line_to_the_receiver_breaks_in_the_middle_of_a_request),
    scenario!(receivers::the_receiver_takes_it_and_says_503),
    scenario!(receivers::it_is_stopped_while_the_receiver_is_away),
    scenario!(sources::the_source_is_down),
    scenario!(sources::answers_of_the_source_break_off),
    scenario!(sources::the_source_flaps),
    scenario!(sources::one_of_two_sources_is_down),
    scenario!(late::scrapes_take_long),
    scenario!(late::a_target_is_removed),
    scenario!(kills::it_is_killed_again_and_again),
];

/// Scenarios at once, unless somebody says otherwise.
const AT_ONCE: usize = 8;

fn main() {
    let mut arguments = Arguments::from_args();
    // They wait, and hardly work.
    arguments.test_threads.get_or_insert(AT_ONCE);
    let trial = |way: Way, (name, run): &Scenario| {
        let (name, run) = (way.name(name), *run);
        Trial::test(name.clone(), move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let account = runtime.expect("a runtime can be built").block_on(way.play(run()));
            table::note(&name, &account);
            account.judged().map_err(Failed::from)
        })
    };
    let sampled = SCENARIOS.iter().map(|scenario| trial(Way::Sampled, scenario));
    let raw = RAW.iter().map(|scenario| trial(Way::Raw, scenario));
    // Those that take longest stand last, and begin first.
    let conclusion = libtest_mimic::run(&arguments, raw.rev().chain(sampled.rev()).collect());
    table::print();
    conclusion.exit();
}
