//! The stage in virtual time.

use control::{
    Command, CommandError, Event, LegId,
    signaling::Uri,
    sim::{NodeId, World},
};
use std::time::Duration;

use super::{PATIENCE, Stage, Who, config};

pub struct Virtual {
    pub world: World,
    nodes: Vec<NodeId>,
    /// For each node, which events were waited for.
    taken: Vec<Vec<bool>>,
}

impl Virtual {
    pub fn new(seed: u64, systems: usize) -> Self {
        let mut world = World::new(seed);
        let nodes = (0..systems).map(|n| world.add_node(&format!("system {n}"), config())).collect();
        Self { world, nodes, taken: vec![Vec::new(); systems] }
    }

    pub fn node(&self, who: Who) -> NodeId {
        self.nodes[who]
    }
}

impl Stage for Virtual {
    fn command(&mut self, who: Who, leg: LegId, command: Command) -> Result<(), CommandError> {
        self.world.command(self.nodes[who], leg, command)
    }

    fn wait(&mut self, who: Who, what: &str, wanted: &mut dyn FnMut(&Event) -> bool) -> Event {
        let node = self.nodes[who];
        let taken = &mut self.taken[who];
        let mut found = None;
        self.world.run_until(PATIENCE, |world| {
            let events = &world.node(node).events;
            taken.resize(events.len(), false);
            found = (0..events.len()).find(|n| !taken[*n] && wanted(&events[*n].1));
            found.is_some()
        });
        let events = &self.world.node(node).events;
        let Some(found) = found else {
            panic!("{} never told {what}; it told {events:#?}", self.world.node(node).name)
        };
        taken[found] = true;
        events[found].1.clone()
    }

    fn listen(&mut self, who: Who, leg: LegId) {
        self.world.listen(self.nodes[who], leg).unwrap();
    }

    fn arrived(&mut self, who: Who, leg: LegId) -> Vec<i16> {
        self.world.arrived(self.nodes[who], leg).to_vec()
    }

    fn uri(&self, who: Who, user: &str) -> Uri {
        let address = self.world.node(self.nodes[who]).address;
        Uri::parse(&format!("sip:{user}@{address}")).unwrap()
    }

    fn finish(mut self) {
        self.world.run_for(Duration::from_secs(120));
        let complaints = self.world.complaints();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
