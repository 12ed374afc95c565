//! Retention of buckets and of objects, legal hold, and restores.

use super::schema::{invalid, malformed, read_root};
use crate::error::{EC_DELETE_XML, OssError};
use crate::xml::writer::Writer;
use crate::xml::{SMALL, XmlError, read_date, read_number};
use crate::{time, xml::reader::Element};

/// The longest retention in days: 70 years.
pub const RETENTION_DAYS_MAX: u32 = 25_550;
const RETENTION_YEARS_MAX: u32 = 70;

fn document(root: &str, inside: impl FnOnce(&mut Writer)) -> String {
    let mut w = Writer::document(256);
    w.open(root);
    inside(&mut w);
    w.close(root);
    w.finish()
}

/// A number from 1 on that is required.
fn count(parent: &Element, name: &'static str, max: u32) -> Result<u32, OssError> {
    let text = parent.child_value(name).ok_or_else(|| malformed(XmlError::Missing(name)))?;
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| invalid(name, text, "The length of the retention is out of range."))
}

/// The days that an `InitiateWormConfiguration` asks for.
///
/// # Errors
/// 400 `MalformedXML`; 400 `InvalidArgument` for anything but 1 to [`RETENTION_DAYS_MAX`].
pub fn parse_initiate_worm(document: &[u8]) -> Result<u32, OssError> {
    let root = read_root(document, "InitiateWormConfiguration", SMALL)?;
    count(&root, "RetentionPeriodInDays", RETENTION_DAYS_MAX)
}

/// The days that an `ExtendWormConfiguration` asks for.
///
/// # Errors
/// As [`parse_initiate_worm`].
pub fn parse_extend_worm(document: &[u8]) -> Result<u32, OssError> {
    let root = read_root(document, "ExtendWormConfiguration", SMALL)?;
    count(&root, "RetentionPeriodInDays", RETENTION_DAYS_MAX)
}

/// A bucket's policy, as GetBucketWorm tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WormConfiguration {
    /// Its id.
    pub id: String,
    /// `Locked`, else `InProgress`.
    pub locked: bool,
    /// Days that an object is protected.
    pub days: u32,
    /// When it was begun, in Unix seconds.
    pub created: i64,
}

impl WormConfiguration {
    /// The `WormConfiguration` document. Samples show its date without fraction and zone, which the Java SDK cannot read.
    pub fn to_xml(&self) -> String {
        document("WormConfiguration", |w| {
            w.text("WormId", &self.id);
            w.text("State", if self.locked { "Locked" } else { "InProgress" });
            w.number("RetentionPeriodInDays", self.days.into());
            w.text("CreationDate", &time::xml(self.created));
        })
    }
}

/// How strictly something is retained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WormMode {
    /// Nobody may shorten it.
    Compliance,
    /// Who may bypass it can.
    Governance,
}

impl WormMode {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Compliance => "COMPLIANCE",
            Self::Governance => "GOVERNANCE",
        }
    }

    fn read(parent: &Element) -> Result<Self, OssError> {
        match parent.child_value("Mode") {
            Some("COMPLIANCE") => Ok(Self::Compliance),
            Some("GOVERNANCE") => Ok(Self::Governance),
            Some(_) => Err(malformed(XmlError::Value("Mode"))),
            None => Err(malformed(XmlError::Missing("Mode"))),
        }
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WormPeriod {
    /// In days.
    Days(u32),
    /// In years.
    Years(u32),
}

/// That objects of a bucket may be retained, and what new ones are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectWormConfiguration {
    /// What a new object is given.
    pub default: Option<(WormMode, WormPeriod)>,
}

impl ObjectWormConfiguration {
    /// The `ObjectWormConfiguration` document.
    pub fn to_xml(self) -> String {
        document("ObjectWormConfiguration", |w| {
            w.text("ObjectWormEnabled", "Enabled");
            let Some((mode, period)) = self.default else { return };
            w.open("Rule");
            w.open("DefaultRetention");
            w.text("Mode", mode.as_str());
            match period {
                WormPeriod::Days(days) => w.number("Days", days.into()),
                WormPeriod::Years(years) => w.number("Years", years.into()),
            }
            w.close("DefaultRetention");
            w.close("Rule");
        })
    }

