//! `LifecycleConfiguration`: when objects expire, change their class, and uploads are given up.
//!
//! The whole grammar is read, checked and kept. A worker reads the kept document with [`LifecycleConfiguration::parse`].

use super::schema::{Node, flag, group, groups, invalid, leaf, malformed, read_root, write};
use crate::attributes::StorageClass;
use crate::error::{ErrorCode, OssError};
use crate::time;
use crate::xml::reader::{Element, Limits};
use crate::xml::writer::Writer;
use crate::xml::{XmlError, read_bool, read_number};

/// Most rules of a bucket.
pub const LIFECYCLE_RULES_MAX: usize = 1000;
const LIMITS: Limits = Limits { bytes: 512 * 1024, depth: 8, elements: 48 * 1024 };
const ID_BYTES_MAX: usize = 255;
const PREFIX_BYTES_MAX: usize = 1023;
const NOTS_MAX: usize = 10;
const TAGS_MAX: usize = 10;
const DAYS_MAX: u64 = 100_000;
const DAY_SECONDS: i64 = 86_400;

const TAG: &[Node] = &[leaf("Key"), leaf("Value")];
const TRANSITION: &[Node] = &[
    leaf("Days"),
    leaf("CreatedBeforeDate"),
    leaf("StorageClass"),
    flag("IsAccessTime"),
    flag("ReturnToStdWhenVisit"),
    flag("AllowSmallFile"),
];
const NONCURRENT_TRANSITION: &[Node] = &[
    leaf("NoncurrentDays"),
    leaf("StorageClass"),
    flag("IsAccessTime"),
    flag("ReturnToStdWhenVisit"),
    flag("AllowSmallFile"),
];
const RULE: &[Node] = &[
    leaf("ID"),
    leaf("Prefix"),
    leaf("Status"),
    groups("Tag", TAG),
    group(
        "Filter",
        &[
            groups("Not", &[leaf("Prefix"), group("Tag", TAG)]),
            leaf("ObjectSizeGreaterThan"),
            leaf("ObjectSizeLessThan"),
        ],
    ),
    group(
        "Expiration",
        &[leaf("Days"), leaf("CreatedBeforeDate"), leaf("Date"), flag("ExpiredObjectDeleteMarker")],
    ),
    groups("Transition", TRANSITION),
    group("AbortMultipartUpload", &[leaf("Days"), leaf("CreatedBeforeDate")]),
    group("NoncurrentVersionExpiration", &[leaf("NoncurrentDays")]),
    groups("NoncurrentVersionTransition", NONCURRENT_TRANSITION),
];

/// The rules of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifecycleConfiguration {
    /// One to [`LIFECYCLE_RULES_MAX`].
    pub rules: Vec<LifecycleRule>,
    /// The document that is kept and told.
    pub document: String,
}

/// When something happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// So many days after it was last changed.
    Days(u64),
    /// If it was last changed before this time, in Unix seconds; a midnight in UTC.
    Before(i64),
}

/// A change of class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub when: When,
    /// To what; never Standard.
    pub class: StorageClass,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LifecycleRule {
    /// Unique.
    pub id: String,
    /// Of the keys that it is about; empty is all.
    pub prefix: String,
    /// Whether it acts.
    pub enabled: bool,
    /// Tags that an object must have, all of them.
    pub tags: Vec<(String, String)>,
    /// What is left out.
    pub nots: Vec<NotFilter>,
    /// Only objects of more bytes.
    pub larger_than: Option<u64>,
    /// Only objects of fewer bytes.
    pub smaller_than: Option<u64>,
    /// When objects are deleted.
    pub expiration: Option<When>,
    /// Whether a delete marker that is alone is removed.
    pub expired_delete_marker: bool,
    /// When objects change their class.
    pub transitions: Vec<Transition>,
    /// When uploads are given up.
    pub abort_uploads: Option<When>,
    /// Days after which older versions are deleted.
    pub noncurrent_expiration: Option<u64>,
    /// Days after which older versions change their class.
    pub noncurrent_transitions: Vec<Transition>,
}

/// What a rule leaves out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotFilter {
    /// Of keys.
    pub prefix: String,
    /// A tag that they have besides.
    pub tag: Option<(String, String)>,
}

