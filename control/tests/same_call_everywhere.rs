//! One script, three worlds: virtual time, UDP and TCP on real sockets.

extern crate offhook_control as control;

mod common;

use common::{live::Live, script::everything_in_one_call, virtual_time::Virtual};
use control::signaling::Transport;

#[test]
fn everything_in_one_call_in_virtual_time() {
    everything_in_one_call(Virtual::new(1, 3));
}

#[test]
fn everything_in_one_call_over_udp() {
    everything_in_one_call(Live::new(3, Transport::Udp));
}

#[test]
fn everything_in_one_call_over_tcp() {
    everything_in_one_call(Live::new(3, Transport::Tcp));
}