    /// Reads an `ObjectWormConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`; 400 `InvalidArgument` for a length out of range.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "ObjectWormConfiguration", SMALL)?;
        match root.child_value("ObjectWormEnabled") {
            Some("Enabled") => {}
            Some(_) => return Err(malformed(XmlError::Value("ObjectWormEnabled"))),
            None => return Err(malformed(XmlError::Missing("ObjectWormEnabled"))),
        }
        let Some(rule) = root.child("Rule") else {
            return Ok(Self { default: None });
        };
        let default = rule.child("DefaultRetention");
        let default = default.ok_or_else(|| malformed(XmlError::Missing("DefaultRetention")))?;
        let period = match (default.child("Days"), default.child("Years")) {
            (Some(_), Some(_)) => return Err(malformed(XmlError::Value("DefaultRetention"))),
            (None, Some(_)) => WormPeriod::Years(count(default, "Years", RETENTION_YEARS_MAX)?),
            _ => WormPeriod::Days(count(default, "Days", RETENTION_DAYS_MAX)?),
        };
        Ok(Self { default: Some((WormMode::read(default)?, period)) })
    }
}

/// An object's retention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionDocument {
    /// How strictly.
    pub mode: WormMode,
    /// Until when, in Unix seconds: a fraction of a second counts as a whole one, so that nothing is let go too soon.
    pub until: i64,
}

impl RetentionDocument {
    /// The `Retention` document.
    pub fn to_xml(self) -> String {
        document("Retention", |w| {
            w.text("Mode", self.mode.as_str());
            w.text("RetainUntilDate", &time::xml(self.until));
        })
    }

    /// Reads a `Retention` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "Retention", SMALL)?;
        let mode = WormMode::read(&root)?;
        let until = read_date(&root, "RetainUntilDate").map_err(malformed)?;
        let until = until.ok_or_else(|| malformed(XmlError::Missing("RetainUntilDate")))?;
        let text = root.child_value("RetainUntilDate").unwrap_or_default();
        Ok(Self { mode, until: until.saturating_add(i64::from(time::has_fraction(text))) })
    }
}

/// The `LegalHold` document.
pub fn legal_hold(held: bool) -> String {
    document("LegalHold", |w| w.text("Status", if held { "ON" } else { "OFF" }))
}

/// Reads a `LegalHold` document: whether the object is held.
///
/// # Errors
/// 400 `MalformedXML`.
pub fn parse_legal_hold(document: &[u8]) -> Result<bool, OssError> {
    let root = read_root(document, "LegalHold", SMALL)?;
    match root.child_value("Status") {
        Some("ON") => Ok(true),
        Some("OFF") => Ok(false),
        Some(_) => Err(malformed(XmlError::Value("Status"))),
        None => Err(malformed(XmlError::Missing("Status"))),
    }
}

/// How fast a restore should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Within the hour.
    Expedited,
    /// The default.
    Standard,
    /// Half a day.
    Bulk,
}

impl Tier {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expedited => "Expedited",
            Self::Standard => "Standard",
            Self::Bulk => "Bulk",
        }
    }
}

/// What RestoreObject asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreRequest {
    /// For how many days.
    pub days: Option<u32>,
    /// That job parameters were sent, and the tier in them.
    pub job: Option<Option<Tier>>,
}