impl LifecycleConfiguration {
    /// Reads and checks a `LifecycleConfiguration` document. `new_id` names rules that have no name; `allow_overlap` is the request's
    /// `x-oss-allow-same-action-overlap`.
    ///
    /// # Errors
    /// 400 `MalformedXML`, `InvalidArgument`, `InvalidRequest`.
    pub fn parse(
        document: &[u8],
        allow_overlap: bool,
        new_id: impl Fn() -> String,
    ) -> Result<Self, OssError> {
        let mut root = read_root(document, "LifecycleConfiguration", LIMITS)?;
        let mut rules: Vec<LifecycleRule> = Vec::new();
        for element in root.children.iter_mut().filter(|child| child.name == "Rule") {
            if rules.len() == LIFECYCLE_RULES_MAX {
                let error = XmlError::TooMany { element: "Rule", limit: LIFECYCLE_RULES_MAX };
                return Err(malformed(error));
            }
            complete(element, &new_id);
            rules.push(LifecycleRule::read(element)?);
        }
        if rules.is_empty() {
            return Err(malformed(XmlError::Missing("Rule")));
        }
        let mut ids: Vec<&str> = rules.iter().map(|rule| &*rule.id).collect();
        ids.sort_unstable();
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(invalid("ID", pair[0], "The ID of a rule must be unique."));
        }
        check_overlaps(&rules, allow_overlap)?;
        let mut w = Writer::document(document.len());
        write(&mut w, &root, "LifecycleConfiguration", &[groups("Rule", RULE)]);
        Ok(Self { rules, document: w.finish() })
    }

    /// Of rules that are about the same objects: colder classes must come later, and the expiration last.
    ///
    /// # Errors
    /// 400 `InvalidArgument`, EC 0014-00000082.
    pub fn check_order_across(&self) -> Result<(), OssError> {
        let mut sorted: Vec<&LifecycleRule> = self.rules.iter().collect();
        sorted.sort_by(|a, b| a.prefix.cmp(&b.prefix));
        let mut chain: Vec<&LifecycleRule> = Vec::new();
        for rule in sorted {
            while chain.last().is_some_and(|outer| !rule.prefix.starts_with(&outer.prefix)) {
                chain.pop();
            }
            for outer in &chain {
                let apart = outer.tags != rule.tags
                    || !rule.nots.is_empty()
                    || !outer.nots.is_empty()
                    || !rule.enabled
                    || !outer.enabled;
                if !apart && (precedes_wrongly(outer, rule) || precedes_wrongly(rule, outer)) {
                    let message = "Rules of overlapping prefixes must move to colder classes later, \
                                   and expire last.";
                    return Err(OssError::new(ErrorCode::InvalidArgument)
                        .with_message(message)
                        .with_ec("0014-00000082"));
                }
            }
            chain.push(rule);
        }
        Ok(())
    }
}

/// Whether a step of one rule comes too late for a colder step of the other. That both expire is no conflict: the first that is due
/// does it.
fn precedes_wrongly(warm: &LifecycleRule, cold: &LifecycleRule) -> bool {
    let late =
        |step: When, other: When| matches!((step, other), (When::Days(a), When::Days(b)) if a >= b);
    warm.transitions.iter().any(|step| {
        cold.expiration.is_some_and(|end| late(step.when, end))
            || cold.transitions.iter().any(|other| {
                coldness(step.class) < coldness(other.class) && late(step.when, other.when)
            })
    })
}

/// Adds what every rule must tell: one SDK fails without.
fn complete(rule: &mut Element, new_id: &impl Fn() -> String) {
    let leaf =
        |name: &str, text: String| Element { name: name.to_owned(), text, ..Element::default() };
    if rule.child_value("ID").is_none() {
        rule.children.retain(|child| child.name != "ID");
        rule.children.push(leaf("ID", new_id()));
    }
    if rule.child("Prefix").is_none() {
        rule.children.push(leaf("Prefix", String::new()));
    }
}

