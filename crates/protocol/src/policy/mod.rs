//! Policy documents: who may do what to what, under which conditions (`permissions.md` §5).
//!
//! ```text
//! policy = { "Version": "1", "Statement": [ stmt, … ] }          one statement may stand without the list
//! stmt   = { "Effect": "Allow" | "Deny",
//!            "Action" | "NotAction":       text | [text, …],      oss:GetObject, oss:Get*, *; case does not matter
//!            "Resource" | "NotResource":   text | [text, …],      acs:oss:<region>:<account>:<bucket>[/<key>], *
//!            "Principal" | "NotPrincipal": [text, …],             bucket and trust policies
//!            "Condition": { operator: { key: text | [text, …] } } }
//! ```
//!
//! Owns the grammar, and what one policy says of one request; what several of them, ACLs and owners come to together is decided
//! elsewhere. What is not of the grammar is refused: a statement that is misread lets in whom its writer meant to keep out.
//! Statements are compiled and sorted by action when a document is read, so that of fifty only those that can matter are looked at.

mod condition;
mod json;
mod pattern;
mod principal;

use std::sync::Arc;

use thiserror::Error;

use self::{
    condition::Test,
    json::Json,
    pattern::{Glob, Letters, ResourcePattern},
    principal::Principals,
};
pub use self::{
    condition::{Conditions, Needs, TagPairs},
    principal::Subject,
};

/// What a document is attached to, which decides on its grammar and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// To a user, a group or a role: up to 6,144 characters, no principals.
    Identity,
    /// To one session of a role: up to 2,048 characters, no principals.
    Session,
    /// To a bucket: up to 16 KiB, with principals.
    Bucket,
    /// To a role, saying who may assume it: up to 6,144 characters, with principals.
    Trust,
}

/// Longest policy of a bucket, in bytes.
pub const BUCKET_POLICY_BYTES_MAX: usize = 16 * 1024;
/// Longest policy of a user, group or role, and longest trust policy, in characters.
pub const IDENTITY_POLICY_CHARS_MAX: usize = 6_144;
/// Longest policy of a session, in characters.
pub const SESSION_POLICY_CHARS_MAX: usize = 2_048;

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PolicyError(String);

impl PolicyError {
    fn new(fault: impl Into<String>) -> Self {
        Self(fault.into())
    }

    fn within(self, place: &str) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// What a statement does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Lets the request through, unless something denies it.
    Allow,
    /// Refuses it, whatever allows it.
    Deny,
}

/// A resource that is asked for: `acs:<service>:<region>:<account>:<relative>`.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    text: &'a str,
    /// Where each part begins; parts that are missing begin at the end.
    starts: [usize; 5],
    letters: Letters,
}

impl<'a> Resource<'a> {
    /// Takes the name of a resource. The case of letters matters, but not in what RAM names: its names differ by more than that, so
    /// that who is denied `user/Boss` must not come by as `user/boss`.
    pub fn new(text: &'a str) -> Self {
        let mut starts = [text.len(); 5];
        starts[0] = 0;
        for (start, (at, _)) in starts[1..].iter_mut().zip(text.match_indices(':')) {
            *start = at + 1;
        }
        let of_ram = text.starts_with("acs:ram:");
        let letters = if of_ram { Letters::Folded } else { Letters::Exact };
        Self { text, starts, letters }
    }

    /// The name.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The part at `at`, up to the colon behind it.
    fn part(&self, at: usize) -> &'a str {
        let rest = self.rest(at);
        rest.split_once(':').map_or(rest, |(part, _)| part)
    }

    /// Everything from the part at `at`.
    fn rest(&self, at: usize) -> &'a str {
        let start = self.starts.get(at).copied().unwrap_or(self.text.len());
        self.text.get(start..).unwrap_or_default()
    }
}

/// The part of a resource's name behind the account.
const RELATIVE: usize = 4;

/// One request, as policies see it.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// As `oss:GetObject`.
    pub action: &'a str,
    /// What is to be touched.
    pub resource: Resource<'a>,
    /// Everything else about it.
    pub conditions: &'a Conditions<'a>,
}

/// What a policy says of a request. Numbers count statements from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This statement denies it.
    Denied(usize),
    /// This statement allows it, and none denies it.
    Allowed(usize),
    /// No statement speaks of it.
    Silent,
}

/// Patterns, of which one must match, or none.
#[derive(Debug, Clone, PartialEq)]
struct List<T> {
    negated: bool,
    patterns: Vec<T>,
}

