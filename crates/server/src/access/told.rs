//! What the audit log is told of a request, and where a request comes from.

use std::net::{IpAddr, SocketAddr};

use ossia_access::{Caller, Principal, rule};
use ossia_protocol::{
    error::{ErrorCode, OssError},
    network::Network,
    operation::Operation,
    query::Query,
};

use super::{Decisions, resource};
use ossia_ram::Fault;

use crate::{
    audit::{Line, Outcome},
    http::Request,
    service::{App, Told},
};

impl App {
    /// Where a request comes from: its peer, or what a known proxy says that it passes on. Of the addresses that proxies have added,
    /// each to the end of the list, the last that is none of theirs; what stands before it, anybody may have written.
    pub(crate) fn source(&self, request: &Request) -> IpAddr {
        let mut source = request.peer.ip().to_canonical();
        if self.proxies.is_empty() {
            return source;
        }
        let is_proxy = |address: IpAddr| self.proxies.iter().any(|network| network.holds(address));
        // Some proxies add a line of their own behind those that they were given: of several, the last is theirs.
        let lines = request.headers.get_all("x-forwarded-for").iter().rev();
        let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            if !is_proxy(source) {
                break;
            }
            let Some(address) = std::str::from_utf8(hop).ok().and_then(hop_address) else { break };
            source = address.to_canonical();
        }
        source
    }

    /// Refuses a signed URL that is for other places than the one that it is used from: `x-oss-ac-source-ip`, an address or a
    /// network, whose length may stand apart in `x-oss-ac-subnet-mask`; and `x-oss-ac-vpc-id`, since there are no such networks
    /// here. What they limit must not be had by their being unknown.
    ///
    /// # Errors
    /// 403 `AccessDenied`.
    pub(crate) fn check_place(&self, request: &Request, query: &Query) -> Result<(), OssError> {
        let given = |name| query.get_bytes(name).is_some();
        let [address, length, vpc] =
            ["x-oss-ac-source-ip", "x-oss-ac-subnet-mask", "x-oss-ac-vpc-id"];
        if ![address, length, vpc].into_iter().any(given) {
            return Ok(());
        }
        let text = |name| query.get(name).filter(|text: &&str| !text.is_empty());
        let network = match (text(address), text(length)) {
            (Some(address), Some(length)) => Network::parse(&format!("{address}/{length}")),
            (Some(address), None) => Network::parse(address),
            (None, _) => None,
        };
        let here = network.is_some_and(|network| network.holds(self.source(request)));
        match here && !given(vpc) {
            true => Ok(()),
            false => Err(OssError::new(ErrorCode::AccessDenied)
                .with_message("The signed URL is not for where the request comes from.")),
        }
    }

    /// Tells the audit log of a request to RAM or STS. What it names stands in its parameters, some of which are secrets; so only the
    /// action is told.
    pub(crate) fn tell_rpc(
        &self,
        request: &Request,
        caller: Option<&Caller>,
        action: &str,
        fault: Option<&Fault>,
    ) {
        if !self.audit.is_on() {
            return;
        }
        let outcome = match (caller, fault) {
            (None, _) => Outcome::Refused,
            (Some(_), Some(fault)) if fault.status == 403 => Outcome::Denied,
            // No such action: nothing was decided.
            (Some(_), Some(fault)) if fault.code == "InvalidParameter" => Outcome::Refused,
            (Some(_), _) => Outcome::Allowed,
        };
        self.audit.note(&Line {
            time_ms: self.clock.now_ms(),
            request_id: request.id.as_str(),
            peer: self.source(request).to_string(),
            who: caller.map_or_else(|| "-".to_owned(), who),
            access_key_id: caller.and_then(|caller| caller.access_key_id.as_deref()),
            operation: action,
            action: &match action {
                "AssumeRole" | "GetCallerIdentity" => format!("sts:{action}"),
                _ => format!("ram:{action}"),
            },
            resource: &format!("acs:ram:*:{}:*", self.account),
            outcome,
            reason: match (outcome, fault) {
                (Outcome::Allowed, _) | (_, None) => {
                    "the owner, or a policy of the caller".to_owned()
                }
                (_, Some(fault)) => fault.code.to_string(),
            },
            status: fault.map_or(200, |fault| fault.status),
            code: fault.map(|fault| &*fault.code),
        });
    }

    /// Tells the audit log of a request that is about to be answered.
    pub(crate) fn tell(
        &self,
        request: &Request,
        told: &Told,
        decided: &Decisions,
        status: u16,
        error: Option<&OssError>,
    ) {
        // Health checks and preflights ask for nothing.
        let Some(operation) = told.operation.filter(|one| *one != Operation::OptionObject) else {
            return;
        };
        if !self.audit.is_on() {
            return;
        }
        let (decided, form) = decided.take();
        let caller = form.as_ref().or(told.caller.as_ref());
        let denied = error.filter(|error| error.code() == ErrorCode::AccessDenied);
        let (outcome, reason) = match (&decided, caller, error) {
            (_, None, Some(error)) => (Outcome::Refused, error.code().as_str().to_owned()),
            (Some(decided), Some(_), _) if !decided.decision.allowed && denied.is_some() => {
                (Outcome::Denied, decided.decision.reason.to_string())
            }
            // By what stands around the decision, as Referers.
            (_, _, _) if let Some(error) = denied => (Outcome::Denied, error.message().to_owned()),
            (Some(decided), _, _) => (Outcome::Allowed, decided.decision.reason.to_string()),
            (None, Some(caller), _) if caller.is_account() => {
                (Outcome::Allowed, ossia_access::Reason::Owner.to_string())
            }
            (None, _, Some(error)) => (Outcome::Refused, error.code().as_str().to_owned()),
            (None, _, None) => (Outcome::Allowed, "nothing was asked for".to_owned()),
        };
        let name = match &decided {
            Some(decided) => decided.resource.clone(),
            None => {
                let target = self.target_of(request);
                let key = target.key.as_deref().map(String::from_utf8_lossy);
                resource(self, target.bucket_str(), key.as_deref())
            }
        };
        self.audit.note(&Line {
            time_ms: self.clock.now_ms(),
            request_id: request.id.as_str(),
            peer: self.source(request).to_string(),
            who: caller.map_or_else(|| "-".to_owned(), |caller| who(caller)),
            access_key_id: caller.and_then(|caller| caller.access_key_id.as_deref()),
            operation: operation.name(),
            action: match &decided {
                Some(decided) => decided.action,
                None => rule(operation).map_or("-", |rule| rule.action),
            },
            resource: &name,
            outcome,
            reason,
            status,
            code: error.map(|error| error.code().as_str()),
        });
    }
}

/// The address of a hop, which some proxies write with its port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_ascii();
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let with_port = || Some(hop.parse::<SocketAddr>().ok()?.ip());
    bare.parse().ok().or_else(with_port)
}

/// A caller by name.
fn who(caller: &Caller) -> String {
    match &caller.principal {
        Principal::Account => "root".to_owned(),
        Principal::User { name, .. } => format!("user:{name}"),
        Principal::Session { role, session, .. } => format!("role:{role}/{session}"),
        Principal::Anonymous => "anonymous".to_owned(),
    }
}
