//! `Compound::parse` and every field of every packet in it.

use media::rtcp::{Compound, CompoundWriter, Packet};

use super::{Target, Verdict};
use crate::{mutate, random::Random};

pub struct Rtcp;

impl Target for Rtcp {
    fn name(&self) -> &'static str {
        "rtcp"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["rtcp"]
    }

    fn share(&self) -> usize {
        10
    }

    fn mutate(&self, input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
        if random.one_in(3) {
            input.extend_from_slice(other);
        }
        mutate::bytes(input, other, random);
    }

    fn run(&mut self, input: &[u8], _: &mut Random) -> Verdict {
        let Ok(compound) = Compound::parse(input) else { return Verdict::Refused };
        let mut packets = 0;
        for packet in compound {
            packets += 1;
            read(packet, input.len());
        }
        assert!(packets <= input.len() / 4, "{packets} packets in {} bytes", input.len());
        Verdict::Accepted
    }

    fn allowance(&self, _: usize) -> usize {
        0
    }
}

fn read(packet: Packet<'_>, length: usize) {
    let mut out = [0; 1_500];
    match packet {
        Packet::SenderReport(report) => {
            // What we write is what we read.
            let blocks: [_; 1] = [report.blocks.last().unwrap_or_default()];
            let mut writer = CompoundWriter::new(&mut out);
            let written = writer.sender_report(report.ssrc, &report.info, &blocks).len();
            let Some(Packet::SenderReport(again)) =
                Compound::parse(&out[..written]).ok().and_then(|mut all| all.next())
            else {
                panic!("our own sender report is unreadable");
            };
            assert_eq!((again.ssrc, again.info), (report.ssrc, report.info));
            assert_eq!(again.blocks.last(), Some(blocks[0]));
        }
        Packet::ReceiverReport(report) => assert!(report.blocks.count() <= 31),
        Packet::SourceDescription(description) => {
            let items = description.items().map(|item| item.text.len() + 2).sum::<usize>();
            assert!(items <= length, "{items} bytes of items in {length}");
            let _ = description.cname(1);
        }
        Packet::Goodbye(goodbye) => {
            assert!(goodbye.sources().count() <= 31);
            let _ = goodbye.reason();
        }
        _ => {}
    }
}
