//! The keys as a JSON Schema, by which editors complete, explain and check. Draft 7: what editors know best.

use super::bound::{Bound, Unit};
use super::keys::{self, Form, Key};
use serde_json::{Map, Value, json};

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_.-]{0,254}$";
const SIZE: &str = r"^([0-9]{1,20}|[0-9]{1,20}(\.[0-9]{1,20})? *(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB))$";
const TIME: &str = "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$";

/// The schema of `sandbox.yaml`.
pub(crate) fn of_sandbox() -> Value {
    document("sandbox.yaml", "What a sandbox of aido sees, writes, reaches and is limited to.", keys::SANDBOX)
}

/// The schema of the user's own `policy.yaml`.
pub(crate) fn of_policy() -> Value {
    document("policy.yaml", "What no sandbox.yaml and no option of aido may go beyond.", keys::POLICY)
}

fn document(title: &str, about: &str, keys: &[Key]) -> Value {
    let mut schema = mapping(keys, &[]);
    schema["$schema"] = json!(DRAFT);
    schema["title"] = json!(title);
    schema["description"] = json!(about);
    // An empty file asks for nothing, and is one.
    schema["type"] = json!(["object", "null"]);
    schema
}

fn mapping(keys: &[Key], required: &[&str]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_string(), property(key))).collect();
    let mut schema = json!({"type": "object", "additionalProperties": false, "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut schema = form(&key.form, key.name);
    schema["description"] = json!(key.about);
    // With its marks where an editor shows them, which otherwise shows them as they are.
    schema["markdownDescription"] = json!(key.about);
    schema
}

fn form(form: &Form, name: &str) -> Value {
    match form {
        Form::Text => json!({"type": "string"}),
        Form::Like(pattern) => json!({"type": "string", "pattern": pattern}),
        Form::OneOf(words) => {
            let (names, meanings): (Vec<&str>, Vec<&str>) = words.iter().copied().unzip();
            json!({"enum": names, "enumDescriptions": meanings})
        }
        Form::Truth => json!({"type": "boolean"}),
        Form::Measure(bound) => measure(bound),
        Form::Texts(usize::MAX) => json!({"type": "array", "items": {"type": "string"}}),
        Form::Texts(most) => json!({"type": "array", "items": {"type": "string"}, "maxItems": most}),
        Form::Words(words) => json!({"type": "array", "items": {"enum": words}}),
        Form::Ports => json!({"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65535}}),
        Form::Version(version) => json!({"enum": [version, version.to_string()]}),
        Form::Variables => variables(),
        Form::Section(section) => mapping(section.keys, section.required),
        Form::Network if name == "hosts" => hosts(),
        Form::Network => json!({"anyOf": [{"type": "boolean"}, hosts(), mapping(keys::WHOLE, &[])]}),
        Form::Reach => json!({"anyOf": [{"type": "boolean"}, {"type": "array", "items": {"type": "string"}}]}),
    }
}

fn hosts() -> Value {
    json!({"type": "array", "items": {"anyOf": [{"type": "string"}, mapping(keys::RULE, &["host"])]}})
}

fn variables() -> Value {
    let from = json!({
        "type": "object", "additionalProperties": false, "required": ["from"],
        "properties": {"from": {"type": "string", "pattern": VARIABLE, "description": "The caller's variable of which the value is taken."}},
    });
    json!({
        "type": "object",
        "propertyNames": {"pattern": VARIABLE},
        "additionalProperties": {"anyOf": [{"type": "string"}, from]},
    })
}

/// As a text with its unit, or where that says it all as a number. A text's range is the reader's to check.
fn measure(bound: &Bound) -> Value {
    let (least, most) = (*bound.range.start(), *bound.range.end());
    match bound.unit {
        Unit::Time => json!({"type": "string", "pattern": TIME}),
        Unit::Size => either(SIZE, json!({"type": "integer", "minimum": least, "maximum": most})),
        Unit::Count => either("^[0-9]+$", json!({"type": "integer", "minimum": least, "maximum": most})),
        Unit::Processors => {
            let (least, most) = (json!(least as f64 / 1000.0), json!(most as f64 / 1000.0));
            either(r"^[0-9]+(\.[0-9]{1,3})?$", json!({"type": "number", "minimum": least, "maximum": most}))
        }
    }
}

fn either(pattern: &str, number: Value) -> Value {
    json!({"anyOf": [{"type": "string", "pattern": pattern}, number]})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Overrides, Policy, Settings};

    /// A value that each form takes, as it would be written.
    fn example(form: &Form, name: &str) -> String {
        match form {
            Form::Like(pattern) if pattern.contains("oci") => "host".to_string(),
            Form::Text if name == "header" => "Authorization".to_string(),
            Form::Text if name == "value" => "\"Bearer ${KEY}\"".to_string(),
            Form::Text | Form::Like(_) => "abc.example".to_string(),
            Form::OneOf(words) => words[0].0.to_string(),
            Form::Truth => "false".to_string(),
            Form::Measure(bound) => (bound.show)(*bound.range.start()),
            Form::Texts(_) if name == "paths" => "[/v1]".to_string(),
            Form::Texts(_) if name == "methods" => "[GET]".to_string(),
            Form::Texts(_) | Form::Ports => "[]".to_string(),
            Form::Words(words) => format!("[{}]", words.join(", ")),
            Form::Version(version) => version.to_string(),
            Form::Variables => "{A: b, C: {from: D}}".to_string(),
            Form::Section(section) => braced(section.keys),
            Form::Network if name == "hosts" => "[a.example]".to_string(),
            Form::Network | Form::Reach => "[a.example]".to_string(),
        }
    }

    fn braced(keys: &[Key]) -> String {
        let pairs: Vec<String> =
            keys.iter().map(|key| format!("{}: {}", key.name, example(&key.form, key.name))).collect();
        format!("{{{}}}", pairs.join(", "))
    }

    fn taken(yaml: &str) {
        let project = tempfile::tempdir().unwrap();
        let read = Settings::from_text(yaml, "sandbox.yaml", project.path(), &Overrides::default());
        assert!(read.is_ok(), "{yaml}\n{}", read.unwrap_err());
    }

    #[test]
    fn the_reader_takes_every_key_alone_and_all_of_them_together() {
        for key in keys::SANDBOX {
            taken(&format!("{}: {}\n", key.name, example(&key.form, key.name)));
        }
        taken(&braced(keys::SANDBOX));
        taken(&format!("permissions: {{network: {}}}", braced(keys::WHOLE)));
        // What excludes each other stands in rules of its own.
        for key in keys::RULE.iter().filter(|key| key.name != "host" && key.name != "ports") {
            let rule = format!("{{host: a.example, {}: {}}}", key.name, example(&key.form, key.name));
            taken(&format!("permissions: {{network: [{rule}]}}"));
        }
        for key in keys::POLICY {
            let yaml = format!("{}: {}\n", key.name, example(&key.form, key.name));
            assert!(Policy::parse(&yaml, "policy.yaml").is_ok(), "{yaml}");
        }
    }

    #[test]
    fn every_key_is_explained_and_no_other_is_let_through() {
        fn look(schema: &Value) {
            if let Some(properties) = schema.get("properties") {
                assert_eq!(schema["additionalProperties"], false, "{schema}");
                for (name, inner) in properties.as_object().unwrap() {
                    assert!(inner["description"].as_str().is_some_and(|about| about.len() > 10), "{name}");
                }
            }
            match schema {
                Value::Object(map) => map.values().for_each(look),
                Value::Array(list) => list.iter().for_each(look),
                _ => {}
            }
        }
        for schema in [of_sandbox(), of_policy()] {
            look(&schema);
        }
    }
}
