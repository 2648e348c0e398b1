//! Where our users are: the location service of a registrar (RFC 3261 §10.3).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    flow::{FlowId, Source, Transport},
    message::{
        name::Name,
        name_addr::NameAddr,
        request::Request,
        response::Response,
        status::StatusCode,
        uri::{Host, Uri},
    },
    nat,
};

/// What a user may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Shortest lifetime, seconds; less is answered 423.
    pub min_expires: u32,
    /// Longest lifetime, seconds; more, and no wish at all, is granted this.
    pub max_expires: u32,
    /// Contacts per user. The one that was not refreshed for the longest time makes room.
    pub max_contacts: usize,
}

/// A way to reach a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// What goes into the request line.
    pub uri: Uri,
    /// How to send.
    pub transport: Transport,
    /// Where to send; `None` if the host of `uri` is a name that has to be resolved.
    pub destination: Option<SocketAddr>,
    /// Where the REGISTER came from.
    pub source: SocketAddr,
    /// The association it came through, while it is open.
    pub flow: Option<FlowId>,
    /// Preference in thousandths.
    pub q: u16,
}

/// News about the bindings of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A new contact.
    Bound(String, Uri),
    /// A contact expired, was removed, made room or lost its connection.
    Unbound(String, Uri),
}

/// All bindings of all users.
#[derive(Debug)]
pub struct Bindings {
    limits: Limits,
    users: BTreeMap<String, Vec<Binding>>,
    /// When bindings end, soonest first.
    endings: BTreeSet<(Instant, u64)>,
    owners: BTreeMap<u64, String>,
    /// Bindings that came through a connection.
    flows: BTreeMap<FlowId, BTreeSet<u64>>,
    changes: VecDeque<Change>,
    last_id: u64,
}

#[derive(Debug)]
struct Binding {
    id: u64,
    uri: Uri,
    /// RFC 5626 §4.1: the same phone, whatever its address.
    instance: Option<(String, String)>,
    q: u16,
    call_id: String,
    sequence: u32,
    ends: Instant,
    source: Source,
    flow: Option<FlowId>,
    behind_nat: bool,
}

/// A contact of a request and the lifetime granted, seconds; 0 removes.
struct Wish {
    contact: NameAddr,
    expires: u32,
}

