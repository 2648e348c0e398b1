//! A short load on real sockets: what was sent is accounted for, however busy the machine is.
#![cfg(feature = "load")]

use std::time::Duration;

use offhook_benches::load::{Floor, Measured, Options, Reading, Task, Worker, measure};

const SHORT: Options =
    Options { calls: 4, window: Duration::from_millis(200), warm_up: Duration::from_millis(60) };

fn assert_accounted(measured: &Measured) {
    assert_eq!(measured.lateness.len() as u64 + measured.lost, measured.expected);
    assert!(measured.expected >= 4, "{} expected", measured.expected);
    assert!(measured.cpu_ms >= 0.0);
    assert!(measured.lateness.is_sorted() && measured.sent_late.is_sorted());
}

// One test, because servers are told apart by the names of their threads.
#[test]
fn every_packet_of_every_server() {
    for reading in [Reading::AsTheyCome, Reading::Every(Duration::from_millis(5))] {
        assert_accounted(&measure(&SHORT, |peers| Floor::start(reading, peers)).unwrap());
    }
    for task in [Task::Echo, Task::Play] {
        assert_accounted(&measure(&SHORT, |peers| Worker::start(task, peers)).unwrap());
    }
}
