//! The media engine under load, and its floor in the same run: `media_load [--calls N] [--seconds S]`.

use std::error::Error;

use offhook_benches::load::{Floor, Line, Options, Reading, Table, Task, Worker, measure};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let floor = |reading| measure(&options, |peers| Floor::start(reading, peers));
    let engine = |task| measure(&options, |peers| Worker::start(task, peers));
    let lines = vec![
        Line { name: "floor, woken", measured: floor(Reading::AsTheyCome)? },
        Line { name: "floor, in beats", measured: floor(Reading::Every(media::time::BEAT))? },
        Line { name: "engine, echo", measured: engine(Task::Echo)? },
        Line { name: "engine, play", measured: engine(Task::Play)? },
    ];
    print!("{}", Table { options, lines });
    Ok(())
}
