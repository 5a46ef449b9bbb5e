//! From a document's metadata to the values of fields.

use std::collections::BTreeMap;

use berth_types::FieldKind;
use serde_json::{Map, Value as Json};

use super::{FieldKinds, MAX_FIELDS, MAX_KEYWORD_BYTES, MAX_NAME_BYTES, MAX_VALUES, Moment, Unsearchable};

/// A value as its field has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Keyword(String),
    Integer(i64),
    Float(f64),
    /// Microseconds since 1970.
    Date(i64),
    Boolean(bool),
}

/// Takes the values of all fields out of `metadata`. Fields that are new become part of `fields`; what cannot be
/// searched is given to `unsearchable` with the field's name.
pub(crate) fn extract(
    metadata: &Map<String, Json>,
    fields: &mut FieldKinds,
    unsearchable: &mut dyn FnMut(&str, Unsearchable),
) -> BTreeMap<String, Vec<Value>> {
    let mut values = BTreeMap::new();
    for (name, value) in metadata {
        walk(name, value, fields, &mut values, unsearchable);
    }
    values
}

/// Whether metadata say anything in a field, at whichever depth its name leads to.
pub fn has_field(metadata: &Map<String, Json>, field: &str) -> bool {
    fn says(name: &str, json: &Json, field: &str) -> bool {
        match json {
            Json::Null => false,
            Json::Object(object) => object.iter().any(|(key, json)| says(&format!("{name}.{key}"), json, field)),
            Json::Array(elements) => elements.iter().any(|json| says(name, json, field)),
            _ => name == field,
        }
    }
    metadata.iter().any(|(name, json)| says(name, json, field))
}

/// Whether the filter language can spell a name.
pub(crate) fn is_searchable_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\":()[]{}\\*<>=".contains(c);
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(is_plain) && !name.starts_with(['+', '-'])
}

/// Metadata is JSON that was parsed, so that its depth is bounded.
fn walk(
    name: &str,
    json: &Json,
    fields: &mut FieldKinds,
    values: &mut BTreeMap<String, Vec<Value>>,
    unsearchable: &mut dyn FnMut(&str, Unsearchable),
) {
    match json {
        Json::Null => {}
        Json::Object(object) => {
            for (key, json) in object {
                walk(&format!("{name}.{key}"), json, fields, values, unsearchable);
            }
        }
        Json::Array(elements) => {
            for json in elements {
                walk(name, json, fields, values, unsearchable);
            }
        }
        scalar => match value_of(name, scalar, fields) {
            Ok(value) => {
                let values = values.entry(name.to_owned()).or_default();
                if values.len() < MAX_VALUES {
                    values.push(value);
                } else if values.len() == MAX_VALUES {
                    unsearchable(name, Unsearchable::TooManyValues);
                }
            }
            Err(reason) => unsearchable(name, reason),
        },
    }
}

fn value_of(name: &str, scalar: &Json, fields: &mut FieldKinds) -> Result<Value, Unsearchable> {
    if let Some(&kind) = fields.get(name) {
        return value_of_kind(kind, scalar);
    }
    if !is_searchable_name(name) {
        return Err(Unsearchable::Name);
    }
    if fields.len() >= MAX_FIELDS {
        return Err(Unsearchable::TooManyFields);
    }
    let kind = kind_of(scalar);
    let value = value_of_kind(kind, scalar)?;
    fields.insert(name.to_owned(), kind);
    Ok(value)
}

/// The kind of a field that is first seen with this value.
fn kind_of(scalar: &Json) -> FieldKind {
    match scalar {
        Json::Bool(_) => FieldKind::Boolean,
        Json::Number(number) if number.is_i64() => FieldKind::Integer,
        Json::Number(_) => FieldKind::Float,
        Json::String(text) if Moment::parse(text).is_some() => FieldKind::Date,
        Json::String(text) if text.len() > MAX_KEYWORD_BYTES => FieldKind::Text,
        _ => FieldKind::Keyword,
    }
}

/// A whole number is a number, and whatever is no string can be a keyword by its spelling; nothing else is converted.
fn value_of_kind(kind: FieldKind, scalar: &Json) -> Result<Value, Unsearchable> {
    let value = match (kind, scalar) {
        (FieldKind::Text, Json::String(text)) => Some(Value::Text(text.clone())),
        (FieldKind::Keyword, Json::String(text)) => return keyword(text.clone()),
        (FieldKind::Keyword, Json::Number(_) | Json::Bool(_)) => return keyword(scalar.to_string()),
        (FieldKind::Integer, Json::Number(number)) => number.as_i64().map(Value::Integer),
        (FieldKind::Float, Json::Number(number)) => number.as_f64().map(Value::Float),
        (FieldKind::Date, Json::String(text)) => Moment::parse(text).map(|moment| Value::Date(moment.start)),
        (FieldKind::Boolean, &Json::Bool(yes)) => Some(Value::Boolean(yes)),
        _ => None,
    };
    value.ok_or_else(|| Unsearchable::OtherKind { kind, found: in_words(scalar) })
}

