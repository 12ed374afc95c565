//! Conditional requests: If-Match and its three relatives, and the same four for the source of a copy.
//!
//! A pure decision over the ETag and the Last-Modified of an object that exists. `If-Match` and `If-Unmodified-Since` must
//! both hold, else 412. After them `If-None-Match` decides between 200 and 304; `If-Modified-Since` decides only where
//! `If-None-Match` is absent, or a revalidation could be answered 304 for an object that changed within the same second.

use crate::{etag, time};

/// The conditions of one request, each as sent. Values that are not UTF-8 match nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions<'a> {
    if_match: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    if_modified_since: Option<&'a [u8]>,
    if_unmodified_since: Option<&'a [u8]>,
    pinned: Option<&'a str>,
    names: Names,
}

/// What [`ConditionOutcome::PreconditionFailed`] names where the object is not the one that [`Conditions::pinned`] wants: no header.
pub const REPLACED: &str = "";

/// Whether the request's own object or the source of a copy is meant; decides the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Names {
    #[default]
    Plain,
    CopySource,
}

/// What the conditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConditionOutcome {
    /// Go on.
    Proceed,
    /// 304, without a body.
    NotModified,
    /// 412 `PreconditionFailed`; the header that did not hold, as `<Condition>` names it.
    PreconditionFailed(&'static str),
}

impl<'a> Conditions<'a> {
    /// The conditions of a GET or HEAD. `header` looks a header up by its lower-case name.
    pub fn of_object(header: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        Self {
            if_match: header("if-match"),
            if_none_match: header("if-none-match"),
            if_modified_since: header("if-modified-since"),
            if_unmodified_since: header("if-unmodified-since"),
            pinned: None,
            names: Names::Plain,
        }
    }

    /// The conditions on the source of a copy, `x-oss-copy-source-if-*`. `header` looks a header up by its lower-case name.
    pub fn of_copy_source(header: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        Self {
            if_match: header("x-oss-copy-source-if-match"),
            if_none_match: header("x-oss-copy-source-if-none-match"),
            if_modified_since: header("x-oss-copy-source-if-modified-since"),
            if_unmodified_since: header("x-oss-copy-source-if-unmodified-since"),
            pinned: None,
            names: Names::CopySource,
        }
    }

    /// These, and before them that the object has this bare ETag: that it is the one that something was decided on. Where there was
    /// none then, the empty text, which is nobody's.
    #[must_use]
    pub fn pinned(self, etag: Option<&'a str>) -> Self {
        Self { pinned: etag, ..self }
    }

    /// Whether there is no condition at all.
    pub fn is_empty(&self) -> bool {
        *self == Self { names: self.names, ..Self::default() }
    }

    /// Decides for an object with this bare ETag, last modified at this Unix second. Dates that cannot be parsed are ignored.
    ///
    /// ```
    /// use ossia_protocol::conditions::{ConditionOutcome, Conditions};
    ///
    /// let etag = "5EB63BBBE01EEED093CB22BB8F5ACDC3";
    /// let conditions = Conditions::of_object(|name| {
    ///     (name == "if-none-match").then_some(b"\"5eb63bbbe01eeed093cb22bb8f5acdc3\"".as_slice())
    /// });
    /// assert_eq!(conditions.evaluate(etag, 0), ConditionOutcome::NotModified);
    /// ```
    pub fn evaluate(&self, etag: &str, last_modified: i64) -> ConditionOutcome {
        if self.pinned.is_some_and(|pinned| pinned != etag) {
            return ConditionOutcome::PreconditionFailed(REPLACED);
        }
        if self.if_match.is_some_and(|list| !listed(list, etag)) {
            return ConditionOutcome::PreconditionFailed(match self.names {
                Names::Plain => "If-Match",
                Names::CopySource => "x-oss-copy-source-if-match",
            });
        }
        if self.if_unmodified_since.and_then(date).is_some_and(|date| date < last_modified) {
            return ConditionOutcome::PreconditionFailed(match self.names {
                Names::Plain => "If-Unmodified-Since",
                Names::CopySource => "x-oss-copy-source-if-unmodified-since",
            });
        }
        let unchanged = match self.if_none_match {
            Some(list) => listed(list, etag),
            None => self.if_modified_since.and_then(date).is_some_and(|date| date >= last_modified),
        };
        if unchanged { ConditionOutcome::NotModified } else { ConditionOutcome::Proceed }
    }
}