/// Rules must not contradict each other. Rules with tags of their own are about other objects.
fn check_overlaps(rules: &[LifecycleRule], allow_overlap: bool) -> Result<(), OssError> {
    let conflict = |ec, message: &'static str| {
        Err(OssError::new(ErrorCode::InvalidArgument).with_message(message).with_ec(ec))
    };
    let mut sorted: Vec<&LifecycleRule> = rules.iter().collect();
    sorted.sort_by(|a, b| a.prefix.cmp(&b.prefix));
    // Sorted, the rules whose prefix a rule's begins with are a chain of its predecessors.
    let mut chain: Vec<&LifecycleRule> = Vec::new();
    for rule in sorted {
        while chain.last().is_some_and(|outer| !rule.prefix.starts_with(&outer.prefix)) {
            chain.pop();
        }
        for outer in &chain {
            let same_tags = outer.tags == rule.tags;
            if outer.prefix == rule.prefix && same_tags && outer.nots == rule.nots {
                return conflict("0014-00000085", "Rules must not have the same prefix and tags.");
            }
            if !same_tags || !rule.nots.is_empty() || !outer.nots.is_empty() || allow_overlap {
                continue;
            }
            let both = |a: bool, b: bool| a && b;
            if both(outer.expiration.is_some(), rule.expiration.is_some())
                || both(outer.abort_uploads.is_some(), rule.abort_uploads.is_some())
                || both(outer.noncurrent_expiration.is_some(), rule.noncurrent_expiration.is_some())
                || outer
                    .transitions
                    .iter()
                    .any(|one| rule.transitions.iter().any(|other| one.class == other.class))
            {
                return conflict(
                    "0014-00000084",
                    "Rules of overlapping prefixes must not have the same action.",
                );
            }
        }
        chain.push(rule);
    }
    Ok(())
}

impl LifecycleRule {
    fn read(element: &Element) -> Result<Self, OssError> {
        let text = |name| element.child_value(name).unwrap_or_default().to_owned();
        let mut rule = Self {
            id: text("ID"),
            prefix: element.child_text("Prefix").unwrap_or_default().to_owned(),
            enabled: match element.child_value("Status") {
                Some("Enabled") => true,
                Some("Disabled") => false,
                Some(_) => return Err(malformed(XmlError::Value("Status"))),
                None => return Err(malformed(XmlError::Missing("Status"))),
            },
            tags: element.children_named("Tag").map(tag).collect::<Result<_, _>>()?,
            ..Self::default()
        };
        if rule.id.len() > ID_BYTES_MAX {
            return Err(invalid("ID", &rule.id, "The ID of a rule is too long."));
        }
        if rule.prefix.len() > PREFIX_BYTES_MAX {
            return Err(invalid("Prefix", &rule.prefix, "The prefix is too long."));
        }
        if rule.tags.len() > TAGS_MAX {
            return Err(invalid("Tag", "", "A rule has too many tags."));
        }
        if let Some(filter) = element.child("Filter") {
            rule.read_filter(filter)?;
        }
        rule.read_expiration(element)?;
        for transition in element.children_named("Transition") {
            let when = when(transition, &["CreatedBeforeDate"])?;
            let when = when.ok_or_else(|| malformed(XmlError::Missing("Days")))?;
            rule.transitions.push(Transition { when, class: class(transition)? });
        }
        if let Some(abort) = element.child("AbortMultipartUpload") {
            rule.abort_uploads = when(abort, &["CreatedBeforeDate"])?;
        }
        if let Some(expiration) = element.child("NoncurrentVersionExpiration") {
            rule.noncurrent_expiration = days(expiration, "NoncurrentDays")?;
        }
        for transition in element.children_named("NoncurrentVersionTransition") {
            let days = days(transition, "NoncurrentDays")?;
            let days = days.ok_or_else(|| malformed(XmlError::Missing("NoncurrentDays")))?;
            let transition = Transition { when: When::Days(days), class: class(transition)? };
            rule.noncurrent_transitions.push(transition);
        }
        rule.check()?;
        Ok(rule)
    }

    fn read_filter(&mut self, filter: &Element) -> Result<(), OssError> {
        for not in filter.children_named("Not") {
            if self.nots.len() == NOTS_MAX {
                return Err(malformed(XmlError::TooMany { element: "Not", limit: NOTS_MAX }));
            }
            let prefix = not.child_text("Prefix").unwrap_or_default().to_owned();
            if !prefix.starts_with(&self.prefix) {
                let message = "What is left out must lie below the prefix of its rule.";
                return Err(invalid("Not", &prefix, message));
            }
            self.nots.push(NotFilter { prefix, tag: not.child("Tag").map(tag).transpose()? });
        }
        let number = |name| read_number(filter, name).map_err(malformed);
        self.larger_than = number("ObjectSizeGreaterThan")?;
        self.smaller_than = number("ObjectSizeLessThan")?;
        if let (Some(larger), Some(smaller)) = (self.larger_than, self.smaller_than)
            && larger >= smaller
        {
            return Err(invalid("ObjectSizeLessThan", "", "The sizes leave no object."));
        }
        Ok(())
    }

