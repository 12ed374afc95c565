//! `OverwriteConfiguration`: which objects must not be overwritten, and by whom.

use super::schema::{invalid, malformed, read_root};
use crate::error::OssError;
use crate::xml::XmlError;
use crate::xml::reader::{Element, Limits};
use crate::xml::writer::Writer;

/// Most rules of a bucket.
pub const OVERWRITE_RULES_MAX: usize = 100;
/// Longest prefix and suffix, in characters.
const PART_CHARS_MAX: usize = 1023;
const PRINCIPALS_MAX: usize = 100;
const LIMITS: Limits = Limits { bytes: 256 * 1024, depth: 8, elements: 8 * 1024 };

/// The rules of a bucket; one that matches refuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverwriteConfiguration {
    /// At least one.
    pub rules: Vec<OverwriteRule>,
}

/// One rule: it matches if everything that it names does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverwriteRule {
    /// Unique; empty until one is made.
    pub id: String,
    /// What the key begins with, literally.
    pub prefix: String,
    /// What the key ends with, literally.
    pub suffix: String,
    /// Who is refused; none is everybody.
    pub principals: Vec<String>,
}

impl OverwriteConfiguration {
    /// The `OverwriteConfiguration` document.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(64 + self.rules.len() * 256);
        w.open("OverwriteConfiguration");
        for rule in &self.rules {
            w.open("Rule");
            w.text("ID", &rule.id);
            w.text("Action", "forbid");
            w.text("Prefix", &rule.prefix);
            w.text("Suffix", &rule.suffix);
            if !rule.principals.is_empty() {
                w.open("Principals");
                rule.principals.iter().for_each(|principal| w.text("Principal", principal));
                w.close("Principals");
            }
            w.close("Rule");
        }
        w.close("OverwriteConfiguration");
        w.finish()
    }

    /// Reads an `OverwriteConfiguration` document. `new_id` names rules that have no name.
    ///
    /// # Errors
    /// 400 `MalformedXML`, 400 `InvalidArgument` for values that no rule can have.
    pub fn parse(document: &[u8], new_id: impl Fn() -> String) -> Result<Self, OssError> {
        let root = read_root(document, "OverwriteConfiguration", LIMITS)?;
        let mut rules: Vec<OverwriteRule> = Vec::new();
        for element in root.children_named("Rule") {
            if rules.len() == OVERWRITE_RULES_MAX {
                let error = XmlError::TooMany { element: "Rule", limit: OVERWRITE_RULES_MAX };
                return Err(malformed(error));
            }
            let mut rule = OverwriteRule::read(element)?;
            if rule.id.is_empty() {
                rule.id = new_id();
            }
            if rules.iter().any(|known| known.id == rule.id) {
                return Err(invalid("ID", &rule.id, "The ID of a rule must be unique."));
            }
            rules.push(rule);
        }
        if rules.is_empty() {
            return Err(malformed(XmlError::Missing("Rule")));
        }
        Ok(Self { rules })
    }

    /// Whether an object under this key must not be overwritten. `is_caller` says whether a principal means the caller.
    pub fn forbids(&self, key: &str, is_caller: impl Fn(&str) -> bool) -> bool {
        self.rules.iter().any(|rule| {
            key.starts_with(&rule.prefix)
                && key.ends_with(&rule.suffix)
                && (rule.principals.is_empty()
                    || rule.principals.iter().any(|name| is_caller(name)))
        })
    }
}

impl OverwriteRule {
    fn read(element: &Element) -> Result<Self, OssError> {
        let text = |name| element.child_text(name).unwrap_or_default().to_owned();
        match element.child_value("Action") {
            Some("forbid") => {}
            Some(other) => return Err(invalid("Action", other, "The action must be forbid.")),
            None => return Err(malformed(XmlError::Missing("Action"))),
        }
        let principals = element.child("Principals");
        let rule = Self {
            id: element.child_value("ID").unwrap_or_default().to_owned(),
            prefix: text("Prefix"),
            suffix: text("Suffix"),
            principals: principals
                .map(|list| super::schema::texts(list, "Principal"))
                .unwrap_or_default(),
        };
        if rule.id.len() > 255 {
            return Err(invalid("ID", &rule.id, "The ID of a rule is too long."));
        }
        for (name, value) in [("Prefix", &rule.prefix), ("Suffix", &rule.suffix)] {
            if value.chars().count() > PART_CHARS_MAX {
                return Err(invalid(name, value, "The value is too long."));
            }
        }
        if rule.principals.len() > PRINCIPALS_MAX {
            return Err(invalid("Principal", "", "There are too many principals."));
        }
        Ok(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_matches_only_if_all_that_it_names_does() {
        let text = b"<OverwriteConfiguration><Rule><Action>forbid</Action><Prefix>a/</Prefix>\
        <Suffix>.txt</Suffix></Rule>\
                     <Rule><ID>two</ID><Action>forbid</Action><Prefix>*</Prefix><Principals><Principal>27</Principal>\
                     </Principals></Rule></OverwriteConfiguration>";
        let read = OverwriteConfiguration::parse(text, || "made".into()).unwrap();
        assert_eq!(read.rules[0].id, "made");
        let again = OverwriteConfiguration::parse(read.to_xml().as_bytes(), || "other".into());
        assert_eq!(again.as_ref(), Ok(&read));
        let nobody = |_: &str| false;
        assert!(read.forbids("a/b.txt", nobody));
        assert!(!read.forbids("a/b.log", nobody) && !read.forbids("b.txt", nobody));
        assert!(read.forbids("*x", |name| name == "27") && !read.forbids("x", |_| true));
    }
}