impl<T> List<T> {
    fn matches(&self, test: impl FnMut(&T) -> bool) -> bool {
        self.patterns.iter().any(test) != self.negated
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    sid: Option<Arc<str>>,
    effect: Effect,
    actions: List<Glob>,
    /// `None` in trust policies, which are of their role.
    resources: Option<List<ResourcePattern>>,
    /// `None` where whoever it is attached to is meant.
    principals: Option<Principals>,
    tests: Vec<Test>,
}

impl Statement {
    /// Its `Sid`, if it has one.
    pub fn sid(&self) -> Option<&Arc<str>> {
        self.sid.as_ref()
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it speaks of this subject, in a bucket or role of `owner`.
    pub fn names(&self, subject: Subject<'_>, owner: &str) -> bool {
        self.principals
            .as_ref()
            .is_none_or(|principals| principals.name(subject, owner, !self.tests.is_empty()))
    }

    /// Whether it opens a bucket to the public: it allows somebody that it does not list, from nowhere in particular.
    pub fn is_public(&self) -> bool {
        self.effect == Effect::Allow
            && self.principals.as_ref().is_some_and(Principals::is_open)
            && !self.tests.iter().any(Test::is_fixed)
    }

    fn matches(&self, ask: &Ask<'_>) -> bool {
        self.actions.matches(|action| action.matches(ask.action, Letters::Folded))
            && self
                .resources
                .as_ref()
                .is_none_or(|list| list.matches(|resource| resource.matches(&ask.resource)))
            && self.tests.iter().all(|test| test.holds(ask.conditions, self.effect == Effect::Deny))
    }
}

/// What the resources of each statement begin with, behind the account: close together, because a long policy of one among a thousand
/// users is in no cache, and most of its statements are ruled out by it.
#[derive(Debug, Clone)]
struct Beginnings {
    text: Box<str>,
    /// Where each statement's ends in the text; it begins where the one before ends.
    ends: Box<[u32]>,
}

impl Beginnings {
    fn of(statements: &[Statement]) -> Beginnings {
        let (mut text, mut ends) = (String::new(), Vec::with_capacity(statements.len()));
        for statement in statements {
            let list = statement.resources.as_ref().filter(|list| !list.negated);
            if let Some([first, others @ ..]) = list.map(|list| list.patterns.as_slice()) {
                let common = others.iter().fold(first.beginning(), |common, other| {
                    let other = other.beginning();
                    let same = common.char_indices().zip(other.chars());
                    let parted = same.into_iter().find(|((_, one), other)| one != other);
                    let end = parted.map_or(common.len().min(other.len()), |((at, _), _)| at);
                    common.get(..end).unwrap_or_default()
                });
                text.push_str(common);
            }
            // Policies are far shorter; a number that did not fit would only rule nothing out.
            ends.push(u32::try_from(text.len()).unwrap_or(0));
        }
        Beginnings { text: text.into(), ends: ends.into() }
    }

    /// Whether statement `at` may speak of a resource, of which this is what stands behind the account.
    fn may_be(&self, at: usize, relative: &str, letters: Letters) -> bool {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        let beginning = self.text.get(start..end(at));
        beginning.is_none_or(|beginning| letters.begin(relative, beginning))
    }
}

/// A policy, compiled. Two are equal when they were written alike.
#[derive(Debug, Clone)]
pub struct Policy {
    kind: PolicyKind,
    text: Box<str>,
    statements: Vec<Statement>,
    /// Statements by the actions that they name in full, in lower case, sorted.
    by_action: Vec<(Box<str>, Vec<usize>)>,
    /// Statements that name actions by patterns.
    others: Vec<usize>,
    beginnings: Beginnings,
    needs: Needs,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }
}

impl Eq for Policy {}

impl Policy {
    /// Reads a document.
    ///
    /// # Errors
    /// [`PolicyError`] names the fault: what is no JSON, has an unknown element, operator or condition key, names something twice,
    /// or is longer than its kind may be.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, PolicyError> {
        let (length, most, unit) = match kind {
            PolicyKind::Bucket => (text.len(), BUCKET_POLICY_BYTES_MAX, "bytes"),
            PolicyKind::Session => (text.chars().count(), SESSION_POLICY_CHARS_MAX, "characters"),
            PolicyKind::Identity | PolicyKind::Trust => {
                (text.chars().count(), IDENTITY_POLICY_CHARS_MAX, "characters")
            }
        };
        if length > most {
            return Err(PolicyError::new(format!("the policy is longer than {most} {unit}")));
        }
        Self::read(text, kind, false)
    }

    /// Reads a document that was taken before, perhaps under another grammar. What is unknown in it never lets anybody in: a
    /// condition that cannot be told holds for statements that deny and for no others, and of a document that is no policy at all
    /// everything is denied to everybody but the owner.
    pub fn of_stored(text: &str, kind: PolicyKind) -> Self {
        Self::read(text, kind, false).or_else(|_| Self::read(text, kind, true)).unwrap_or_else(
            |_| {
                let statement = Statement {
                    sid: None,
                    effect: Effect::Deny,
                    actions: List { negated: false, patterns: vec![Glob::Any] },
                    resources: None,
                    principals: match kind {
                        PolicyKind::Bucket | PolicyKind::Trust => Some(Principals::everybody()),
                        PolicyKind::Identity | PolicyKind::Session => None,
                    },
                    tests: Vec::new(),
                };
                Self::compile(text, kind, vec![statement])
            },
        )
    }

