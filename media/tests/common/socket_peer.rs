//! A remote party on a real socket, which checks the one stream it hears.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it stands for another machine")]

use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use offhook_media::{
    Codec, Command, Latch, PayloadFormat, SessionConfig, SessionId,
    io::Engine,
    rtp::header::{HEADER_LEN, Header, Packet},
};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

const PCMU: PayloadFormat = PayloadFormat { codec: Codec::Pcmu, payload_type: 0 };

pub(crate) struct SocketPeer {
    pub(crate) id: SessionId,
    pub(crate) socket: UdpSocket,
    pub(crate) to: SocketAddr,
    /// Of the next packet it says.
    pub(crate) header: Header,
    pub(crate) last: Option<Header>,
}

/// PCMU with that party and nobody else.
pub(crate) fn configuration(remote: SocketAddr) -> Box<SessionConfig> {
    let receive = vec![PCMU];
    Box::new(SessionConfig { remote: Some(remote), receive, latch: Latch::Off, ..SessionConfig::default() })
}

impl SocketPeer {
    /// Opens a session for it, on a port of its own or on one it shares.
    pub(crate) fn open(engine: &mut Engine, shares: bool, sequence: u16, ssrc: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        let remote = socket.local_addr().expect("an address");
        let opened = if shares { engine.open_shared(None, remote) } else { engine.open(None) };
        let (id, to) = opened.expect("a session");
        engine.send(Command::Open(id, configuration(remote))).expect("room in the queue");
        let header = Header { payload_type: 0, marker: true, sequence, timestamp: 1000, ssrc };
        Self { id, socket, to, header, last: None }
    }

    /// Says 20 ms.
    pub(crate) fn talk(&mut self, payload: &[u8; 160]) {
        let mut datagram = [0; HEADER_LEN + 160];
        self.header.write(&mut datagram);
        datagram[HEADER_LEN..].copy_from_slice(payload);
        self.socket.send_to(&datagram, self.to).expect("loopback takes a datagram");
        self.header.marker = false;
        self.header.sequence = self.header.sequence.wrapping_add(1);
        self.header.timestamp = self.header.timestamp.wrapping_add(160);
    }

    /// What the next packet of the one stream says.
    pub(crate) fn hear(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).expect("a packet in time");
            assert_eq!(from, self.to, "media comes from the port it is sent to");
            let Ok(Packet { header, payload }) = Packet::parse(&buffer[..length]) else { continue };
            if header.payload_type != 0 {
                continue;
            }
            if let Some(last) = self.last.replace(header) {
                assert_eq!((header.ssrc, header.sequence), (last.ssrc, last.sequence.wrapping_add(1)));
                let step = header.timestamp.wrapping_sub(last.timestamp).cast_signed();
                assert!(step > 0 && step % 160 == 0, "timestamps advance on the grid, not by {step}");
            }
            return payload.to_vec();
        }
    }
}