fn listed(list: &[u8], etag: &str) -> bool {
    std::str::from_utf8(list).is_ok_and(|list| etag::listed(list, etag))
}

fn date(value: &[u8]) -> Option<i64> {
    time::parse_http_date(std::str::from_utf8(value).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::ConditionOutcome::{NotModified, PreconditionFailed, Proceed};
    use super::*;

    const ETAG: &str = "5EB63BBBE01EEED093CB22BB8F5ACDC3";
    const SAME: &str = "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"";
    const OTHER: &str = "\"00000000000000000000000000000000\"";

    #[test]
    fn what_was_decided_on_must_still_be_there_before_anything_else_counts() {
        let none_match = |name: &str| (name == "if-none-match").then_some(SAME.as_bytes());
        let conditions = Conditions::of_object(none_match);
        assert_eq!(conditions.pinned(Some(ETAG)).evaluate(ETAG, 0), NotModified);
        for other in ["", "0", OTHER] {
            let pinned = conditions.pinned(Some(other));
            assert_eq!(pinned.evaluate(ETAG, 0), PreconditionFailed(REPLACED));
            assert!(!pinned.is_empty());
        }
        assert_eq!(conditions.pinned(None), conditions);
    }

    /// If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since.
    fn outcome(values: [Option<&str>; 4], copy: bool) -> ConditionOutcome {
        let header = |name: &str| {
            let name = name.strip_prefix("x-oss-copy-source-").unwrap_or(name);
            let at = ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"]
                .iter()
                .position(|known| *known == name)?;
            values[at].map(str::as_bytes)
        };
        let conditions =
            if copy { Conditions::of_copy_source(header) } else { Conditions::of_object(header) };
        assert_eq!(conditions.is_empty(), values.iter().all(Option::is_none));
        conditions.evaluate(ETAG, 1_000_000)
    }

    #[test]
    fn every_combination_of_the_four_conditions_decides_as_ruled() {
        let before = time::http_date(999_999);
        let equal = time::http_date(1_000_000);
        let after = time::http_date(1_000_001);
        let etags = [None, Some(SAME), Some(OTHER), Some("*")];
        let dates = [None, Some(before.as_str()), Some(&equal), Some(&after), Some("yesterday")];
        for matching in etags {
            for unmodified in dates {
                for none_match in etags {
                    for modified in dates {
                        let expected = if matching == Some(OTHER) {
                            PreconditionFailed("If-Match")
                        } else if unmodified == Some(&before) {
                            PreconditionFailed("If-Unmodified-Since")
                        } else if matches!(none_match, Some(SAME | "*"))
                            || (none_match.is_none()
                                && (modified == Some(&equal) || modified == Some(&after)))
                        {
                            NotModified
                        } else {
                            Proceed
                        };
                        let values = [matching, unmodified, none_match, modified];
                        assert_eq!(outcome(values, false), expected, "{values:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn conditions_on_a_copy_source_are_read_and_named_by_their_own_headers() {
        let past = time::http_date(0);
        assert_eq!(
            outcome([Some(OTHER), None, None, None], true),
            PreconditionFailed("x-oss-copy-source-if-match")
        );
        assert_eq!(
            outcome([None, Some(&past), None, None], true),
            PreconditionFailed("x-oss-copy-source-if-unmodified-since")
        );
        assert_eq!(outcome([None, None, Some(SAME), None], true), NotModified);
        assert_eq!(outcome([None, None, None, Some(&past)], true), Proceed);
        // The plain names say nothing about a copy's source.
        let plain_only = |name: &str| (name == "if-match").then_some(OTHER.as_bytes());
        assert!(Conditions::of_copy_source(plain_only).is_empty());
    }

    #[test]
    fn values_that_are_no_text_match_nothing() {
        let bad = |wanted: &'static str| {
            Conditions::of_object(move |name| (name == wanted).then_some(&b"\xff"[..]))
                .evaluate(ETAG, 0)
        };
        assert_eq!(bad("if-match"), PreconditionFailed("If-Match"));
        assert_eq!(bad("if-none-match"), Proceed);
        assert_eq!(bad("if-modified-since"), Proceed);
    }
}