fn keyword(text: String) -> Result<Value, Unsearchable> {
    if text.len() > MAX_KEYWORD_BYTES {
        return Err(Unsearchable::TooLong { bytes: text.len() });
    }
    Ok(Value::Keyword(text))
}

fn in_words(scalar: &Json) -> &'static str {
    match scalar {
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.is_i64() => "an integer",
        Json::Number(_) => "a float",
        _ => "a string",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(rows: &[Json], kinds: &[(&str, FieldKind)], complaints: &[(&str, Unsearchable)]) -> Vec<Vec<Value>> {
        let mut fields = FieldKinds::new();
        let mut heard = Vec::new();
        let mut all = Vec::new();
        for row in rows {
            let metadata = row.as_object().unwrap();
            let values = extract(metadata, &mut fields, &mut |name, why| heard.push((name.to_owned(), why)));
            all.extend(values.into_values());
        }
        assert_eq!(fields, kinds.iter().map(|&(name, kind)| (name.to_owned(), kind)).collect());
        assert_eq!(heard, complaints.iter().map(|(name, why)| ((*name).to_owned(), why.clone())).collect::<Vec<_>>());
        all
    }

    #[test]
    fn a_field_is_there_at_whichever_depth() {
        let row = json!({"acl": {"read": [null, ["bob"]], "write": null}, "flat.name": 1, "empty": {}});
        let has = |field: &str| has_field(row.as_object().unwrap(), field);
        assert!(has("acl.read") && has("flat.name"));
        assert!(!has("acl.write") && !has("acl") && !has("read") && !has("empty") && !has("absent"));
    }

    #[test]
    fn kinds_follow_from_the_first_value_and_stay() {
        let first = json!({"year": 2020, "lang": "ko", "share": 0.5, "day": "2020-05-17", "open": true, "none": null,
            "abstract": "long ".repeat(60), "author": {"name": ["Kim", "Lee"], "age": 5}, "empty": []});
        let kinds = [
            ("abstract", FieldKind::Text),
            ("author.age", FieldKind::Integer),
            ("author.name", FieldKind::Keyword),
            ("day", FieldKind::Date),
            ("lang", FieldKind::Keyword),
            ("open", FieldKind::Boolean),
            ("share", FieldKind::Float),
            ("year", FieldKind::Integer),
        ];
        let values = check(std::slice::from_ref(&first), &kinds, &[]);
        assert_eq!(values[2], [Value::Keyword("Kim".to_owned()), Value::Keyword("Lee".to_owned())]);
        assert_eq!(values[7], [Value::Integer(2020)]);

        let other = |kind, found| Unsearchable::OtherKind { kind, found };
        let later = json!({"year": "2020", "day": "soon", "open": 1, "share": 3, "lang": 7, "abstract": 1});
        let complaints = [
            ("abstract", other(FieldKind::Text, "an integer")),
            ("day", other(FieldKind::Date, "a string")),
            ("open", other(FieldKind::Boolean, "an integer")),
            ("year", other(FieldKind::Integer, "a string")),
        ];
        let values = check(&[first, later], &kinds, &complaints);
        assert_eq!(values[8..], [vec![Value::Keyword("7".to_owned())], vec![Value::Float(3.0)]]);
    }

    #[test]
    fn what_is_beyond_the_limits_is_named() {
        let many: Map<String, Json> = (0..=MAX_FIELDS).map(|number| (format!("f{number:03}"), 1.into())).collect();
        let kinds: Vec<(String, FieldKind)> =
            many.keys().take(MAX_FIELDS).map(|name| (name.clone(), FieldKind::Integer)).collect();
        let kinds: Vec<(&str, FieldKind)> = kinds.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        check(&[Json::Object(many)], &kinds, &[("f256", Unsearchable::TooManyFields)]);

        let full = vec![1; MAX_VALUES + 3];
        let rows = [json!({"k": "short"}), json!({"k": "x".repeat(257), "two words": 1, "n": full})];
        let complaints = [
            ("k", Unsearchable::TooLong { bytes: 257 }),
            ("n", Unsearchable::TooManyValues),
            ("n", Unsearchable::TooManyValues),
            ("n", Unsearchable::TooManyValues),
            ("two words", Unsearchable::Name),
        ];
        let values = check(&rows, &[("k", FieldKind::Keyword), ("n", FieldKind::Integer)], &complaints);
        assert_eq!(values[1].len(), MAX_VALUES);
    }
}
