//! What the rules say of one object: pure, so that it can be told beforehand as well as done.

use ossia_protocol::xml::config::{LifecycleConfiguration, LifecycleRule, When};

use super::Expiration;
use crate::{
    ObjectInfo,
    records::{Head, Kind},
    words::{ObjectKey, ObjectType, StorageClass},
};

/// What rules ask about an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) key: &'a str,
    pub(super) tags: &'a [(String, String)],
    pub(super) length: u64,
    pub(super) modified_s: u64,
    pub(super) class: StorageClass,
    /// The coldest class that it may be in.
    pub(super) coldest: StorageClass,
}

impl<'a> Subject<'a> {
    pub(super) fn of_head(key: &'a ObjectKey, head: &'a Head) -> Self {
        Self {
            key: key.as_str(),
            tags: &head.tags,
            length: head.length,
            modified_s: head.modified_s,
            class: head.storage_class,
            coldest: match head.kind {
                // What could still be appended to goes no further, and a link has no bytes to keep cold.
                Kind::Appendable { sealed_s: None, .. } | Kind::Symlink { .. } => {
                    StorageClass::Archive
                }
                _ => StorageClass::DeepColdArchive,
            },
        }
    }

    pub(super) fn of_info(info: &'a ObjectInfo) -> Self {
        let open = info.kind == ObjectType::Appendable && info.sealed_at.is_none();
        Self {
            key: info.key.as_str(),
            tags: &info.tags,
            length: info.length,
            modified_s: info.last_modified,
            class: info.storage_class,
            coldest: match open || info.kind == ObjectType::Symlink {
                true => StorageClass::Archive,
                false => StorageClass::DeepColdArchive,
            },
        }
    }
}

/// What is due for an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fates {
    /// It is deleted, unless it is protected.
    pub(super) expires: bool,
    /// It comes into this class, unless it is deleted.
    pub(super) class: Option<StorageClass>,
}

/// When something that depends on an object's age is due, in seconds; `None` for never.
///
/// Days act at the begin of the first day at which the age is reached; a date from then on, on what was changed before it.
pub(super) fn due(when: When, modified_s: u64, day_s: u64) -> Option<u64> {
    match when {
        When::Days(days) => {
            let aged = modified_s.saturating_add(days.saturating_mul(day_s));
            Some(aged.div_ceil(day_s).saturating_mul(day_s))
        }
        When::Before(date) => u64::try_from(date).ok().filter(|date| modified_s < *date),
    }
}

/// Whether a rule is about an object.
fn applies(rule: &LifecycleRule, subject: &Subject<'_>) -> bool {
    let has = |tag: &(String, String)| subject.tags.contains(tag);
    rule.enabled
        && subject.key.starts_with(&rule.prefix)
        && rule.tags.iter().all(has)
        && rule.larger_than.is_none_or(|size| subject.length > size)
        && rule.smaller_than.is_none_or(|size| subject.length < size)
        && !rule
            .nots
            .iter()
            .any(|not| subject.key.starts_with(&not.prefix) && not.tag.as_ref().is_none_or(has))
}

/// When an object expires first, and by which rule.
pub(super) fn expiration(
    rules: &LifecycleConfiguration,
    subject: &Subject<'_>,
    day_s: u64,
) -> Option<Expiration> {
    let rules = rules.rules.iter().filter(|rule| applies(rule, subject));
    let due =
        rules.filter_map(|rule| Some((due(rule.expiration?, subject.modified_s, day_s)?, rule)));
    let (at, rule) = due.min_by_key(|(at, _)| *at)?;
    Some(Expiration { at, rule: rule.id.clone() })
}

/// What is due at a time. Of classes the coldest counts, and never a warmer one than the present.
pub(super) fn fates(
    rules: &LifecycleConfiguration,
    subject: &Subject<'_>,
    now_s: u64,
    day_s: u64,
) -> Fates {
    let mut fates = Fates::default();
    for rule in rules.rules.iter().filter(|rule| applies(rule, subject)) {
        let is_due = |when| due(when, subject.modified_s, day_s).is_some_and(|due| due <= now_s);
        fates.expires |= rule.expiration.is_some_and(is_due);
        for transition in rule.transitions.iter().filter(|transition| is_due(transition.when)) {
            let class = transition.class;
            let warmest = fates.class.unwrap_or(subject.class);
            if cold(class) > cold(warmest) && cold(class) <= cold(subject.coldest) {
                fates.class = Some(class);
            }
        }
    }
    fates
}