    fn read(text: &str, kind: PolicyKind, lenient: bool) -> Result<Self, PolicyError> {
        let document = Json::parse(text)
            .map_err(|error| PolicyError::new(format!("invalid JSON: {error}")))?;
        let Json::Object(members) = document else {
            return Err(PolicyError::new("the policy must be an object"));
        };
        let mut statements = None;
        let mut version = false;
        for (name, value) in members {
            match name.as_str() {
                "Version" if value == Json::Text("1".to_owned()) => version = true,
                "Version" => return Err(PolicyError::new("the Version must be \"1\"")),
                "Statement" => {
                    statements = Some(match value {
                        Json::List(list) => list,
                        one => vec![one],
                    });
                }
                _ => return Err(PolicyError::new(format!("the element {name} is unknown"))),
            }
        }
        let statements = statements.filter(|list| !list.is_empty());
        let statements =
            statements.ok_or_else(|| PolicyError::new("the policy has no Statement"))?;
        if !version {
            return Err(PolicyError::new("the policy has no Version"));
        }
        let read = |(at, one): (usize, &Json)| {
            Statement::read(one, kind, lenient)
                .map_err(|error| error.within(&format!("statement {}", at + 1)))
        };
        let statements = statements.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self::compile(text, kind, statements))
    }

    fn compile(text: &str, kind: PolicyKind, statements: Vec<Statement>) -> Self {
        let mut by_action = std::collections::BTreeMap::<Box<str>, Vec<usize>>::new();
        let mut others = Vec::new();
        let mut needs = Needs::default();
        for (at, statement) in statements.iter().enumerate() {
            needs = statement.tests.iter().fold(needs, |needs, test| needs.or(test.needs()));
            let exact = |action: &Glob| match action {
                Glob::Exact(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
                Glob::Any | Glob::Prefix(_) | Glob::Wild(_) => None,
            };
            let names: Option<Vec<Box<str>>> =
                statement.actions.patterns.iter().map(exact).collect();
            match names.filter(|_| !statement.actions.negated) {
                None => others.push(at),
                Some(names) => {
                    for name in names {
                        let listed = by_action.entry(name).or_default();
                        if listed.last() != Some(&at) {
                            listed.push(at);
                        }
                    }
                }
            }
        }
        let by_action = by_action.into_iter().collect();
        let beginnings = Beginnings::of(&statements);
        Self { kind, text: text.into(), statements, by_action, others, beginnings, needs }
    }

    /// What it is attached to.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The document as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its statements, in the order written.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// What its conditions look at.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Whether a statement opens a bucket to the public.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }

    /// The first resource that is neither this bucket nor in it, whatever the account.
    pub fn resource_outside(&self, bucket: &str) -> Option<&str> {
        let lists = self.statements.iter().filter_map(|statement| statement.resources.as_ref());
        lists
            .filter(|list| !list.negated)
            .flat_map(|list| &list.patterns)
            .find(|pattern| !pattern.may_name(bucket))
            .map(ResourcePattern::text)
    }

    /// What those statements say of a request that `applies` lets speak: a denial before any permission, of several the first.
    pub fn evaluate(&self, ask: &Ask<'_>, applies: impl Fn(&Statement) -> bool) -> Verdict {
        let by_name = |name: &str| {
            let letters = name.bytes();
            letters.cmp(ask.action.bytes().map(|letter| letter.to_ascii_lowercase()))
        };
        let found = self.by_action.binary_search_by(|(name, _)| by_name(name));
        let found = found.ok().and_then(|at| self.by_action.get(at));
        let mut named = found.map_or(&[][..], |(_, listed)| listed.as_slice()).iter().peekable();
        let mut others = self.others.iter().peekable();
        let mut allowed = None;
        let relative = ask.resource.rest(RELATIVE);
        loop {
            // Both are in order and have nothing in common.
            let next = match (named.peek(), others.peek()) {
                (Some(one), Some(other)) if one < other => named.next(),
                (_, Some(_)) => others.next(),
                (_, None) => named.next(),
            };
            let Some(&at) = next else { break };
            if !self.beginnings.may_be(at, relative, ask.resource.letters) {
                continue;
            }
            let Some(statement) = self.statements.get(at) else { break };
            if statement.effect == Effect::Allow && allowed.is_some() {
                continue;
            }
            if applies(statement) && statement.matches(ask) {
                match statement.effect {
                    Effect::Deny => return Verdict::Denied(at),
                    Effect::Allow => allowed = Some(at),
                }
            }
        }
        allowed.map_or(Verdict::Silent, Verdict::Allowed)
    }
}