    fn read_expiration(&mut self, element: &Element) -> Result<(), OssError> {
        let Some(expiration) = element.child("Expiration") else { return Ok(()) };
        self.expiration = when(expiration, &["CreatedBeforeDate", "Date"])?;
        self.expired_delete_marker =
            read_bool(expiration, "ExpiredObjectDeleteMarker").map_err(malformed)?;
        if self.expiration.is_some() && self.expired_delete_marker {
            let message = "ExpiredObjectDeleteMarker can not be combined with days or a date.";
            return Err(invalid("ExpiredObjectDeleteMarker", "true", message));
        }
        if self.expired_delete_marker && !self.tags.is_empty() {
            let message = "ExpiredObjectDeleteMarker can not be combined with tags.";
            return Err(invalid("ExpiredObjectDeleteMarker", "true", message));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), OssError> {
        if self.expiration.is_none()
            && !self.expired_delete_marker
            && self.transitions.is_empty()
            && self.abort_uploads.is_none()
            && self.noncurrent_expiration.is_none()
            && self.noncurrent_transitions.is_empty()
        {
            return Err(invalid("Rule", "", "A rule must have an action."));
        }
        if self.abort_uploads.is_some() && !self.tags.is_empty() {
            return Err(invalid("AbortMultipartUpload", "", "Uploads have no tags."));
        }
        check_order(self.expiration, &self.transitions)?;
        check_order(self.noncurrent_expiration.map(When::Days), &self.noncurrent_transitions)
    }
}

/// Colder comes later, and deletion last; all in days or all by date.
fn check_order(expiration: Option<When>, transitions: &[Transition]) -> Result<(), OssError> {
    let mut steps: Vec<(When, u8)> =
        transitions.iter().map(|step| (step.when, coldness(step.class))).collect();
    steps.extend(expiration.map(|when| (when, u8::MAX)));
    let dated = steps.iter().filter(|(when, _)| matches!(when, When::Before(_))).count();
    if dated != 0 && dated != steps.len() {
        return Err(OssError::new(ErrorCode::InvalidRequest)
            .with_message("Days and dates can not be mixed in one rule."));
    }
    steps.sort_by_key(|(_, coldness)| *coldness);
    for pair in steps.windows(2) {
        let [(earlier, warm), (later, cold)] = pair else { continue };
        let in_order = match (earlier, later) {
            (When::Days(a), When::Days(b)) => a < b,
            // Of dates no order is asked.
            _ => true,
        };
        if warm == cold || !in_order {
            let message = "Colder classes must come later, and the expiration last.";
            return Err(invalid("Days", "", message));
        }
    }
    Ok(())
}

fn coldness(class: StorageClass) -> u8 {
    match class {
        StorageClass::Standard => 0,
        StorageClass::Ia => 1,
        StorageClass::Archive => 2,
        StorageClass::ColdArchive => 3,
        StorageClass::DeepColdArchive => 4,
    }
}

fn tag(element: &Element) -> Result<(String, String), OssError> {
    let key = element.child_text("Key").filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| malformed(XmlError::Missing("Key")))?.to_owned();
    Ok((key, element.child_text("Value").unwrap_or_default().to_owned()))
}

fn days(element: &Element, name: &'static str) -> Result<Option<u64>, OssError> {
    let Some(text) = element.child_value(name) else { return Ok(None) };
    match text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)) {
        Some(days) => Ok(Some(days)),
        None => Err(invalid(name, text, "The number of days must be positive.")),
    }
}

