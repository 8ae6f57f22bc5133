//! Empty world: looks around with the standard library, as a guest of `wasm32-wasip2` can, and marks every series with what it
//! found. Its configuration, a JSON string, says what else it does.
#![expect(clippy::print_stdout, reason = "where that leads to is what is tested")]

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use sluice_filter::{LabelFilter, Series, Tenant, Verdict};

/// The filter.
#[derive(Debug)]
pub struct EmptyWorld {
    deed: String,
    configured: Duration,
}

impl LabelFilter for EmptyWorld {
    type Config = String;

    fn new(deed: String, _tenant: &Tenant) -> Result<Self, String> {
        Ok(EmptyWorld { deed, configured: since_1970() })
    }

    fn classify(&mut self, series: &mut Series<'_>) -> Verdict {
        match self.deed.as_str() {
            "look" => self.look(series),
            "throw dice" => series.set("dice", &dice()),
            "print" => {
                print!("to the ");
                println!("log");
                eprintln!("and a warning");
                print!("without an end");
                std::io::stdout().flush().expect("it is taken");
            }
            "sleep" => {
                let before = Instant::now();
                std::thread::sleep(Duration::from_secs(3_600));
                series.set("slept", &format!("{:?}", before.elapsed()));
            }
            "fail" => {
                eprintln!("the reason");
                std::process::abort();
            }
            "exit" => std::process::exit(3),
            "wait for time to pass" => {
                let before = Instant::now();
                while before.elapsed().is_zero() {}
            }
            other => panic!("nobody has taught me to {other}"),
        }
        Verdict::Keep
    }
}

impl EmptyWorld {
    fn look(&self, series: &mut Series<'_>) {
        let mut input = Vec::new();
        let read = std::io::stdin().read_to_end(&mut input);
        let found = [
            ("variables", std::env::vars().count().to_string()),
            ("arguments", std::env::args().count().to_string()),
            ("input", format!("{:?} {}", read.is_ok(), input.len())),
            ("file", kind(fs::read("/etc/passwd"))),
            ("folder", kind(fs::read_dir("/"))),
            ("write", kind(fs::write("here", "something"))),
            ("connect", kind(TcpStream::connect("127.0.0.1:80"))),
            ("datagram", kind(UdpSocket::bind("127.0.0.1:0"))),
            ("lookup", kind(("localhost", 80).to_socket_addrs())),
            ("configured", self.configured.as_millis().to_string()),
            ("time", since_1970().as_millis().to_string()),
        ];
        for (name, value) in found {
            series.set(name, &value);
        }
    }
}

fn kind<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |_| "there".into())
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later")
}

/// Keys of a hash map are what the standard library takes random numbers for, once for each thread.
fn dice() -> String {
    RandomState::new().hash_one(1).to_string()
}

sluice_filter::export!(EmptyWorld);
