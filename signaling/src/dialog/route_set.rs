//! The proxies that want to stay in the dialog.

use crate::message::{Name, NameAddr, Request, Uri};

/// Routes in the order a request of ours meets them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteSet(Vec<NameAddr>);

impl RouteSet {
    /// RFC 3261 §12.1.1: a callee takes the Record-Route as it is.
    pub(crate) fn of_callee(record_route: Vec<NameAddr>) -> Self {
        Self(record_route)
    }

    /// RFC 3261 §12.1.2: a caller takes it in reverse.
    pub(crate) fn of_caller(mut record_route: Vec<NameAddr>) -> Self {
        record_route.reverse();
        Self(record_route)
    }

    /// Whether requests go straight to the peer.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where a request to `target` goes first.
    pub(crate) fn next_hop<'a>(&'a self, target: &'a Uri) -> &'a Uri {
        self.0.first().map_or(target, |first| &first.uri)
    }

    /// RFC 3261 §12.2.1.1: Request-URI and Route of a request to `target`, loose or strict.
    pub(crate) fn apply(&self, target: &Uri, request: &mut Request) {
        let Some(first) = self.0.first() else {
            request.uri = target.clone();
            return;
        };
        if first.uri.is_loose() {
            request.uri = target.clone();
            self.0.iter().for_each(|route| request.headers.push(Name::Route, route.to_string()));
            return;
        }
        request.uri = first.uri.clone();
        // RFC 3261 §19.1.1: what may not stand in a Request-URI.
        request.uri.headers = None;
        request.uri.params.remove("method");
        self.0.iter().skip(1).for_each(|route| request.headers.push(Name::Route, route.to_string()));
        request.headers.push(Name::Route, NameAddr::new(target.clone()).to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Method;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).unwrap()
    }

    fn routes(texts: &[&str]) -> Vec<NameAddr> {
        texts.iter().map(|text| NameAddr::parse(text).unwrap()).collect()
    }

    fn applied(set: &RouteSet) -> (String, Vec<String>) {
        let target = uri("sip:peer@10.0.0.9");
        let mut request = Request::new(Method::Bye, target.clone());
        set.apply(&target, &mut request);
        (request.uri.to_string(), request.headers.all(Name::Route).map(Into::into).collect())
    }

    #[test]
    fn loose_routes_keep_the_target_as_request_uri() {
        let set = RouteSet::of_callee(routes(&["<sip:p1.example;lr>", "<sip:p2.example;lr>"]));
        let (request_uri, route) = applied(&set);
        assert_eq!(request_uri, "sip:peer@10.0.0.9");
        assert_eq!(route, ["<sip:p1.example;lr>", "<sip:p2.example;lr>"]);
        assert_eq!(set.next_hop(&uri("sip:x@y")).to_string(), "sip:p1.example;lr");
    }

    #[test]
    fn a_strict_router_gets_its_own_uri_and_the_target_last() {
        let (request_uri, route) =
            applied(&RouteSet::of_callee(routes(&["<sip:p1.example>", "<sip:p2.example;lr>"])));
        assert_eq!(request_uri, "sip:p1.example");
        assert_eq!(route, ["<sip:p2.example;lr>", "<sip:peer@10.0.0.9>"]);
    }

    #[test]
    fn a_caller_reverses_the_record_route() {
        let set = RouteSet::of_caller(routes(&["<sip:p1.example;lr>", "<sip:p2.example;lr>"]));
        assert_eq!(set.next_hop(&uri("sip:x@y")).to_string(), "sip:p2.example;lr");
    }
}