/// Days or a date, whichever is there.
fn when(element: &Element, dates: &[&'static str]) -> Result<Option<When>, OssError> {
    let mut found = days(element, "Days")?.map(When::Days);
    for name in dates {
        let Some(text) = element.child_value(name) else { continue };
        let bad = || invalid(name, text, "The date must be a midnight in UTC.");
        let date =
            time::parse_iso8601(text).filter(|date| date % DAY_SECONDS == 0).ok_or_else(bad)?;
        if found.replace(When::Before(date)).is_some() {
            return Err(malformed(XmlError::Value("Days")));
        }
    }
    Ok(found)
}

fn class(element: &Element) -> Result<StorageClass, OssError> {
    // By the time of the last access: needs a monitor that is off.
    if read_bool(element, "IsAccessTime").map_err(malformed)? {
        let message = "The access monitor is not enabled.";
        return Err(invalid("IsAccessTime", "true", message));
    }
    let text = element.child_value("StorageClass");
    let text = text.ok_or_else(|| malformed(XmlError::Missing("StorageClass")))?;
    match StorageClass::from_name(text) {
        Some(StorageClass::Standard) | None => {
            Err(invalid("StorageClass", text, "Objects can not be moved to this storage class."))
        }
        Some(class) => Ok(class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(rules: &str) -> Result<LifecycleConfiguration, (ErrorCode, Option<&'static str>)> {
        let text = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        LifecycleConfiguration::parse(text.as_bytes(), false, || "made".into())
            .map_err(|error| (error.code(), error.ec()))
    }

    fn rule(inside: &str) -> String {
        format!("<Rule><Prefix>p</Prefix><Status>Enabled</Status>{inside}</Rule>")
    }

    const WHOLE: &str = "<Rule><ID>all</ID><Prefix>a &amp; b/</Prefix><Status>Disabled</Status><Tag>\
    <Key>k</Key><Value>v\
        </Value></Tag><Filter><Not><Prefix>a &amp; b/c</Prefix><Tag><Key>x</Key><Value></Value></Tag></Not>\
        <ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>5</ObjectSizeLessThan></Filter>\
        <Expiration><Days>400</Days></Expiration><Transition><Days>30</Days><StorageClass>IA</StorageClass>\
        <IsAccessTime>false</IsAccessTime></Transition><Transition><Days>60</Days><StorageClass>Archive</StorageClass>\
        </Transition><NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays></NoncurrentVersionExpiration>\
        <NoncurrentVersionTransition><NoncurrentDays>3</NoncurrentDays><StorageClass>IA</StorageClass>\
        </NoncurrentVersionTransition></Rule>";

    #[test]
    fn the_whole_grammar_is_kept_as_it_was() {
        let read = parse(WHOLE).unwrap();
        let wanted = format!("<LifecycleConfiguration>{WHOLE}</LifecycleConfiguration>");
        assert!(read.document.ends_with(&wanted), "{}", read.document);
        assert_eq!(parse(WHOLE), Ok(read.clone()));
        let one = &read.rules[0];
        assert_eq!((one.enabled, one.expiration), (false, Some(When::Days(400))));
        assert_eq!(one.transitions[1].class, StorageClass::Archive);
        assert_eq!(one.nots[0].tag, Some(("x".into(), String::new())));
    }

    #[test]
    fn what_every_rule_must_tell_is_added() {
        let date = "2022-10-12T00:00:00.000Z";
        let text = format!(
            "<Rule><ID/><Status>Enabled</Status><Expiration><Date>{date}</Date></Expiration></Rule>"
        );
        let read = parse(&text).unwrap();
        assert!(
            read.document.contains("<Rule><ID>made</ID><Prefix></Prefix><Status>Enabled</Status>")
        );
        assert!(read.document.contains(&format!("<Date>{date}</Date>")));
    }

    #[test]
    fn what_no_rule_can_be_is_refused() {
        use ErrorCode::{InvalidArgument, InvalidRequest, MalformedXML};
        let days = |n| format!("<Expiration><Days>{n}</Days></Expiration>");
        let to = |n, class| {
            format!("<Transition><Days>{n}</Days><StorageClass>{class}</StorageClass></Transition>")
        };
        let date = |text| {
            format!("<Expiration><CreatedBeforeDate>{text}</CreatedBeforeDate></Expiration>")
        };
        let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
        for (inside, code) in [
            (String::new(), InvalidArgument),
            (days("0"), InvalidArgument),
            (days("-1"), InvalidArgument),
            (days("99999999999999999999"), InvalidArgument),
            (date("2022-10-12T00:00:01.000Z"), InvalidArgument),
            (date("tomorrow"), InvalidArgument),
            (to(30, "Standard"), InvalidArgument),
            (to(30, "Warm"), InvalidArgument),
            (days("30") + &to(30, "IA"), InvalidArgument),
            (to(30, "IA") + &to(20, "Archive"), InvalidArgument),
            (to(30, "IA") + &to(40, "IA"), InvalidArgument),
            (date("2022-10-12T00:00:00.000Z") + &to(30, "IA"), InvalidRequest),
            (
                "<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
                    .into(),
                InvalidArgument,
            ),
            (format!("{tag}<AbortMultipartUpload><Days>1</Days></AbortMultipartUpload>"), InvalidArgument),
            (
                "<Transition><Days>1</Days><StorageClass>IA</StorageClass><IsAccessTime>true</IsAccessTime>\
                </Transition>"
                    .into(),
                InvalidArgument,
            ),
            ("<Transition><StorageClass>IA</StorageClass></Transition>".into(), MalformedXML),
        ] {
            assert_eq!(parse(&rule(&inside)).map_err(|(code, _)| code), Err(code), "{inside}");
        }
        let status = format!("<Rule><Prefix/><Status>On</Status>{}</Rule>", days("1"));
        assert_eq!(parse(&status), Err((MalformedXML, Some("0015-00000231"))));
        assert_eq!(parse(""), Err((MalformedXML, Some("0015-00000231"))));
    }

    #[test]
    fn rules_that_contradict_each_other_are_refused() {
        let one = |id: &str, prefix: &str, tag: &str, days: u64| {
            format!(
                "<Rule><ID>{id}</ID><Prefix>{prefix}</Prefix><Status>Enabled</Status>{tag}<Expiration><Days>{days}\
                 </Days></Expiration></Rule>"
            )
        };
        let tag = "<Tag><Key>k</Key><Value>v</Value></Tag>";
        let ec = |rules: String| parse(&rules).map_err(|(_, ec)| ec).map(|_| ());
        assert_eq!(ec(one("a", "x", "", 1) + &one("b", "x", "", 2)), Err(Some("0014-00000085")));
        assert_eq!(ec(one("a", "x/", "", 1) + &one("b", "x/y", "", 2)), Err(Some("0014-00000084")));
        assert_eq!(ec(one("a", "x", "", 1) + &one("a", "y", "", 2)), Err(None));
        assert_eq!(ec(one("a", "x", "", 1) + &one("b", "y", "", 2)), Ok(()));
        assert_eq!(ec(one("a", "x", "", 1) + &one("b", "x", tag, 2)), Ok(()));
        let across = |days: u64, class: &str, inner: &str| {
            let rule = |id: &str, prefix: &str, inside: &str| {
                format!(
                    "<Rule><ID>{id}</ID><Prefix>{prefix}</Prefix><Status>Enabled</Status>{inside}</Rule>"
                )
            };
            let move_to = format!(
                "<Transition><Days>{days}</Days><StorageClass>{class}</StorageClass></Transition>"
            );
            let text = rule("a", "x", &move_to) + &rule("b", "x/y", inner);
            let text = format!("<LifecycleConfiguration>{text}</LifecycleConfiguration>");
            let parsed = LifecycleConfiguration::parse(text.as_bytes(), true, String::new).unwrap();
            parsed.check_order_across().map_err(|error| error.ec())
        };
        let archive =
            "<Transition><Days>40</Days><StorageClass>Archive</StorageClass></Transition>";
        let gone = "<Expiration><Days>40</Days></Expiration>";
        assert_eq!(across(45, "IA", archive), Err(Some("0014-00000082")));
        assert_eq!(across(30, "IA", archive), Ok(()));
        assert_eq!(across(45, "ColdArchive", archive), Ok(()));
        assert_eq!(across(45, "IA", gone), Err(Some("0014-00000082")));
        assert_eq!(across(30, "IA", gone), Ok(()));
        let overlap = one("a", "x/", "", 1) + &one("b", "x/y", "", 2);
        let text = format!("<LifecycleConfiguration>{overlap}</LifecycleConfiguration>");
        assert!(LifecycleConfiguration::parse(text.as_bytes(), true, String::new).is_ok());
    }
}
