//! The floor of media on this machine: `floor [--calls N] [--seconds S]`.

use std::error::Error;

use offhook_benches::load::{Floor, Line, Options, Reading, Table, measure};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let readings =
        [("floor, woken", Reading::AsTheyCome), ("floor, in beats", Reading::Every(media::time::BEAT))];
    let mut table = Table { options, lines: Vec::new() };
    for (name, reading) in readings {
        let measured = measure(&options, |peers| Floor::start(reading, peers))?;
        table.lines.push(Line { name, measured });
    }
    print!("{table}");
    Ok(())
}