/// What is due for a version that another one stands on: its age counts from when that one came.
pub(super) fn fates_of_older(
    rules: &LifecycleConfiguration,
    subject: &Subject<'_>,
    head: &Head,
    now_s: u64,
    day_s: u64,
) -> Fates {
    let mut fates = Fates::default();
    let Some(since_s) = head.noncurrent_s else { return fates };
    for rule in rules.rules.iter().filter(|rule| applies(rule, subject)) {
        let is_due = |when| due(when, since_s, day_s).is_some_and(|due| due <= now_s);
        fates.expires |= rule.noncurrent_expiration.is_some_and(|days| is_due(When::Days(days)));
        if head.is_marker() {
            continue;
        }
        for transition in rule.noncurrent_transitions.iter().filter(|one| is_due(one.when)) {
            let class = transition.class;
            let warmest = fates.class.unwrap_or(subject.class);
            if cold(class) > cold(warmest) && cold(class) <= cold(subject.coldest) {
                fates.class = Some(class);
            }
        }
    }
    fates
}

/// Whether a delete marker that stands alone is removed. It has no tags and no size, so rules about these are not about it.
pub(super) fn fates_of_marker(
    rules: &LifecycleConfiguration,
    subject: &Subject<'_>,
    now_s: u64,
    day_s: u64,
) -> Fates {
    let mut about = rules.rules.iter().filter(|rule| applies(rule, subject));
    let expires = about.any(|rule| {
        let aged = rule.expiration.and_then(|when| due(when, subject.modified_s, day_s));
        rule.expired_delete_marker || aged.is_some_and(|due| due <= now_s)
    });
    Fates { expires, class: None }
}

fn cold(class: StorageClass) -> u8 {
    match class {
        StorageClass::Standard => 0,
        StorageClass::Ia => 1,
        StorageClass::Archive => 2,
        StorageClass::ColdArchive => 3,
        StorageClass::DeepColdArchive => 4,
    }
}

/// Whether any rule gives uploads up.
pub(super) fn gives_uploads_up(rules: &LifecycleConfiguration) -> bool {
    rules.rules.iter().any(|rule| rule.enabled && rule.abort_uploads.is_some())
}

