use super::*;

fn verdicts(outcomes: &str) -> String {
    let (config, mut seen) = (Config::default(), Seen::default());
    let one = |(at, outcome): (i64, char)| {
        match outcome {
            '+' => seen.answered(&config, Timestamp(at)),
            _ => seen.failed(&config, "refused".into(), Timestamp(at)),
        }
        match seen.state {
            State::Unknown => '?',
            State::Up => 'u',
            State::Down => 'd',
        }
    };
    (0..).zip(outcomes.chars()).map(one).collect()
}

#[test]
fn a_verdict_takes_three_failures_or_two_successes() {
    for (outcomes, states) in [
        ("+", "u"),
        ("--+", "??u"),
        ("---", "??d"),
        ("+--+--+---", "uuuuuuuuud"),
        ("---+-++", "??ddddu"),
        ("---++--", "??dduuu"),
    ] {
        assert_eq!(verdicts(outcomes), states, "{outcomes}");
    }
}
