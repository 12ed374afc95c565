//! Patterns of actions and resources: `*` stands for any run of characters, `?` for one.

use super::Resource;

/// How letters are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Letters {
    /// As they are.
    Exact,
    /// Without the case of ASCII letters.
    Folded,
}

impl Letters {
    fn same(self, left: u8, right: u8) -> bool {
        match self {
            Letters::Exact => left == right,
            Letters::Folded => left.eq_ignore_ascii_case(&right),
        }
    }

    /// Whether a text begins so.
    pub(super) fn begin(self, text: &str, beginning: &str) -> bool {
        let start = text.as_bytes().get(..beginning.len());
        start.is_some_and(|start| match self {
            Letters::Exact => start == beginning.as_bytes(),
            Letters::Folded => start.eq_ignore_ascii_case(beginning.as_bytes()),
        })
    }

    fn equal(self, left: &str, right: &str) -> bool {
        match self {
            Letters::Exact => left == right,
            Letters::Folded => left.eq_ignore_ascii_case(right),
        }
    }
}

/// A pattern, sorted by what it costs to compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Glob {
    /// `*`.
    Any,
    /// Without wildcards.
    Exact(Box<str>),
    /// One `*`, at the end; without it.
    Prefix(Box<str>),
    /// Anything else.
    Wild(Box<str>),
}

impl Glob {
    pub(super) fn new(pattern: &str) -> Glob {
        if !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*') {
            return Glob::Any;
        }
        if !has_wildcard(pattern) {
            return Glob::Exact(pattern.into());
        }
        match pattern.strip_suffix('*') {
            Some(prefix) if !has_wildcard(prefix) => Glob::Prefix(prefix.into()),
            _ => Glob::Wild(pattern.into()),
        }
    }

    pub(super) fn matches(&self, text: &str, letters: Letters) -> bool {
        match self {
            Glob::Any => true,
            Glob::Exact(exact) => letters.equal(exact, text),
            Glob::Prefix(prefix) => letters.begin(text, prefix),
            Glob::Wild(pattern) => matches(pattern, text, letters),
        }
    }
}

pub(super) fn has_wildcard(pattern: &str) -> bool {
    pattern.bytes().any(|byte| matches!(byte, b'*' | b'?'))
}

/// The bytes of the character that begins with this byte.
fn width(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xE0 => 2,
        0xE0..0xF0 => 3,
        0xF0.. => 4,
    }
}

/// Matches a whole text. Only the last `*` is ever gone back to, so that no pattern costs more than the product of both lengths.
pub(super) fn matches(pattern: &str, text: &str, letters: Letters) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, t));
                continue;
            }
            Some(b'?') => {
                // Both stand at the begin of a character: what came before was whole ones.
                p += 1;
                t += width(byte);
                continue;
            }
            Some(&wanted) if letters.same(wanted, byte) => {
                p += 1;
                t += 1;
                continue;
            }
            Some(_) | None => {}
        }
        let Some((after, from)) = star else { return false };
        let next = from + text.get(from).map_or(1, |first| width(*first));
        star = Some((after, next));
        (p, t) = (after, next);
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}

/// A pattern of resources: up to five parts between colons, each matched by itself, the last with all that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ResourcePattern {
    parts: Vec<Glob>,
    text: Box<str>,
}

impl ResourcePattern {
    /// `None` for what names no resource.
    pub(super) fn new(text: &str) -> Option<ResourcePattern> {
        let mut words: Vec<&str> = text.splitn(5, ':').collect();
        if words.first() != Some(&"acs") && text != "*" {
            return None;
        }
        // Both forms of a region's name are in use.
        if let [_, "oss", region, ..] = words.as_mut_slice()
            && let Some(bare) = region.strip_prefix("oss-")
        {
            *region = bare;
        }
        // What belongs to no region is written without one.
        let parts = words.iter().enumerate().map(|(at, word)| match (at, *word) {
            (2, "") => Glob::Any,
            (_, word) => Glob::new(word),
        });
        Some(ResourcePattern { parts: parts.collect(), text: text.into() })
    }

