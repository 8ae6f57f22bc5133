//! What the benchmarks share: CPU time of the thread, medians of interleaved rounds, and the floor of the same run beside
//! every figure. CPU time, because a busy machine lengthens wall time; interleaved, because a machine's speed drifts.
#![allow(clippy::print_stdout, dead_code, unreachable_pub)]

pub mod examples;
pub mod response;
pub mod series;

use std::hint::black_box;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};

/// Benchmarks over one set of data.
pub struct Group<'a> {
    title: String,
    samples: usize,
    bytes: usize,
    cases: Vec<Case<'a>>,
}

struct Case<'a> {
    name: String,
    is_floor: bool,
    /// Runs once; how long it took, in nanoseconds of CPU time.
    run: Box<dyn FnMut() -> u64 + 'a>,
    times: Vec<u64>,
    /// What a sample may cost, in nanoseconds.
    bound: Option<u32>,
}

/// Whether what was promised is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounds {
    Held,
    Broken,
}

impl std::process::Termination for Bounds {
    fn report(self) -> ExitCode {
        if self == Bounds::Held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl<'a> Group<'a> {
    /// A group whose cases each handle `samples` samples in `bytes` bytes.
    pub fn new(title: &str, samples: usize, bytes: usize) -> Group<'a> {
        Group { title: title.to_owned(), samples, bytes, cases: Vec::new() }
    }

    /// Work that nothing can do without; the floor is the sum of all of these.
    pub fn floor<T: 'a>(&mut self, name: &str, work: impl FnMut() -> T + 'a) {
        self.add(name, true, timed(|| (), ignoring_input(work)));
    }

    /// Work to measure.
    pub fn case<T: 'a>(&mut self, name: &str, work: impl FnMut() -> T + 'a) {
        self.add(name, false, timed(|| (), ignoring_input(work)));
    }

    /// Work to measure on something that is made anew each time, and whose making and dropping are not measured.
    pub fn case_with<I: 'a, T: 'a>(
        &mut self,
        name: &str,
        make: impl FnMut() -> I + 'a,
        work: impl FnMut(&mut I) -> T + 'a,
    ) {
        self.add(name, false, timed(make, work));
    }

    /// Work of which a sample may cost so much.
    pub fn bounded<T: 'a>(&mut self, name: &str, nanos: u32, work: impl FnMut() -> T + 'a) {
        self.case(name, work);
        self.cases.last_mut().expect("it was just added").bound = Some(nanos);
    }

    fn add(&mut self, name: &str, is_floor: bool, run: impl FnMut() -> u64 + 'a) {
        let (name, run) = (name.to_owned(), Box::new(run));
        self.cases.push(Case { name, is_floor, run, times: Vec::new(), bound: None });
    }

    /// Measures `rounds` rounds of all cases in turn, after one that warms up, and prints the medians. A bound is broken if no
    /// round keeps it: a busy machine makes rounds slower, never faster.
    pub fn run(mut self, rounds: usize) -> Bounds {
        for round in 0..=rounds {
            for case in &mut self.cases {
                let time = (case.run)();
                if round > 0 {
                    case.times.push(time);
                }
            }
        }
        self.print();
        self.print_bounds()
    }

    fn print(&mut self) {
        let floor: u64 = self.cases.iter_mut().filter(|c| c.is_floor).map(Case::median).sum();
        let (samples, bytes) = (self.samples as f64, self.bytes as f64);
        println!("\n{}: {} samples, {:.1} bytes each", self.title, self.samples, bytes / samples);
        println!("{:<48} {:>12} {:>10} {:>10}", "", "ns/sample", "GB/s", "x floor");
        let line = |name: &str, time: u64| {
            let (time, times) = (time as f64, time as f64 / floor.max(1) as f64);
            println!("{name:<48} {:>12.1} {:>10.2} {times:>10.2}", time / samples, bytes / time);
        };
        for case in &mut self.cases {
            let name = if case.is_floor { format!("floor: {}", case.name) } else { case.name.clone() };
            line(&name, case.median());
        }
        line("floor", floor);
    }
}

impl Group<'_> {
    fn print_bounds(&self) -> Bounds {
        let mut all = Bounds::Held;
        for case in &self.cases {
            let (Some(bound), Some(fastest)) = (case.bound, case.times.iter().min()) else { continue };
            let fastest = *fastest as f64 / self.samples as f64;
            let (word, bounds) =
                if fastest <= f64::from(bound) { ("held", Bounds::Held) } else { ("broken", Bounds::Broken) };
            println!("{:<48} bound {bound} ns: {word} (fastest round {fastest:.1})", case.name);
            all = if bounds == Bounds::Broken { bounds } else { all };
        }
        all
    }
}

impl Case<'_> {
    fn median(&mut self) -> u64 {
        self.times.sort_unstable();
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }
}

/// One group with one case: for a quick look.
pub fn measure<T>(name: &str, bytes: usize, samples: usize, floor: impl FnMut(), work: impl FnMut() -> T) {
    let mut group = Group::new(name, samples, bytes);
    group.floor("floor of the same run", floor);
    group.case(name, work);
    group.run(ROUNDS);
}

/// Rounds that give a steady median.
pub const ROUNDS: usize = 21;

fn ignoring_input<T>(mut work: impl FnMut() -> T) -> impl FnMut(&mut ()) -> T {
    move |()| work()
}

fn timed<I, T>(mut make: impl FnMut() -> I, mut work: impl FnMut(&mut I) -> T) -> impl FnMut() -> u64 {
    move || {
        let mut input = make();
        let start = cpu_nanos();
        let output = black_box(work(&mut input));
        let time = cpu_nanos() - start;
        drop(output);
        time
    }
}

/// CPU time of this thread, in nanoseconds.
pub fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