impl RestoreRequest {
    /// Reads a `RestoreRequest`; an empty body asks for the defaults.
    ///
    /// # Errors
    /// 400 `MalformedXML`; 400 `InvalidArgument` for a number that no class takes, and for an unknown tier.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        if document.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let malformed = |error: XmlError| error.into_oss(EC_DELETE_XML);
        let root = Element::parse_root(document, "RestoreRequest", SMALL).map_err(malformed)?;
        let days = read_number(&root, "Days").map_err(malformed)?;
        let days = match days.map(u32::try_from) {
            None => None,
            Some(Ok(days)) if days > 0 => Some(days),
            Some(_) => return Err(invalid("Days", "", "The number of days is out of range.")),
        };
        let job = match root.child("JobParameters") {
            None => None,
            Some(job) => Some(match job.child_value("Tier") {
                None => None,
                Some("Expedited") => Some(Tier::Expedited),
                Some("Standard") => Some(Tier::Standard),
                Some("Bulk") => Some(Tier::Bulk),
                Some(other) => return Err(invalid("Tier", other, "There is no such tier.")),
            }),
        };
        Ok(Self { days, job })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn documents_are_read_back_as_written() {
        for default in [
            None,
            Some((WormMode::Compliance, WormPeriod::Days(1))),
            Some((WormMode::Governance, WormPeriod::Years(70))),
        ] {
            let one = ObjectWormConfiguration { default };
            assert_eq!(ObjectWormConfiguration::parse(one.to_xml().as_bytes()), Ok(one));
        }
        for held in [true, false] {
            assert_eq!(parse_legal_hold(legal_hold(held).as_bytes()), Ok(held));
        }
        let one = RetentionDocument { mode: WormMode::Compliance, until: 1_762_790_400 };
        assert!(one.to_xml().contains("<RetainUntilDate>2025-11-10T16:00:00.000Z<"));
        assert_eq!(RetentionDocument::parse(one.to_xml().as_bytes()), Ok(one));
        let worm =
            WormConfiguration { id: "A1".into(), locked: false, days: 7, created: 1_602_777_032 };
        assert!(worm.to_xml().ends_with(
            "<WormConfiguration><WormId>A1</WormId><State>InProgress</State><RetentionPeriodInDays>7\
             </RetentionPeriodInDays><CreationDate>2020-10-15T15:50:32.000Z</CreationDate></WormConfiguration>"
        ));
    }

    #[test]
    fn absurd_lengths_and_strange_documents_are_refused() {
        let days = |root: &str, days: &str| {
            format!("<{root}><RetentionPeriodInDays>{days}</RetentionPeriodInDays></{root}>")
        };
        for text in ["0", "-1", "25551", "x", "99999999999999999999", "1.5"] {
            let begun = parse_initiate_worm(days("InitiateWormConfiguration", text).as_bytes());
            assert_eq!(begun.unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
            let longer = parse_extend_worm(days("ExtendWormConfiguration", text).as_bytes());
            assert_eq!(longer.unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
        assert_eq!(
            parse_initiate_worm(days("InitiateWormConfiguration", "25550").as_bytes()),
            Ok(25_550)
        );
        for text in ["", "<a/>", "<ExtendWormConfiguration/>", "<!DOCTYPE a><a/>"] {
            let error = parse_extend_worm(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{text}");
        }
        for inside in [
            "",
            "<ObjectWormEnabled>Off</ObjectWormEnabled>",
            "<ObjectWormEnabled>Enabled</ObjectWormEnabled><Rule/>",
            "<ObjectWormEnabled>Enabled</ObjectWormEnabled><Rule><DefaultRetention><Mode>COMPLIANCE</Mode>\
             </DefaultRetention></Rule>",
            "<ObjectWormEnabled>Enabled</ObjectWormEnabled><Rule><DefaultRetention><Mode>X</Mode><Days>1</Days>\
             </DefaultRetention></Rule>",
        ] {
            let text = format!("<ObjectWormConfiguration>{inside}</ObjectWormConfiguration>");
            let error = ObjectWormConfiguration::parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MalformedXML, "{inside}");
            assert_eq!(error.ec(), Some("0015-00000231"));
        }
        assert!(parse_legal_hold(b"<LegalHold><Status>on</Status></LegalHold>").is_err());
    }

    #[test]
    fn a_restore_is_read_leniently_where_a_class_decides() {
        let read = |inside: &str| {
            let text = format!("<RestoreRequest>{inside}</RestoreRequest>");
            RestoreRequest::parse(text.as_bytes()).map_err(|error| error.code())
        };
        assert_eq!(RestoreRequest::parse(b""), Ok(RestoreRequest::default()));
        let job = |tier| format!("<Days>2</Days><JobParameters>{tier}</JobParameters>");
        let bulk = RestoreRequest { days: Some(2), job: Some(Some(Tier::Bulk)) };
        assert_eq!(read(&job("<Tier>Bulk</Tier>")), Ok(bulk));
        assert_eq!(read(&job("")), Ok(RestoreRequest { days: Some(2), job: Some(None) }));
        assert_eq!(read(&job("<Tier>Fast</Tier>")), Err(ErrorCode::InvalidArgument));
        assert_eq!(read("<Days>0</Days>"), Err(ErrorCode::InvalidArgument));
        assert_eq!(read("<Days>5000000000</Days>"), Err(ErrorCode::InvalidArgument));
        assert_eq!(read("<Days>two</Days>"), Err(ErrorCode::MalformedXML));
    }
}
