//! Values and results as `scenarios.json` writes them.

use mitogen::{BigInt, Value};
use serde_json::{Map, Value as Json, json};

/// What the tags `context`, `sender`, `path` and `sha1` stand for.
pub(crate) trait Names {
    fn value(&self, tag: &str, argument: &Json) -> Option<Value>;
    fn context(&self, id: mitogen::ContextId) -> String;
    fn digest(&self, file: &str) -> String;
}

/// The value that is to be sent.
pub(crate) fn read(json: &Json, names: &dyn Names) -> Value {
    let list = |items: &Json| -> Vec<Value> {
        items.as_array().expect("a list").iter().map(|item| read(item, names)).collect()
    };
    match json {
        Json::Null => Value::None,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().expect("a number")),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) => Value::List(list(json)),
        Json::Object(tagged) => {
            let (tag, argument) = tagged.iter().next().expect("a tag");
            let text = || argument.as_str().expect("a text");
            match tag.as_str() {
                "int" => BigInt::parse_value(text()).expect("a number"),
                "float" => Value::Float(text().parse().expect("a float")),
                "bytes" => Value::Bytes(unhex(text()).into()),
                "blob" => Value::Blob(unhex(text()).into()),
                "repeat" => Value::Bytes(vec![b'x'; argument.as_u64().expect("a size") as usize].into()),
                "secret" => Value::Secret(mitogen::Secret::new(text())),
                "tuple" => Value::Tuple(list(argument)),
                "dict" => Value::Dict(
                    list(argument)
                        .into_iter()
                        .map(|pair| match pair {
                            Value::List(mut pair) => {
                                let value = pair.pop().expect("a value");
                                (pair.pop().expect("a key"), value)
                            }
                            _ => panic!("a pair"),
                        })
                        .collect(),
                ),
                "kwargs" => Value::Kwargs(
                    argument
                        .as_object()
                        .expect("names")
                        .iter()
                        .map(|(name, value)| (name.clone(), read(value, names)))
                        .collect(),
                ),
                tag => names.value(tag, argument).unwrap_or_else(|| panic!("no value: {json}")),
            }
        }
    }
}

/// What was seen.
pub(crate) fn show(value: &Value, names: &dyn Names) -> Json {
    let list = |items: &[Value]| -> Json { items.iter().map(|item| show(item, names)).collect() };
    match value {
        Value::None => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Long(number) => json!({ "int": number.to_string() }),
        Value::Float(number) if number.is_finite() => json!(number),
        Value::Float(number) => json!({ "float": number.to_string().to_lowercase() }),
        Value::Str(bytes) | Value::Bytes(bytes) if bytes.len() > 1000 && bytes.iter().all(|b| *b == b'x') => {
            json!({ "repeat": bytes.len() })
        }
        Value::Str(bytes) | Value::Bytes(bytes) => json!({ "bytes": hex(bytes) }),
        Value::Text(text) => json!(text),
        Value::List(items) => list(items),
        Value::Tuple(items) => json!({ "tuple": list(items) }),
        Value::Dict(pairs) => {
            let mut pairs: Vec<Json> =
                pairs.iter().map(|(key, value)| json!([show(key, names), show(value, names)])).collect();
            pairs.sort_by_key(Json::to_string);
            json!({ "dict": pairs })
        }
        Value::Context { id, .. } => json!({ "context": names.context(*id) }),
        Value::Sender { .. } => json!({ "sender": true }),
        Value::Blob(bytes) => json!({ "blob": hex(bytes) }),
        Value::Secret(secret) => json!({ "secret": secret.expose() }),
        Value::Kwargs(pairs) => {
            let pairs: Map<String, Json> =
                pairs.iter().map(|(name, value)| (name.clone(), show(value, names))).collect();
            json!({ "kwargs": pairs })
        }
        other => json!({ "unknown": format!("{other:?}") }),
    }
}

/// Whether what was seen is what was expected.
pub(crate) fn agrees(expected: &Json, seen: &Json, names: &dyn Names) -> bool {
    if expected == &json!({"any": true}) {
        return true;
    }
    if let Some(choices) = expected["one of"].as_array() {
        return choices.iter().any(|choice| agrees(choice, seen, names));
    }
    let fields = |json: &Json| json.as_object().cloned().unwrap_or_default();
    if let (Json::Object(wanted), Json::String(seen)) = (expected, seen) {
        if let Some(kind) = wanted.get("type").and_then(Json::as_str) {
            let found = seen.split(": ").next().unwrap_or_default();
            return match kind {
                "ImportError" => found.ends_with("ImportError") || found.ends_with("ModuleNotFoundError"),
                kind => found == kind,
            };
        }
        if let Some(file) = wanted.get("sha1").and_then(Json::as_str) {
            return *seen == names.digest(file);
        }
    }
    match (expected, seen) {
        (Json::Array(expected), Json::Array(seen)) => {
            expected.len() == seen.len() && expected.iter().zip(seen).all(|(e, s)| agrees(e, s, names))
        }
        (Json::Object(expected), Json::Object(_)) => {
            let seen = fields(seen);
            let pairs = |json: &Json| {
                let mut pairs = json.as_array().cloned().unwrap_or_default();
                pairs.sort_by_key(Json::to_string);
                Json::Array(pairs)
            };
            expected.len() == seen.len()
                && expected.iter().all(|(key, value)| match (key.as_str(), seen.get(key)) {
                    ("dict", Some(seen)) => agrees(&pairs(value), &pairs(seen), names),
                    (_, Some(seen)) => agrees(value, seen, names),
                    (_, None) => false,
                })
        }
        (Json::Number(expected), Json::Number(seen)) => {
            expected == seen || (expected.as_i64().is_none() && expected.as_f64() == seen.as_f64())
        }
        (expected, seen) => expected == seen,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}