impl Statement {
    fn read(one: &Json, kind: PolicyKind, lenient: bool) -> Result<Statement, PolicyError> {
        let Json::Object(members) = one else {
            return Err(PolicyError::new("it must be an object"));
        };
        let (mut sid, mut effect, mut actions, mut resources, mut principals) =
            (None, None, None, None, None);
        let mut tests = Vec::new();
        let twice =
            |name: &str| PolicyError::new(format!("{name} and Not{name} exclude each other"));
        for (name, value) in members {
            let negated = name.starts_with("Not");
            match name.as_str() {
                "Sid" => match value {
                    Json::Text(text) => sid = Some(Arc::from(text.as_str())),
                    _ => return Err(PolicyError::new("the Sid must be a text")),
                },
                "Effect" => {
                    effect = Some(match value {
                        Json::Text(text) if text == "Allow" => Effect::Allow,
                        Json::Text(text) if text == "Deny" => Effect::Deny,
                        _ => return Err(PolicyError::new("the Effect must be Allow or Deny")),
                    });
                }
                "Action" | "NotAction" => {
                    if actions.replace(action_list(name, value, negated)?).is_some() {
                        return Err(twice("Action"));
                    }
                }
                "Resource" | "NotResource" if kind != PolicyKind::Trust => {
                    if resources.replace(resource_list(kind, name, value, negated)?).is_some() {
                        return Err(twice("Resource"));
                    }
                }
                "Principal" | "NotPrincipal" if kind == PolicyKind::Bucket => {
                    if principals.replace(Principals::of_bucket(value, negated)?).is_some() {
                        return Err(twice("Principal"));
                    }
                }
                "Principal" if kind == PolicyKind::Trust => {
                    principals = Some(Principals::of_trust(value)?);
                }
                "Condition" => tests = Test::parse_block(value, lenient)?,
                _ => return Err(PolicyError::new(format!("the element {name} is unknown here"))),
            }
        }
        let missing = |name: &str| PolicyError::new(format!("the {name} is missing"));
        let principals = match kind {
            PolicyKind::Identity | PolicyKind::Session => None,
            // Some programs name nobody, and that is taken, as if it were everybody.
            PolicyKind::Bucket => Some(principals.unwrap_or_else(Principals::everybody)),
            PolicyKind::Trust => Some(principals.ok_or_else(|| missing("Principal"))?),
        };
        let effect = effect.ok_or_else(|| missing("Effect"))?;
        let actions = actions.ok_or_else(|| missing("Action"))?;
        let resources = match kind {
            PolicyKind::Trust => None,
            _ => Some(resources.ok_or_else(|| missing("Resource"))?),
        };
        Ok(Statement { sid, effect, actions, resources, principals, tests })
    }
}

/// The texts of an element that must name something.
fn some_texts(name: &str, value: &Json) -> Result<Vec<String>, PolicyError> {
    let texts = value.texts().filter(|texts| !texts.is_empty());
    texts.ok_or_else(|| PolicyError::new(format!("the {name} must be a text or a list of texts")))
}

fn action_list(name: &str, value: &Json, negated: bool) -> Result<List<Glob>, PolicyError> {
    let mut patterns = Vec::new();
    for text in some_texts(name, value)? {
        let of_name = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'?' | b'-' | b'_' | b'/' | b'.')
        };
        let valid = match text.split_once(':') {
            Some((service, action)) => {
                !service.is_empty()
                    && !action.is_empty()
                    && service.bytes().chain(action.bytes()).all(of_name)
            }
            None => text == "*",
        };
        if !valid {
            return Err(PolicyError::new(format!(
                "the action {text:?} is neither <service>:<name> nor *"
            )));
        }
        patterns.push(Glob::new(&text));
    }
    Ok(List { negated, patterns })
}

fn resource_list(
    kind: PolicyKind,
    name: &str,
    value: &Json,
    negated: bool,
) -> Result<List<ResourcePattern>, PolicyError> {
    let mut patterns = Vec::new();
    let mut texts = some_texts(name, value)?;
    if kind == PolicyKind::Bucket {
        texts = value.unpacked_texts().unwrap_or_default();
    }
    for text in texts {
        let pattern = ResourcePattern::new(&text).ok_or_else(|| {
            let form = "acs:<service>:<region>:<account>:<name>";
            PolicyError::new(format!("the resource {text:?} is neither {form} nor *"))
        })?;
        patterns.push(pattern);
    }
    Ok(List { negated, patterns })
}

#[cfg(test)]
mod tests;
