//! The protocols between the threads of a media engine, checked by [loom](https://docs.rs/loom) in every interleaving that
//! the memory model allows. Rings are rtrb's and tested there; what is ours is when to wake and what may be relied on.
//!
//! `ci/test.sh loom` runs it.
#![cfg(all(loom, test))]

#[path = "../../media/src/io/wake.rs"]
mod wake;

use loom::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};
use wake::Asleep;

/// An eventfd: a wake that comes before the wait ends it at once.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
    }

    /// As the worker does after each sleep.
    fn clear(&self) {
        *self.rung.lock().unwrap() = false;
    }
}

/// A doorbell and two rings that it guards, of which only the fill level matters here.
struct House {
    asleep: Asleep,
    bell: Bell,
    rings: [AtomicU32; 2],
    stop: AtomicBool,
}

impl House {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            asleep: Asleep::new(),
            bell: Bell::default(),
            rings: [AtomicU32::new(0), AtomicU32::new(0)],
            stop: AtomicBool::new(false),
        })
    }

    fn send(&self, ring: usize) {
        self.rings[ring].fetch_add(1, Ordering::Release);
        self.asleep.disturb(|| self.bell.ring());
    }

    fn taken(&self) -> u32 {
        self.rings.iter().map(|ring| ring.load(Ordering::Acquire)).sum()
    }

    /// The worker: deadlocks, which loom reports, if it sleeps while something waits.
    fn work_until(&self, wanted: u32) {
        loop {
            let seen = self.taken();
            if seen == wanted {
                return;
            }
            self.asleep.rest(|| self.taken() != seen, || self.bell.wait());
            self.bell.clear();
        }
    }
}

#[test]
fn a_sleeping_worker_misses_no_command() {
    loom::model(|| {
        let house = House::new();
        let owner = Arc::clone(&house);
        let owner = thread::spawn(move || {
            owner.send(0);
            owner.send(0);
        });
        house.work_until(2);
        owner.join().unwrap();
    });
}

#[test]
fn a_command_and_a_session_from_another_worker_wake_the_same_sleeper() {
    let mut model = loom::model::Builder::new();
    // Three threads without a bound take hours.
    model.preemption_bound = Some(2);
    model.check(|| {
        let house = House::new();
        let senders: Vec<_> = [0, 1]
            .map(|ring| {
                let house = Arc::clone(&house);
                thread::spawn(move || house.send(ring))
            })
            .into();
        house.work_until(2);
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_worker_that_is_told_to_stop_wakes() {
    loom::model(|| {
        let house = House::new();
        let owner = Arc::clone(&house);
        let owner = thread::spawn(move || {
            owner.stop.store(true, Ordering::Release);
            owner.asleep.disturb(|| owner.bell.ring());
        });
        while !house.stop.load(Ordering::Acquire) {
            house.asleep.rest(|| house.stop.load(Ordering::Acquire), || house.bell.wait());
            house.bell.clear();
        }
        owner.join().unwrap();
    });
}

/// The owner of the engine sends commands for a session to its new worker once the old one has said that it left. The
/// new one looks for arrivals after it took a command: the session must be there.
#[test]
fn a_command_never_overtakes_the_session_it_is_for() {
    loom::model(|| {
        let [way, left, command] = [(); 3].map(|()| Arc::new(AtomicBool::new(false)));
        let old = {
            let (way, left) = (Arc::clone(&way), Arc::clone(&left));
            thread::spawn(move || {
                way.store(true, Ordering::Release);
                left.store(true, Ordering::Release);
            })
        };
        let owner = {
            let (left, command) = (Arc::clone(&left), Arc::clone(&command));
            thread::spawn(move || {
                if left.load(Ordering::Acquire) {
                    command.store(true, Ordering::Release);
                }
            })
        };
        if command.load(Ordering::Acquire) {
            assert!(way.load(Ordering::Acquire), "the session came before the command");
        }
        old.join().unwrap();
        owner.join().unwrap();
    });
}