/// Whether an upload is given up at a time. Uploads have a prefix and nothing else that rules ask for.
pub(super) fn upload_is_over(
    rules: &LifecycleConfiguration,
    key: &str,
    initiated_s: u64,
    now_s: u64,
    day_s: u64,
) -> bool {
    rules.rules.iter().any(|rule| {
        rule.enabled
            && key.starts_with(&rule.prefix)
            && !rule.nots.iter().any(|not| not.tag.is_none() && key.starts_with(&not.prefix))
            && rule
                .abort_uploads
                .and_then(|when| due(when, initiated_s, day_s))
                .is_some_and(|due| due <= now_s)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    /// 2026-01-01 00:00 UTC.
    const MIDNIGHT: u64 = 1_767_225_600;

    fn rules(inside: &str) -> LifecycleConfiguration {
        let text = format!("<LifecycleConfiguration>{inside}</LifecycleConfiguration>");
        LifecycleConfiguration::parse(text.as_bytes(), true, || "made".into()).unwrap()
    }

    fn rule(id: &str, inside: &str) -> String {
        format!("<Rule><ID>{id}</ID><Status>Enabled</Status>{inside}</Rule>")
    }

    fn days(n: u64) -> String {
        format!("<Expiration><Days>{n}</Days></Expiration>")
    }

    fn to(n: u64, class: &str) -> String {
        format!("<Transition><Days>{n}</Days><StorageClass>{class}</StorageClass></Transition>")
    }

    fn subject<'a>(key: &'a str, tags: &'a [(String, String)]) -> Subject<'a> {
        Subject {
            key,
            tags,
            length: 100,
            modified_s: MIDNIGHT + 7 * 3_600,
            class: StorageClass::Standard,
            coldest: StorageClass::DeepColdArchive,
        }
    }

    fn expires(rules: &LifecycleConfiguration, subject: &Subject<'_>, now_s: u64) -> bool {
        fates(rules, subject, now_s, DAY).expires
    }

    #[test]
    fn days_act_at_the_first_midnight_at_which_the_age_is_reached() {
        let one = rules(&rule("a", &days(1)));
        let mut object = subject("k", &[]);
        for (modified, due) in [(0, 1), (1, 2), (7 * 3_600, 2), (DAY - 1, 2), (DAY, 2)] {
            object.modified_s = MIDNIGHT + modified;
            let due = MIDNIGHT + due * DAY;
            assert!(!expires(&one, &object, due - 1), "{modified}");
            assert!(expires(&one, &object, due), "{modified}");
            let told = Expiration { at: due, rule: "a".into() };
            assert_eq!(expiration(&one, &object, DAY), Some(told));
        }
    }

    #[test]
    fn a_date_acts_from_then_on_and_on_what_was_changed_before() {
        let text = "<Expiration><CreatedBeforeDate>2026-01-02T00:00:00.000Z</CreatedBeforeDate></Expiration>";
        let dated = rules(&rule("a", text));
        let mut object = subject("k", &[]);
        assert!(!expires(&dated, &object, MIDNIGHT + DAY - 1));
        assert!(expires(&dated, &object, MIDNIGHT + DAY));
        object.modified_s = MIDNIGHT + DAY;
        assert!(!expires(&dated, &object, MIDNIGHT + 9 * DAY));
        assert_eq!(expiration(&dated, &object, DAY), None);
    }

    #[test]
    fn prefix_tags_and_sizes_all_count_and_nots_leave_out() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = "<Rule><ID>a</ID><Prefix>logs/</Prefix><Status>Enabled</Status>\
            <Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag>\
            <Filter><Not><Prefix>logs/keep/</Prefix></Not><Not><Prefix>logs/</Prefix><Tag><Key>keep</Key>\
            <Value>yes</Value></Tag></Not><ObjectSizeGreaterThan>99</ObjectSizeGreaterThan>\
            <ObjectSizeLessThan>101</ObjectSizeLessThan></Filter>\
            <Expiration><Days>1</Days></Expiration></Rule>";
        let all = rules(text);
        let both = [tag("b", "2"), tag("a", "1"), tag("c", "3")];
        let kept = [tag("b", "2"), tag("a", "1"), tag("keep", "yes")];
        let later = MIDNIGHT + 9 * DAY;
        assert!(expires(&all, &subject("logs/x", &both), later));
        for (key, tags) in [
            ("log/x", &both[..]),
            ("logs/keep/x", &both[..]),
            ("logs/x", &both[..1]),
            ("logs/x", &kept[..]),
            ("logs/x", &[]),
        ] {
            assert!(!expires(&all, &subject(key, tags), later), "{key} {tags:?}");
        }
        for length in [99, 101] {
            let object = Subject { length, ..subject("logs/x", &both) };
            assert!(!expires(&all, &object, later), "{length}");
        }
        let off = rules(&text.replace("Enabled", "Disabled"));
        assert!(!expires(&off, &subject("logs/x", &both), later));
    }

    #[test]
    fn classes_only_become_colder_and_the_coldest_that_is_due_counts() {
        use StorageClass::{Archive, ColdArchive, DeepColdArchive, Ia, Standard};
        let text = to(1, "IA") + &to(3, "Archive") + &to(5, "ColdArchive");
        let all = rules(&rule("a", &text));
        let class = |from, coldest, day| {
            let object = Subject { class: from, coldest, ..subject("k", &[]) };
            fates(&all, &object, MIDNIGHT + day * DAY, DAY).class
        };
        assert_eq!(class(Standard, DeepColdArchive, 1), None);
        assert_eq!(class(Standard, DeepColdArchive, 2), Some(Ia));
        assert_eq!(class(Standard, DeepColdArchive, 4), Some(Archive));
        assert_eq!(class(Ia, DeepColdArchive, 4), Some(Archive));
        assert_eq!(class(Archive, DeepColdArchive, 4), None);
        assert_eq!(class(DeepColdArchive, DeepColdArchive, 9), None);
        assert_eq!(class(Standard, DeepColdArchive, 9), Some(ColdArchive));
        // What can be appended to goes no further.
        assert_eq!(class(Standard, Archive, 9), Some(Archive));
        assert_eq!(class(Archive, Archive, 9), None);
    }

    #[test]
    fn the_earliest_of_several_rules_is_told_and_acts() {
        let both = rules(
            &(rule("late", &days(9))
                + &rule("soon", &("<Prefix>k</Prefix>".to_owned() + &days(2)))),
        );
        let told = expiration(&both, &subject("k", &[]), DAY).unwrap();
        assert_eq!((told.at, told.rule.as_str()), (MIDNIGHT + 3 * DAY, "soon"));
        assert!(expires(&both, &subject("k", &[]), told.at));
        assert_eq!(expiration(&both, &subject("x", &[]), DAY).unwrap().rule, "late");
    }

    #[test]
    fn an_upload_is_given_up_by_its_age_and_prefix() {
        let text =
            "<Prefix>up/</Prefix><AbortMultipartUpload><Days>1</Days></AbortMultipartUpload>";
        let all = rules(&rule("a", text));
        assert!(gives_uploads_up(&all) && !gives_uploads_up(&rules(&rule("a", &days(1)))));
        let over = |key, now| upload_is_over(&all, key, MIDNIGHT, now, DAY);
        assert!(over("up/x", MIDNIGHT + DAY));
        assert!(!over("up/x", MIDNIGHT + DAY - 1));
        assert!(!over("x", MIDNIGHT + DAY));
    }

    #[test]
    fn no_numbers_make_a_judge_overflow() {
        for days in [0, 1, u64::MAX] {
            for modified in [0, MIDNIGHT, u64::MAX] {
                for day in [1, DAY, u64::MAX] {
                    due(When::Days(days), modified, day);
                }
            }
        }
        assert_eq!(due(When::Before(-1), 0, DAY), None);
    }
}