impl Bindings {
    /// None yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: BTreeMap::new(),
            endings: BTreeSet::new(),
            owners: BTreeMap::new(),
            flows: BTreeMap::new(),
            changes: VecDeque::new(),
            last_id: 0,
        }
    }

    /// Serves a REGISTER whose sender may change the bindings of `user`, and gives the response without a To tag. All of
    /// it is done or nothing.
    pub fn register(&mut self, now: Instant, user: &str, request: &Request, source: &Source) -> Response {
        self.handle_timeout(now);
        let outcome = self.update(now, user, request, source);
        let mut response = request.reply(outcome.err().unwrap_or(StatusCode::OK));
        match response.status {
            StatusCode::OK => {
                for binding in self.users.get(user).into_iter().flatten() {
                    response.headers.push(Name::Contact, binding.printed(now));
                }
            }
            StatusCode::INTERVAL_TOO_BRIEF => {
                response.headers.push(Name::MinExpires, self.limits.min_expires.to_string());
            }
            StatusCode::SERVER_INTERNAL_ERROR => response.reason = "CSeq Out Of Order".into(),
            StatusCode::FORBIDDEN => response.reason = "Too Many Contacts".into(),
            _ => {}
        }
        response
    }

    /// Where to reach a user: most preferred first, then most recently bound.
    #[must_use]
    pub fn contacts(&self, now: Instant, user: &str) -> Vec<Contact> {
        let alive = self.users.get(user).into_iter().flatten().filter(|binding| binding.ends > now);
        let mut sorted: Vec<&Binding> = alive.collect();
        sorted.sort_by_key(|binding| (std::cmp::Reverse(binding.q), std::cmp::Reverse(binding.id)));
        sorted.into_iter().map(Binding::contact).collect()
    }

    /// A connection is gone. Who can only be reached through it is gone, too.
    pub fn handle_flow_closed(&mut self, flow: FlowId) {
        for id in self.flows.remove(&flow).unwrap_or_default() {
            let Some(user) = self.owners.get(&id).cloned() else { continue };
            let bindings = self.users.entry(user.clone()).or_default();
            let Some(binding) = bindings.iter_mut().find(|binding| binding.id == id) else { continue };
            binding.flow = None;
            if binding.behind_nat {
                self.remove(&user, id);
            }
        }
    }

    /// Removes what has expired.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(ends, id)) = self.endings.first() {
            if ends > now {
                return;
            }
            match self.owners.get(&id).cloned() {
                Some(user) => self.remove(&user, id),
                None => {
                    self.endings.pop_first();
                }
            }
        }
    }

    /// When the next binding expires.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.endings.first().map(|&(ends, _)| ends)
    }

    /// What has changed, oldest first.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// How many bindings there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether nobody is bound.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    fn update(
        &mut self,
        now: Instant,
        user: &str,
        request: &Request,
        source: &Source,
    ) -> Result<(), StatusCode> {
        let headers = &request.headers;
        let bad = |_| StatusCode::BAD_REQUEST;
        let (call_id, cseq) = (headers.call_id().map_err(bad)?, headers.cseq().map_err(bad)?);
        let via = headers.via().map_err(bad)?;
        let in_order = |binding: &Binding| binding.call_id != call_id || binding.sequence < cseq.sequence;
        // RFC 3261 §10.3 step 6.
        if headers.contact_is_star() {
            if headers.values(Name::Contact).count() != 1 || headers.expires() != Some(0) {
                return Err(StatusCode::BAD_REQUEST);
            }
            let bound = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
            if !bound.iter().all(in_order) {
                return Err(StatusCode::SERVER_INTERNAL_ERROR);
            }
            for id in bound.iter().map(|binding| binding.id).collect::<Vec<_>>() {
                self.remove(user, id);
            }
            return Ok(());
        }
        let wishes = self.wishes(request)?;
        // Step 7: nothing may change unless all may.
        let bound = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let all_in_order =
            |wish: &Wish| bound.iter().filter(|binding| binding.is(&wish.contact)).all(in_order);
        if !wishes.iter().all(all_in_order) {
            return Err(StatusCode::SERVER_INTERNAL_ERROR);
        }
        for wish in wishes {
            let behind_nat = nat::is_behind_nat(&wish.contact.uri, &via, source);
            let binding = Binding {
                id: 0,
                instance: instance(&wish.contact),
                q: wish.contact.q(),
                call_id: call_id.into(),
                sequence: cseq.sequence,
                ends: now + Duration::from_secs(wish.expires.into()),
                source: *source,
                flow: Some(source.flow),
                behind_nat,
                uri: wish.contact.uri.clone(),
            };
            self.replace(user, &wish, binding);
        }
        Ok(())
    }

    fn wishes(&self, request: &Request) -> Result<Vec<Wish>, StatusCode> {
        let contacts = request.headers.contacts().map_err(|_| StatusCode::BAD_REQUEST)?;
        let common = request.headers.expires();
        let mut wishes = Vec::with_capacity(contacts.len());
        for contact in contacts {
            if !contact.uri.is_sip() {
                return Err(StatusCode::BAD_REQUEST);
            }
            let asked = contact.expires().or(common).unwrap_or(self.limits.max_expires);
            if asked > 0 && asked < self.limits.min_expires {
                return Err(StatusCode::INTERVAL_TOO_BRIEF);
            }
            wishes.push(Wish { contact, expires: asked.min(self.limits.max_expires) });
        }
        if wishes.iter().filter(|wish| wish.expires > 0).count() > self.limits.max_contacts {
            return Err(StatusCode::FORBIDDEN);
        }
        Ok(wishes)
    }

    /// Puts a binding in the place of those that mean the same contact.
    fn replace(&mut self, user: &str, wish: &Wish, mut binding: Binding) {
        let bound = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let old = bound.iter().filter(|old| old.is(&wish.contact));
        let mut refreshed = false;
        for (id, uri) in old.map(|old| (old.id, old.uri.clone())).collect::<Vec<_>>() {
            self.forget(user, id);
            if wish.expires > 0 && !refreshed && uri.equivalent(&binding.uri) {
                refreshed = true;
            } else {
                self.changes.push_back(Change::Unbound(user.into(), uri));
            }
        }
        if wish.expires == 0 {
            return;
        }
        let bound = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        if bound.len() >= self.limits.max_contacts
            && let Some(oldest) = bound.iter().map(|binding| binding.id).min()
        {
            self.remove(user, oldest);
        }
        if !refreshed {
            self.changes.push_back(Change::Bound(user.into(), binding.uri.clone()));
        }
        // Ids grow with every refresh, so the smallest is the one not heard of for the longest time.
        self.last_id += 1;
        binding.id = self.last_id;
        self.endings.insert((binding.ends, binding.id));
        self.owners.insert(binding.id, user.into());
        if binding.source.transport.is_reliable() {
            self.flows.entry(binding.source.flow).or_default().insert(binding.id);
        }
        self.users.entry(user.into()).or_default().push(binding);
    }

    /// Removes a binding and tells.
    fn remove(&mut self, user: &str, id: u64) {
        if let Some(binding) = self.forget(user, id) {
            self.changes.push_back(Change::Unbound(user.into(), binding.uri));
        }
    }

    fn forget(&mut self, user: &str, id: u64) -> Option<Binding> {
        let bindings = self.users.get_mut(user)?;
        let at = bindings.iter().position(|binding| binding.id == id)?;
        let binding = bindings.remove(at);
        if bindings.is_empty() {
            self.users.remove(user);
        }
        self.owners.remove(&id);
        self.endings.remove(&(binding.ends, id));
        if let Some(ids) = self.flows.get_mut(&binding.source.flow) {
            ids.remove(&id);
            if ids.is_empty() {
                self.flows.remove(&binding.source.flow);
            }
        }
        Some(binding)
    }
}

