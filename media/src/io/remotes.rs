//! Which leg of a shared port a datagram is for: a small hash table keyed by the sender.

use std::net::{IpAddr, SocketAddr};

/// Open addressing with linear probing; at most half full, so that a search ends soon. Never grows.
#[derive(Debug)]
pub(crate) struct Remotes {
    entries: Box<[Option<(SocketAddr, u32)>]>,
    count: usize,
    /// Differs from run to run, so that nobody can choose addresses that collide.
    seed: u64,
}

impl Remotes {
    /// A table for at most so many addresses.
    pub(crate) fn new(capacity: usize, seed: u64) -> Self {
        Self { entries: vec![None; (2 * capacity).next_power_of_two()].into(), count: 0, seed }
    }

    /// The slot of a sender.
    #[inline]
    pub(crate) fn find(&self, remote: SocketAddr) -> Option<u32> {
        self.entries[self.place(remote)].map(|(_, slot)| slot)
    }

    /// Gives an address to a slot. Not if somebody has it, or the table is full.
    pub(crate) fn insert(&mut self, remote: SocketAddr, slot: u32) -> bool {
        let place = self.place(remote);
        if self.entries[place].is_some() || 2 * (self.count + 1) > self.entries.len() {
            return false;
        }
        self.entries[place] = Some((remote, slot));
        self.count += 1;
        true
    }

    pub(crate) fn remove(&mut self, remote: SocketAddr) {
        let mask = self.entries.len() - 1;
        let mut gap = self.place(remote);
        if self.entries[gap].take().is_none() {
            return;
        }
        self.count -= 1;
        // Those who had to go further because of this one come nearer to where they belong.
        let mut next = (gap + 1) & mask;
        while let Some((other, _)) = self.entries[next] {
            let wanted = self.hash(other) & mask;
            if (next.wrapping_sub(wanted) & mask) >= (next.wrapping_sub(gap) & mask) {
                self.entries.swap(gap, next);
                gap = next;
            }
            next = (next + 1) & mask;
        }
    }

    /// Where an address is, or could be put.
    #[inline]
    fn place(&self, remote: SocketAddr) -> usize {
        let mask = self.entries.len() - 1;
        let mut place = self.hash(remote) & mask;
        // Half of the entries are free, so there is an end.
        while self.entries[place].is_some_and(|(known, _)| known != remote) {
            place = (place + 1) & mask;
        }
        place
    }

    #[inline]
    fn hash(&self, remote: SocketAddr) -> usize {
        let address = match remote.ip() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => {
                let bits = ip.to_bits();
                ((bits >> 64) as u64).wrapping_mul(0xD6E8_FEB8_6659_FD93) ^ bits as u64
            }
        };
        let mixed = (address ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(remote.port());
        let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        (mixed ^ (mixed >> 32)) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(
            seed: u64,
            steps in proptest::collection::vec((any::<bool>(), 0u16..24, any::<bool>()), 0..400),
        ) {
            let mut remotes = Remotes::new(16, seed);
            let mut model = BTreeMap::new();
            for (slot, (add, port, v6)) in (0u32..).zip(steps) {
                let ip: IpAddr = if v6 { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into() } else { [192, 0, 2, 1].into() };
                let remote = SocketAddr::new(ip, port);
                if add {
                    let free = !model.contains_key(&remote) && model.len() < 16;
                    prop_assert_eq!(remotes.insert(remote, slot), free);
                    if free {
                        model.insert(remote, slot);
                    }
                } else {
                    remotes.remove(remote);
                    model.remove(&remote);
                }
                for port in 0..24 {
                    let remote = SocketAddr::new(ip, port);
                    prop_assert_eq!(remotes.find(remote), model.get(&remote).copied());
                }
            }
        }
    }
}
