//! `RefererConfiguration`: which pages may link to a bucket's objects.

use super::schema::{malformed, matches_glob, read_root, texts};
use crate::error::OssError;
use crate::xml::writer::Writer;
use crate::xml::{SMALL, read_bool};

/// Who may refer. The default is no protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefererConfiguration {
    /// Whether a request without a referer passes.
    pub allow_empty: bool,
    /// Whether the query is dropped from a referer before it is compared.
    pub truncate_query: bool,
    /// Whether the path is dropped too.
    pub truncate_path: bool,
    /// Patterns that may; none lets all.
    pub list: Vec<String>,
    /// Patterns that may not; looked at first.
    pub blacklist: Vec<String>,
}

impl Default for RefererConfiguration {
    fn default() -> Self {
        Self {
            allow_empty: true,
            truncate_query: true,
            truncate_path: false,
            list: Vec::new(),
            blacklist: Vec::new(),
        }
    }
}

impl RefererConfiguration {
    /// The `RefererConfiguration` document. `RefererList` is there even when it is empty: one SDK fails without.
    pub fn to_xml(&self) -> String {
        let mut w = Writer::document(256 + (self.list.len() + self.blacklist.len()) * 64);
        w.open("RefererConfiguration");
        w.boolean("AllowEmptyReferer", self.allow_empty);
        w.boolean("AllowTruncateQueryString", self.truncate_query);
        w.boolean("TruncatePath", self.truncate_path);
        w.open("RefererList");
        self.list.iter().for_each(|referer| w.text("Referer", referer));
        w.close("RefererList");
        if !self.blacklist.is_empty() {
            w.open("RefererBlacklist");
            self.blacklist.iter().for_each(|referer| w.text("Referer", referer));
            w.close("RefererBlacklist");
        }
        w.close("RefererConfiguration");
        w.finish()
    }

    /// Reads a `RefererConfiguration` document.
    ///
    /// # Errors
    /// 400 `MalformedXML`.
    pub fn parse(document: &[u8]) -> Result<Self, OssError> {
        let root = read_root(document, "RefererConfiguration", SMALL)?;
        let boolean = |name, default| match root.child_value(name) {
            None => Ok(default),
            Some(_) => read_bool(&root, name).map_err(malformed),
        };
        let list = |name| {
            let list = root.child(name);
            list.map(|list| texts(list, "Referer")).unwrap_or_default()
        };
        Ok(Self {
            allow_empty: boolean("AllowEmptyReferer", true)?,
            truncate_query: boolean("AllowTruncateQueryString", true)?,
            truncate_path: boolean("TruncatePath", false)?,
            list: list("RefererList"),
            blacklist: list("RefererBlacklist"),
        })
    }

    /// Whether a request with this `Referer` passes; an empty one is as none.
    pub fn allows(&self, referer: &str) -> bool {
        let referer = referer.trim();
        if referer.is_empty() {
            return self.allow_empty || self.list.is_empty();
        }
        let cut = self.cut(referer).to_ascii_lowercase();
        let without_scheme = cut.split_once("://").map_or(&*cut, |(_, rest)| rest);
        let matches = |pattern: &String| {
            let pattern = pattern.to_ascii_lowercase();
            matches_glob(&pattern, &cut, true)
                || (!pattern.contains("://") && matches_glob(&pattern, without_scheme, true))
        };
        if self.blacklist.iter().any(matches) {
            return false;
        }
        self.list.is_empty() || self.list.iter().any(matches)
    }

    /// The part of a referer that is compared.
    fn cut<'a>(&self, referer: &'a str) -> &'a str {
        let cut = if self.truncate_query || self.truncate_path {
            referer.split(['?', '#']).next().unwrap_or(referer)
        } else {
            referer
        };
        if !self.truncate_path {
            return cut;
        }
        let host = cut.find("://").map_or(0, |at| at + 3);
        let end = cut.get(host..).and_then(|rest| rest.find('/')).map_or(cut.len(), |at| host + at);
        cut.get(..end).unwrap_or(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(list: &[&str]) -> RefererConfiguration {
        let list = list.iter().map(|&text| text.to_owned()).collect();
        RefererConfiguration { list, ..Default::default() }
    }

    #[test]
    fn the_default_lets_everyone_and_has_its_list() {
        let none = RefererConfiguration::default();
        assert!(none.allows("") && none.allows("http://anyone/"));
        assert!(none.to_xml().contains("<RefererList></RefererList>"));
        assert_eq!(RefererConfiguration::parse(none.to_xml().as_bytes()).unwrap(), none);
        let odd =
            b"<RefererConfiguration><RefererList><Referer/></RefererList></RefererConfiguration>";
        assert_eq!(RefererConfiguration::parse(odd).unwrap(), none);
    }

    #[test]
    fn a_list_lets_what_matches_whole_and_in_any_case() {
        let config = listed(&["http://www.a.com/*", "*.b.com", "https://c?.com"]);
        for (referer, wanted) in [
            ("http://www.a.com/x?y=1", true),
            ("HTTP://WWW.A.com/", true),
            ("https://www.a.com/", false),
            ("http://www.a.com.evil.com/", false),
            ("https://x.b.com", true),
            ("https://b.com", false),
            ("https://c1.com", true),
            ("https://c.com", false),
            ("", true),
        ] {
            assert_eq!(config.allows(referer), wanted, "{referer}");
        }
        let strict = RefererConfiguration { allow_empty: false, ..config };
        assert!(!strict.allows(" "));
        // Without a list nothing is asked of a request that says nothing.
        assert!(RefererConfiguration { list: Vec::new(), ..strict }.allows(""));
    }

    #[test]
    fn the_black_list_comes_first_and_queries_and_paths_are_cut_as_asked() {
        let black = RefererConfiguration { blacklist: vec!["*evil*".into()], ..listed(&["*"]) };
        assert!(black.allows("http://good/"));
        assert!(!black.allows("http://evil/"));
        let exact = listed(&["http://a.com/p"]);
        assert!(exact.allows("http://a.com/p?x=1"));
        let whole = RefererConfiguration { truncate_query: false, ..exact };
        assert!(!whole.allows("http://a.com/p?x=1"));
        let host = RefererConfiguration { truncate_path: true, ..listed(&["http://a.com"]) };
        assert!(host.allows("http://a.com/p/q?x=1") && !host.allows("http://b.com/"));
    }
}
