//! The parameters of one request, from query and form.

use std::collections::HashMap;

use ossia_protocol::query::Query;

use crate::answer::Fault;

/// Parameters by their names, which are compared with their case. Of several values the first counts, and the query's before the
/// form's. What is no UTF-8 is not there.
#[derive(Debug, Clone, Default)]
pub struct Params(HashMap<String, String>);

impl Params {
    /// The parameters of a request.
    pub fn new(query: &Query, form: Option<&Query>) -> Params {
        let mut params = HashMap::new();
        for parameter in query.iter().chain(form.into_iter().flat_map(Query::iter)) {
            if let (Some(name), Some(value)) = (parameter.name_str(), parameter.value_str()) {
                params.entry(name.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
        Params(params)
    }

    /// Parameters by name and value.
    pub fn of<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Params {
        Params(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A value, if it is there and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.sent(name).filter(|value| !value.is_empty())
    }

    /// A value, if it is there.
    pub fn sent(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A value that must be there.
    pub(crate) fn need(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| Fault::missing(name))
    }

    /// `true` or `false`, false where it is not there.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.get(name) {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("true") => Ok(true),
            Some(value) if value.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(Fault::incorrect(name)),
        }
    }

    /// Whether `PolicyType` says that a policy is one of the system's.
    pub(crate) fn system(&self) -> Result<bool, Fault> {
        match self.need("PolicyType")? {
            "System" => Ok(true),
            "Custom" => Ok(false),
            _ => Err(Fault::incorrect("PolicyType")),
        }
    }

    /// Where a page begins, and how many items it has.
    pub(crate) fn page(&self, max: usize) -> Result<(Option<&str>, usize), Fault> {
        let count = match self.get("MaxItems") {
            None => max.min(100),
            Some(text) => text
                .parse()
                .ok()
                .filter(|count| (1..=max).contains(count))
                .ok_or_else(|| Fault::incorrect("MaxItems"))?,
        };
        Ok((self.get("Marker"), count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_values_the_first_counts_and_the_querys_before_the_forms() {
        let query = Query::parse(b"A=1&A=2&B=").unwrap();
        let form = Query::parse(b"A=3&B=4&C=5&C=6").unwrap();
        let params = Params::new(&query, Some(&form));
        let told = ["A", "B", "C", "a"].map(|name| params.sent(name));
        assert_eq!(told, [Some("1"), Some(""), Some("5"), None]);
        assert_eq!(params.get("B"), None);
    }
}