    pub(super) fn matches(&self, resource: &Resource<'_>) -> bool {
        let last = self.parts.len() - 1;
        self.parts.iter().enumerate().all(|(at, part)| {
            let text = if at == last { resource.rest(at) } else { resource.part(at) };
            part.matches(text, resource.letters)
        })
    }

    /// What everything that it matches has behind the account, at least.
    pub(super) fn beginning(&self) -> &str {
        match self.parts.get(super::RELATIVE) {
            None | Some(Glob::Any) => "",
            Some(Glob::Exact(text) | Glob::Prefix(text)) => text,
            Some(Glob::Wild(pattern)) => {
                let end = pattern.find(['*', '?']).unwrap_or(pattern.len());
                pattern.get(..end).unwrap_or_default()
            }
        }
    }

    /// Whether some resource in this bucket, or the bucket itself, is of the pattern. Account and region count for nothing: a
    /// pattern with another's matches nothing, and programs write such.
    pub(super) fn may_name(&self, bucket: &str) -> bool {
        if self.parts.len() < 5 {
            return true;
        }
        let relative = self.text.splitn(5, ':').nth(4).unwrap_or_default();
        // Every character that the rest of a pattern asks for can stand in a key.
        matches(relative, bucket, Letters::Exact) || begins(relative, &format!("{bucket}/"))
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Whether some text that begins with `start` matches the pattern.
fn begins(pattern: &str, start: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    // The places in the pattern that may stand before the next character.
    let mut places = vec![false; pattern.len() + 1];
    let spread = |places: &mut Vec<bool>| {
        for at in 0..pattern.len() {
            if places[at] && pattern[at] == '*' {
                places[at + 1] = true;
            }
        }
    };
    places[0] = true;
    spread(&mut places);
    for letter in start.chars() {
        let mut next = vec![false; pattern.len() + 1];
        for at in 0..pattern.len() {
            match pattern[at] {
                _ if !places[at] => {}
                '*' => next[at] = true,
                '?' => next[at + 1] = true,
                wanted if wanted == letter => next[at + 1] = true,
                _ => {}
            }
        }
        spread(&mut next);
        places = next;
    }
    places.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_whole_texts() {
        for (pattern, text, wanted) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "a目c", true),
            ("*?", "目", true),
            ("??", "目", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*目", "录目", true),
            ("logs/*", "logs/a/b", true),
            ("logs/*", "log", false),
            ("*.txt", "a.txt", true),
        ] {
            let glob = Glob::new(pattern);
            assert_eq!(glob.matches(text, Letters::Exact), wanted, "{pattern} {text}");
            assert_eq!(matches(pattern, text, Letters::Exact), wanted, "{pattern} {text}");
        }
        assert!(Glob::new("OSS:get*").matches("oss:GetObject", Letters::Folded));
        assert!(!Glob::new("OSS:get*").matches("oss:GetObject", Letters::Exact));
    }

    #[test]
    fn a_crafted_pattern_costs_no_more_than_the_product_of_the_lengths() {
        let pattern = format!("{}b", "*a".repeat(2_000));
        let text = "a".repeat(20_000);
        // Forty million steps at most; going back to every star would not end.
        assert!(!matches(&pattern, &text, Letters::Exact));
    }

    #[test]
    fn a_pattern_lies_in_a_bucket_if_something_of_it_can() {
        for (pattern, wanted) in [
            ("acs:oss:*:*:bkt", true),
            ("acs:oss:*:*:bkt/*", true),
            ("acs:oss:*:*:bkt/logs/a", true),
            ("acs:oss:*:1234567890:*/*", true),
            ("acs:oss:*:*:bk*", true),
            ("acs:oss:*:*:b?t/x", true),
            ("acs:oss:*:*:*t/x", true),
            ("*", true),
            ("acs:oss:*:*:*", true),
            ("acs:oss:*:*:other", false),
            ("acs:oss:*:*:other/*", false),
            ("acs:oss:*:*:bkt2", false),
            ("acs:oss:*:*:bkt2/*", false),
            ("acs:oss:*:*:b?", false),
            ("acs:oss:*:*:bk", false),
        ] {
            assert_eq!(ResourcePattern::new(pattern).unwrap().may_name("bkt"), wanted, "{pattern}");
        }
    }
}
