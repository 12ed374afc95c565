//! JSON in which an object names nothing twice: of two effects of one statement, which one counts must not be a matter of which
//! program reads it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Text(String),
    /// A number or truth value, as its text.
    Plain(String),
    Null,
    List(Vec<Json>),
    /// In the order written.
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(super) fn parse(text: &str) -> Result<Json, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// A text or a list of texts.
    pub(super) fn texts(&self) -> Option<Vec<String>> {
        match self {
            Json::Text(text) => Some(vec![text.clone()]),
            Json::List(list) => list
                .iter()
                .map(|one| match one {
                    Json::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect(),
            Json::Plain(_) | Json::Null | Json::Object(_) => None,
        }
    }

    /// As [`Json::texts`], with a text that is a JSON list itself read as that list: an official client's suite writes them so.
    pub(super) fn unpacked_texts(&self) -> Option<Vec<String>> {
        let unpacked = self.texts()?.into_iter().flat_map(|text| {
            let list = text.starts_with('[').then(|| Json::parse(&text).ok()?.scalars()).flatten();
            // An empty one stays what it is, no name of anything: without names a policy is for everybody.
            list.filter(|list| !list.is_empty()).unwrap_or_else(|| vec![text])
        });
        Some(unpacked.collect())
    }

    /// A text, number or truth value, or a list of such, as texts.
    pub(super) fn scalars(&self) -> Option<Vec<String>> {
        let scalar = |one: &Json| match one {
            Json::Text(text) | Json::Plain(text) => Some(text.clone()),
            Json::Null | Json::List(_) | Json::Object(_) => None,
        };
        match self {
            Json::List(list) => list.iter().map(scalar).collect(),
            one => Some(vec![scalar(one)?]),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Plain(value.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(one) = access.next_element()? {
            list.push(one);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members: Vec<(String, Json)> = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = access.next_entry::<String, Json>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name} is given twice")));
            }
            members.push((name, value));
        }
        Ok(Json::Object(members))
    }
}