impl Binding {
    fn is(&self, contact: &NameAddr) -> bool {
        self.uri.equivalent(&contact.uri) || self.instance.is_some() && self.instance == instance(contact)
    }

    fn contact(&self) -> Contact {
        let through_connection = self.flow.is_some() && self.source.transport.is_reliable();
        let address = || {
            let port = self.uri.port.unwrap_or(nat::DEFAULT_PORT);
            let host = self.uri.params.get("maddr").and_then(Host::parse);
            host.as_ref().unwrap_or(&self.uri.host).ip().map(|ip| SocketAddr::new(ip, port))
        };
        let (transport, destination) = if through_connection || self.behind_nat {
            (self.source.transport, Some(self.source.remote))
        } else {
            (nat::transport(&self.uri).unwrap_or(self.source.transport), address())
        };
        let flow = self.flow.filter(|_| transport == self.source.transport);
        Contact { uri: self.uri.clone(), transport, destination, source: self.source.remote, flow, q: self.q }
    }

    fn printed(&self, now: Instant) -> String {
        let mut contact = NameAddr::new(self.uri.clone());
        let left = self.ends.saturating_duration_since(now);
        contact.params.set("expires", left.as_secs().to_string());
        if self.q < 1000 {
            contact.params.set("q", format!("0.{:03}", self.q));
        }
        if let Some((instance, reg_id)) = &self.instance {
            contact.params.set("+sip.instance", instance.clone());
            if !reg_id.is_empty() {
                contact.params.set("reg-id", reg_id.clone());
            }
        }
        contact.to_string()
    }
}

/// What stays the same when a phone gets another address: its instance and which of its ways this is.
fn instance(contact: &NameAddr) -> Option<(String, String)> {
    let instance = contact.params.get("+sip.instance")?;
    Some((instance.into(), contact.params.get("reg-id").unwrap_or_default().into()))
}
